"""Small steps of a leg's clock, played over: every sample is kept, some seconds pass a little faster or slower.

The recorder moves a leg's audio by some 8 ms when the sender's clock has strayed that far. What follows such a step
stays joined to what precedes it, and is resampled at a pace that differs by PACE_PPM until it is back in its place.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Wave = npt.NDArray[np.float64]

PACE_PPM = 1000  # 1.7 cents of pitch: not heard
LATER_MS = 10  # a gap below this is a step, for no packet is that short; from here on it is a loss
EARLIER_MS = 20  # an overlap up to this is a step; beyond it the sender began anew
HALF = 16  # samples that the interpolation takes from either side
_PHASES = 256


def _kernel() -> Wave:
    """Windowed sinc at each phase between two samples: (phases + 1, taps), each row of sum 1."""
    taps = np.arange(1 - HALF, HALF + 1)
    distance = taps - np.arange(_PHASES + 1)[:, None] / _PHASES
    window = np.i0(9.0 * np.sqrt(np.clip(1 - (distance / HALF) ** 2, 0, 1)))
    rows = np.sinc(distance) * window
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


_KERNEL = _kernel()


class Pace:
    """Takes contiguous samples and steps between them; gives samples to be placed one after the other."""

    def __init__(self, start: int) -> None:
        self.position = start  # where the next sample given goes
        self._held: Samples = np.zeros(
            0, np.int16
        )  # what was taken, from a little before the next to be given
        self._base = start  # position that the first of those has of right
        self._next = 0.0  # index among those of the next sample to be given
        self._left = 0  # samples to be given out of step
        self._stride = 1.0

    @property
    def expected(self) -> int:
        """The position of right of what is contiguous with all that was taken."""
        return self._base + self._held.size

    def step(self, samples: int) -> None:
        """What comes next belongs so much later, or if negative earlier, than it seemed."""
        self._base += samples
        lag = self.position - (self._base + self._next)
        self._left = math.ceil(abs(lag) * 1_000_000 / PACE_PPM)
        self._stride = 1 + lag / self._left if self._left else 1.0

    def take(self, samples: Samples) -> Samples:
        """Samples to be placed at `position` as it was before; a few may be kept until more is known."""
        self._held = np.concatenate((self._held, samples)) if self._held.size else samples
        return self._give(HALF)

    def rest(self) -> Samples:
        """What was kept, when nothing contiguous follows."""
        return self._give(0)

    def _give(self, margin: int) -> Samples:
        given = self._stretched(margin) if self._left else self._held[:0]
        if not self._left:
            given = np.concatenate((given, self._held[int(self._next) :]))
            self._next = self._held.size
        self.position += given.size
        kept = max(0, int(self._next) - HALF)
        self._held, self._base, self._next = self._held[kept:], self._base + kept, self._next - kept
        return given

    def _stretched(self, margin: int) -> Samples:
        room = math.floor((self._held.size - 1 - margin - self._next) / self._stride) + 1
        count = max(0, min(self._left, room))
        places: Wave = self._next + self._stride * np.arange(count, dtype=np.float64)
        self._next += self._stride * count
        self._left -= count
        if not self._left:
            self._next = round(self._next)
        return _between(self._held, places)


def _between(samples: Samples, places: Wave) -> Samples:
    """The signal at fractional indices; beyond its ends it goes on as it ended."""
    whole = np.floor(places).astype(np.int64)
    phase = (places - whole) * _PHASES
    row = phase.astype(np.int64)
    part = (phase - row)[:, None]
    taps = np.clip(whole[:, None] + np.arange(1 - HALF, HALF + 1), 0, samples.size - 1)
    weights = _KERNEL[row] * (1 - part) + _KERNEL[row + 1] * part
    values = np.rint(np.einsum("ij,ij->i", samples[taps], weights))
    between: Samples = np.clip(values, -32768, 32767).astype(np.int16)
    return between
