"""Times of frames that can be gone by: single ones that are wild are put right, and none lies far before another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateway.rtp.packets import Ints
from gateway.tap.frames import FrameBatch
from gateway.tap.records import LATEST_NS

# How far apart frames that follow each other may lie in the wrong order: the queues of an interface, and interfaces of
# one machine, differ by far less.
UNTIDY_NS = 1_000_000_000


class Ordering:
    """Feed it the batches of one capture; it gives them with times that go on.

    A frame whose time lies more than a second away from the times of both its neighbours takes theirs. Where a clock
    was set back, what follows goes on from where it was.
    """

    def __init__(self) -> None:
        self._last: int | None = None  # time of the last frame as it came
        self._latest: int | None = None  # highest time given
        self._shift = 0.0  # ns that the clock was set back by

    def feed(self, frames: FrameBatch) -> FrameBatch:
        if not len(frames):
            return frames
        arrivals = self._smooth(frames.arrivals)
        steps = np.diff(arrivals, prepend=arrivals[0] if self._last is None else self._last)
        self._last = int(arrivals[-1])
        back = np.where(steps < -UNTIDY_NS, -steps, 0)
        if self._shift or back.any():
            # In floating point no pile of shifts overflows.
            shifts = self._shift + np.cumsum(back, dtype=np.float64)
            self._shift = min(float(shifts[-1]), float(LATEST_NS))
            arrivals = np.minimum(arrivals + np.minimum(shifts, LATEST_NS), LATEST_NS).astype(np.int64)
        highest = np.maximum.accumulate(arrivals)
        highest = highest if self._latest is None else np.maximum(highest, self._latest)
        arrivals = np.maximum(arrivals, highest - UNTIDY_NS)
        self._latest = int(highest[-1])
        order = np.argsort(arrivals, kind="stable")
        return replace(frames, arrivals=arrivals).take(order)

    def _smooth(self, arrivals: Ints) -> Ints:
        before = np.concatenate(([arrivals[0] if self._last is None else self._last], arrivals[:-1]))
        after = np.append(arrivals[1:], arrivals[-1])
        low, high = np.minimum(before, arrivals), np.maximum(before, arrivals)
        median = np.maximum(low, np.minimum(high, after))
        return np.where(np.abs(arrivals - median) > UNTIDY_NS, median, arrivals)
