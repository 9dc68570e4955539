"""Times of frames that can be gone by: single ones that are wild are put right, and none lies far before another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gateway.rtp.packets import Ints
from gateway.tap.frames import FrameBatch, joined
from gateway.tap.records import LATEST_NS

# How far apart frames that follow each other may lie in the wrong order: the queues of an interface, and interfaces of
# one machine, differ by far less.
UNTIDY_NS = 1_000_000_000
# A clock is set back by little of what it has shown; what goes back to nearly the beginning is another part of a traffic.
BEGINNING = 10


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
        arrivals = _smooth(frames.arrivals, self._last)
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


def in_order(batches: Sequence[FrameBatch]) -> FrameBatch | None:
    """All frames of a capture by their times, where they lie in another order than a clock tells; None where they do not.

    Captures that were put behind each other, or written from the end, are told from a clock that was set back by where
    the times go back to: the beginning, or a time of which nothing else is.
    """
    arrivals = _smooth(np.concatenate([batch.arrivals for batch in batches]))
    if len(arrivals) < 2 or not _jumbled(arrivals):
        return None
    frames = replace(joined(batches), arrivals=arrivals)
    return frames.take(np.argsort(arrivals, kind="stable"))


def _jumbled(arrivals: Ints) -> bool:
    back = np.maximum.accumulate(arrivals) - arrivals > UNTIDY_NS
    if not back.any():
        return False
    starts = np.concatenate(([0], np.flatnonzero(np.diff(arrivals) < -UNTIDY_NS) + 1))
    first, last = np.minimum.reduceat(arrivals, starts), np.maximum.reduceat(arrivals, starts)
    order = np.argsort(first, kind="stable")
    apart = bool((last[order][:-1] < first[order][1:]).all())
    beginning = first[0] + (np.maximum.accumulate(last)[:-1] - first[0]) // BEGINNING
    return apart or bool((first[1:] <= beginning).all())


def _smooth(arrivals: Ints, last: int | None = None) -> Ints:
    """Times of which single ones are not wild: between two of which the earlier comes first. `last` is the one before them."""
    if not len(arrivals):
        return arrivals
    before = np.concatenate(([arrivals[0] if last is None else last], arrivals[:-1]))
    after = np.append(arrivals[1:], arrivals[-1])
    between = np.maximum(before, np.minimum(arrivals, after))
    wild = (before <= after) & (np.abs(arrivals - between) > UNTIDY_NS)
    return np.where(wild, between, arrivals)
