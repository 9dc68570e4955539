"""Two sinusoids fitted to a short stretch of audio: which key's tones they are, and how much of the sound they explain.

The frequencies are sought on a grid about each of the eight nominal ones, so that a sender that is off by
1.5 % fits as well as one that is not. The share of the energy that a fit leaves over is noise, or voice:
that share is what tells a key from speech.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gateway.redaction.digit import Digit

RATE = 8000
LOW, HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)  # ITU-T Q.23, Hz
# By low tone and high tone.
KEYS = (
    (Digit.ONE, Digit.TWO, Digit.THREE, Digit.A),
    (Digit.FOUR, Digit.FIVE, Digit.SIX, Digit.B),
    (Digit.SEVEN, Digit.EIGHT, Digit.NINE, Digit.C),
    (Digit.STAR, Digit.ZERO, Digit.HASH, Digit.D),
)
PLACES = {key: (low, high) for low, row in enumerate(KEYS) for high, key in enumerate(row)}
STEP = 0.005  # of the frequency grid: the worst fit leaves 2 % of the energy over
REACH = 6  # steps to either side: 3 %
KNOWN = 4  # of which a key's tones may be off: 2 %
OFFSETS = 2 * REACH + 1
LOWS = len(LOW) * OFFSETS
OTHERS = np.arange(75.0, 3750.0, 25.0)  # Hz, where voice may sound besides
QUIET = 1.0  # mean square, 16-bit samples: less than any codec's finest step is silence
TINY = 1e-9

Wave = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fits:
    """What fits some windows best, one element a window in every column."""

    low: Ints  # on the grid
    high: Ints
    amplitudes: Reals  # (windows, 4): cosines of both, sines of both
    share: Reals  # of the energy that both together explain, 0 to 1
    power: Reals  # mean square of both together

    @property
    def twist(self) -> Reals:
        """By how many dB the low tone is the louder."""
        squares = np.maximum(self.amplitudes**2, TINY)
        ratio: Reals = 10 * np.log10((squares[:, 0] + squares[:, 2]) / (squares[:, 1] + squares[:, 3]))
        return ratio

    @property
    def astray(self) -> Bools:
        """Which are further off than the tones of any key: harmonics of high voices mostly."""
        low, high = self.low % OFFSETS - REACH, (self.high - LOWS) % OFFSETS - REACH
        return np.maximum(np.abs(low), np.abs(high)) > KNOWN

    def key(self, index: int) -> Digit:
        return KEYS[int(self.low[index]) // OFFSETS][int(self.high[index] - LOWS) // OFFSETS]

    def steps(self, index: int) -> tuple[int, int]:
        """By how many steps of the grid the low and the high tone are off their nominal frequencies."""
        return int(self.low[index]) % OFFSETS - REACH, int(self.high[index]) % OFFSETS - REACH


class Basis:
    """The grid's cosines and sines over the samples at some times."""

    def __init__(self, times: Ints) -> None:
        grid = np.array(LOW + HIGH)[:, None] * (1 + STEP * np.arange(-REACH, REACH + 1))
        # About their middle the cosines and the sines of a symmetric window are orthogonal to each other.
        self._halves = _waves(times, grid.ravel())
        self._others = np.concatenate(_waves(times, OTHERS), axis=1).astype(np.float32)
        self._columns = np.concatenate(self._halves, axis=1).astype(np.float32)
        self._grams = [half.T @ half for half in self._halves]
        self._count = len(times)

    def fit(self, windows: Wave) -> Fits:
        """The best pair for each row, of as many samples as the basis has."""
        parts = self._parts(windows)
        even, odd = (part**2 / np.diag(gram) for part, gram in zip(parts, self._grams, strict=True))
        alone = even + odd
        return self._solve(
            windows, parts, alone[:, :LOWS].argmax(axis=1), LOWS + alone[:, LOWS:].argmax(axis=1)
        )

    def fit_key(self, windows: Wave, key: Digit) -> Fits:
        """The best fit of one key's tones to each row."""
        parts = self._parts(windows)
        low, high = PLACES[key]
        even, odd = (part**2 / np.diag(gram) for part, gram in zip(parts, self._grams, strict=True))
        alone = even + odd
        begins = low * OFFSETS, LOWS + high * OFFSETS
        best = [begin + alone[:, begin : begin + OFFSETS].argmax(axis=1) for begin in begins]
        return self._solve(windows, parts, *best)

    def lead(self, windows: Wave, key: Digit) -> Reals:
        """By what factor both tones of a key are louder than each other tone of their groups, at least."""
        even, odd = (
            part**2 / np.diag(gram) for part, gram in zip(self._parts(windows), self._grams, strict=True)
        )
        alone = (even + odd).reshape(len(windows), len(LOW + HIGH), OFFSETS)
        ratios = []
        for place, group in zip(PLACES[key], (alone[:, : len(LOW)], alone[:, len(LOW) :]), strict=True):
            rivals = np.delete(group[:, :, REACH], place, axis=1).max(axis=1)
            ratios.append(group[:, place].max(axis=1) / np.maximum(rivals, TINY))
        least: Reals = np.minimum(ratios[0], ratios[1])
        return least

    def loudest_other(self, windows: Wave, fits: Fits, which: Ints) -> Reals:
        """The share of the energy that one more sinusoid would explain at most, of those of `which`."""
        rest = windows[which].astype(np.float64)
        tones = fits.low[which], fits.high[which]
        for column, amplitude in enumerate(fits.amplitudes[which].T):
            rest -= self._halves[column // 2][:, tones[column % 2]].T * amplitude[:, None]
        products = rest.astype(np.float32) @ self._others
        powers = products[:, : len(OTHERS)] ** 2 + products[:, len(OTHERS) :] ** 2
        loudest: Reals = powers.max(axis=1) * (2 / self._count) / self._energy(windows[which])
        return loudest

    def _parts(self, windows: Wave) -> tuple[Reals, Reals]:
        products = (windows @ self._columns).astype(np.float64)
        return products[:, : 2 * LOWS], products[:, 2 * LOWS :]

    def _solve(self, windows: Wave, parts: tuple[Reals, Reals], low: Ints, high: Ints) -> Fits:
        """Least squares of two tones, which are not quite orthogonal over so short a time."""
        rows = np.arange(len(windows))
        explained = np.zeros(len(windows))
        amplitudes = np.empty((len(windows), 4))
        for half, (part, gram) in enumerate(zip(parts, self._grams, strict=True)):
            a, b = part[rows, low], part[rows, high]
            aa, bb, ab = gram[low, low], gram[high, high], gram[low, high]
            determinant = aa * bb - ab * ab
            x, y = (bb * a - ab * b) / determinant, (aa * b - ab * a) / determinant
            explained += a * x + b * y
            amplitudes[:, 2 * half], amplitudes[:, 2 * half + 1] = x, y
        return Fits(low, high, amplitudes, explained / self._energy(windows), explained / self._count)

    def _energy(self, windows: Wave) -> Reals:
        energy: Reals = np.einsum("ij,ij->i", windows, windows).astype(np.float64)
        return np.maximum(energy, QUIET * self._count)


def _waves(times: Ints, frequencies: Reals) -> tuple[Reals, Reals]:
    phase = 2 * np.pi / RATE * np.outer(times - times.mean(), frequencies)
    return np.cos(phase), np.sin(phase)


@lru_cache(maxsize=64)
def basis(before: int, hole: int = 0, after: int = 0) -> Basis:
    """Of `before` samples, and after a hole of `hole` samples `after` more; both sides are of one length then."""
    return Basis(np.concatenate((np.arange(before), before + hole + np.arange(after))))
