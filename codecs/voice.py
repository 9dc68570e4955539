"""One leg's audio at one sample rate, from payload to samples at the rate that is rendered."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from gateway.codecs import concealment
from gateway.codecs.codec import Decoder
from gateway.codecs.pacing import EARLIER_MS, LATER_MS, Pace
from gateway.codecs.placing import Line, Stretch
from gateway.recording.model import UNITS_PER_SECOND

Samples = npt.NDArray[np.int16]


class Voice:
    """Takes a leg's payloads in order of time and gives back what is heard.

    `silent` are stretches of the call clock in which nothing is; `since` is the second it begins at.
    """

    def __init__(self, rate: int, target: int, silent: list[Stretch], since: int) -> None:
        self.rate = rate
        self._target = target
        self._line = Line(rate, _samples(silent, rate), since * rate)
        self._pace: Pace | None = None
        self._taken = since * rate
        self._heard: Samples = np.zeros(0, np.int16)
        self._base = since * target  # position of the first sample heard
        self._mute = _samples(silent, target)
        # Linear phase, its delay taken away: 130 dB below the signal nothing differs.
        self._resampler = soxr.ResampleStream(rate, target, 1, "float32", "HQ") if rate != target else None

    @property
    def final(self) -> int:
        """Up to where it can be given, at the rate rendered."""
        return self._base + self._heard.size

    def place(self, start: int, payload: bytes, decoder: Decoder, slack: int) -> None:
        """Put a payload at its position, which is known to `slack` samples."""
        off = self._off(start)
        if off is not None and LATER_MS * self.rate <= off * 1000 <= concealment.LONGEST_MS * self.rate:
            self._follow(decoder.conceal(off)[:off])
            off = self._off(start)
        samples = decoder.decode(payload)
        if off is not None and off * 1000 < -EARLIER_MS * self.rate and samples.size <= -off:
            return  # all of it is too late
        if off is None or not -EARLIER_MS * self.rate <= off * 1000 < LATER_MS * self.rate:
            self._end_run()
            self._pace = Pace(start)
        elif abs(off) > slack and self._pace is not None:
            self._pace.step(off)
        self._follow(samples)

    def take(self, stop: int) -> None:
        """Finish all up to `stop`; what begins before must have been placed."""
        if self._pace is not None and self._pace.expected < stop:
            self._end_run()
        self._hear(self._line.take(self._taken, stop), last=False)
        self._taken = stop

    def finish(self) -> int:
        """Finish all there is; returns where it ends, at the rate rendered."""
        self._end_run()
        end = max(self._taken, self._line.end)
        self._hear(self._line.take(self._taken, end), last=True)
        self._taken = end
        return self.final

    def give(self, start: int, stop: int) -> Samples:
        """What is heard from start to stop, which is given once."""
        given = np.zeros(stop - start, np.int16)
        skipped = max(0, self._base - start)
        heard = self._heard[: max(0, stop - self._base)]
        given[skipped : skipped + heard.size] = heard
        self._heard = self._heard[heard.size :]
        self._base += heard.size
        return given

    def _off(self, start: int) -> int | None:
        """How much later than contiguous a position is; None where no run goes on up to it."""
        if self._pace is None:
            return None
        expected = self._pace.expected
        return None if self._line.is_silent(expected, start) else start - expected

    def _follow(self, samples: Samples) -> None:
        if self._pace is not None and samples.size:
            samples = self._line.silenced(self._pace.expected, samples)
            at = self._pace.position
            self._line.place(at, self._pace.take(samples))

    def _end_run(self) -> None:
        if self._pace is not None:
            at = self._pace.position
            self._line.place(at, self._pace.rest())
            self._pace = None

    def _hear(self, samples: Samples, last: bool) -> None:
        if self._resampler is not None:
            wave = self._resampler.resample_chunk(samples.astype(np.float32), last=last)
            samples = np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
            start = self.final
            for a, b in self._mute:
                samples[max(a - start, 0) : max(b - start, 0)] = 0
        self._heard = np.concatenate((self._heard, samples))


def _samples(silent: list[Stretch], rate: int) -> list[Stretch]:
    """Stretches of the call clock in samples, widened to whole ones."""
    return [(a * rate // UNITS_PER_SECOND, -(-b * rate // UNITS_PER_SECOND)) for a, b in silent]
