"""Windows that are two tones, one after another: from when on they are a tone, and when a key was pressed.

A window is told of by where it is and how well the two tones fit; the wave itself is not seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.redaction.digit import Digit
from gateway.redaction.inband_exact import RATE

FINE = 16  # samples from one window to the next
# So many windows in a row must be tones by at least this share. Noise of 15 dB leaves one of 94 %.
LEVELS = ((1, 0.88), (3, 0.80), (6, 0.72), (12, 0.64))
PRESS_SAMPLES = 36 * RATE // 1000  # tones of 40 ms are keys, and windows fall short of the edges
PRESS_WINDOWS = 8  # of the nine in so long a time
# How far windows of one key may be apart: low and high frequency in steps of the grid, and level in dB. A voice glides.
PRESS_SPREAD = (3.0, 3.0, 2.0)
BREAK = 12 * RATE // 1000  # a shorter one is within a tone (Q.24: 10 ms)

Measures = tuple[float, float, float]  # as PRESS_SPREAD has them


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples of a row that were lost, and are zeros."""

    row: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Hit:
    """A window that is two tones."""

    start: int
    stop: int
    digit: Digit
    share: float
    firm: bool  # good enough for a key
    measures: Measures
    turn: int  # the block with which it is told, so that it comes in the same order in pieces of any length
    gapped: bool = False  # stands at a gap, off the grid of windows

    @property
    def order(self) -> tuple[int, int, int]:
        return self.turn, self.start, self.stop


@dataclass(frozen=True, slots=True)
class Stretch:
    """Windows without a break that are good enough for a key."""

    start: int
    stop: int
    last: int  # start of the last window
    windows: int
    least: Measures
    most: Measures


@dataclass(slots=True)
class Run:
    """Windows that agree on a digit, with no break between them."""

    digit: Digit
    last: int  # start of the last window on the grid
    reached: int  # where the last one ends
    streaks: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * len(LEVELS))  # start, count
    start: int | None = None  # of the tone, once it is one
    stop: int = 0
    level: int = 0  # of LEVELS, by which it became one
    told: int = 0
    firm: Stretch | None = None
    pressed: bool = False

    @property
    def is_key(self) -> bool:
        firm = self.firm
        return firm is not None and firm.stop - firm.start >= PRESS_SAMPLES and firm.windows >= PRESS_WINDOWS

    def goes_on(self, hit: Hit, gaps: Sequence[Gap]) -> bool:
        """Whether there is no break before a window."""
        return hit.start - self.reached - _lost(self.reached, hit.start, gaps) <= BREAK

    def take(self, hit: Hit, gaps: Sequence[Gap]) -> None:
        """Count a hit, and see whether with it the run is a tone, or lasts longer."""
        good = self.start is not None and hit.share >= LEVELS[self.level][1]
        for level, (need, share) in enumerate(LEVELS):
            begin, count = self.streaks[level]
            if hit.share < share or (good and level > self.level):
                begin, count = 0, 0
            elif count and (hit.gapped or hit.start - self.last <= FINE):
                count += 1
            else:
                begin, count = hit.start, 1
            self.streaks[level] = begin, count
            if count >= need:
                good = True
                if self.start is None:
                    self.start, self.level = begin, level
        if good and self.start is not None:
            self.start = _widened(min(self.start, hit.start), gaps)
            self.stop = max(self.stop, hit.stop)
        self.reached = max(self.reached, hit.stop)
        self.last = self.last if hit.gapped else hit.start
        self._firm_up(hit, gaps)

    def _firm_up(self, hit: Hit, gaps: Sequence[Gap]) -> None:
        """Lengthen the stretch that may be a key; a window that is not as good, or of other frequencies, breaks it."""
        if self.pressed or not hit.firm:
            return
        known = self.firm
        if known is not None:
            lost = _lost(known.stop, hit.start, gaps)
            near = hit.start - known.last <= 2 * FINE or (lost and hit.start - known.stop - lost <= 2 * FINE)
            least = _each(min, known.least, hit.measures)
            most = _each(max, known.most, hit.measures)
            if near and all(b - a <= limit for a, b, limit in zip(least, most, PRESS_SPREAD, strict=True)):
                worth = 1 + (PRESS_WINDOWS if lost else 0)  # where part was lost, fewer can be asked for
                self.firm = Stretch(
                    known.start, max(known.stop, hit.stop), hit.start, known.windows + worth, least, most
                )
                return
        self.firm = Stretch(hit.start, hit.stop, hit.start, 1, hit.measures, hit.measures)


def _lost(start: int, stop: int, gaps: Sequence[Gap]) -> int:
    """Samples between two positions that were lost."""
    return sum(max(0, min(gap.stop, stop) - max(gap.start, start)) for gap in gaps)


def _widened(start: int, gaps: Sequence[Gap]) -> int:
    """A tone that begins right after a gap may have begun in it."""
    return next((gap.start for gap in gaps if gap.stop - FINE <= start <= gap.stop + 2 * FINE), start)


def _each(choose: Callable[[float, float], float], one: Measures, other: Measures) -> Measures:
    return choose(one[0], other[0]), choose(one[1], other[1]), choose(one[2], other[2])
