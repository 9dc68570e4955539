"""One leg's audio placed on the call's clock, in a window that moves along it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.codecs import concealment

Samples = npt.NDArray[np.int16]
Stretch = tuple[int, int]  # from sample, up to sample

JOIN_MS = 10  # an overlap is cross-faded over at most this


class Line:
    """Takes a leg's stretches of audio in order of time and gives back its PCM.

    Positions are samples from the start of the call. What was placed first stays: of a stretch that overlaps it
    only the part behind it is added, cross-faded over at most JOIN_MS. What `silent` covers is always zero.
    """

    def __init__(self, rate: int, silent: list[Stretch], start: int = 0) -> None:
        self._rate = rate
        self._silent = silent
        self._context = concealment.CONTEXT_MS * rate // 1000
        self._start = self._base = start  # position of the window's first sample
        self._window: Samples = np.zeros(0, np.int16)
        self._gaps: list[Stretch] = []  # to be concealed
        self._taken = start  # up to here the audio is final
        self.end = start  # behind the last sample placed

    def place(self, start: int, samples: Samples) -> None:
        """Put samples at their position; those before what was taken are too late and left out."""
        samples = self.silenced(start, samples)
        floor = max(self.end, self._taken)
        if start + samples.size <= floor:
            return
        if start < floor:
            samples = self._joined(samples, floor - start)
            start = floor
        elif self._bridgeable(self.end, start):
            self._gaps.append((self.end, start))
        self._write(start, samples)
        self.end = start + samples.size

    def take(self, start: int, stop: int) -> Samples:
        """The samples from start to stop; everything that begins before stop must have been placed."""
        self._reserve(stop)
        while self._gaps and self._gaps[0][0] < stop:
            self._bridge(*self._gaps.pop(0))
        taken = self._window[start - self._base : stop - self._base].copy()
        self._taken = stop
        kept = max(self._base, stop - self._context)
        self._window = self._window[kept - self._base :].copy()
        self._base = kept
        return taken

    def is_silent(self, start: int, stop: int) -> bool:
        """Whether anything from start to stop is covered by silence."""
        return any(a < stop and start < b for a, b in self._silent)

    def silenced(self, start: int, samples: Samples) -> Samples:
        """Samples that have this position, without what silence covers."""
        covered = [(a, b) for a, b in self._silent if a < start + samples.size and start < b]
        if covered:
            samples = samples.copy()
            for a, b in covered:
                samples[max(a - start, 0) : b - start] = 0
        return samples

    def _joined(self, samples: Samples, overlap: int) -> Samples:
        """Cross-fade the end of an overlap with what is placed; gives the samples behind it."""
        length = min(overlap, JOIN_MS * self._rate // 1000, self.end - self._taken)
        if length > 0:
            place = slice(self.end - length - self._base, self.end - self._base)
            coming = samples[overlap - length : overlap]
            self._window[place] = concealment.cross_fade(self._window[place], coming)
        return samples[overlap:]

    def _bridgeable(self, start: int, stop: int) -> bool:
        short = 0 < stop - start <= concealment.LONGEST_MS * self._rate // 1000
        return short and start > self._start and not self.is_silent(start, stop)

    def _bridge(self, start: int, stop: int) -> None:
        after = min(self.end, stop + self._context, *(gap[0] for gap in self._gaps[:1]))
        first = max(self._base, start - self._context)
        self._write(
            start,
            concealment.bridge(
                self._window[first - self._base : start - self._base],
                self._window[stop - self._base : after - self._base],
                stop - start,
                self._rate,
            ),
        )

    def _write(self, start: int, samples: Samples) -> None:
        self._reserve(start + samples.size)
        self._window[start - self._base : start - self._base + samples.size] = samples

    def _reserve(self, stop: int) -> None:
        missing = stop - self._base - self._window.size
        if missing > 0:
            grown = np.zeros(max(missing, self._rate), np.int16)
            self._window = np.concatenate((self._window, grown))
