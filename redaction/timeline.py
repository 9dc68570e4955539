"""Which parts of a call must not be kept, as a value."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Units of the call clock from `start` up to, not including, `stop`."""

    start: int
    stop: int

    def __post_init__(self) -> None:
        if self.start >= self.stop:
            raise ValueError(f"a span from {self.start} to {self.stop} holds nothing")


@dataclass(frozen=True, slots=True)
class Timeline:
    """Disjoint spans in order, none touching the next. Every operation returns a new timeline."""

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Span]) -> Timeline:
        merged: list[Span] = []
        for span in sorted(spans):
            if merged and span.start <= merged[-1].stop:
                merged[-1] = Span(merged[-1].start, max(merged[-1].stop, span.stop))
            else:
                merged.append(span)
        return cls(tuple(merged))

    def __or__(self, other: Timeline) -> Timeline:
        if not (self.spans and other.spans):
            return self if self.spans else other
        return Timeline.of(self.spans + other.spans)

    def __sub__(self, other: Timeline) -> Timeline:
        """What lies in this one and not in the other."""
        starts, stops = self._edges()
        _, begins, ends = other.outside(starts, stops)
        return Timeline(tuple(map(Span, begins.tolist(), ends.tolist())))

    def reaching(self, start: int, stop: int) -> Timeline:
        """The spans, whole, of which any part lies from `start` up to `stop`; cheap on a long timeline."""
        first = bisect_right(self.spans, start, key=lambda span: span.stop)
        last = bisect_left(self.spans, stop, key=lambda span: span.start)
        return self if last - first == len(self.spans) else Timeline(self.spans[first:last])

    def bounded(self, count: int) -> Timeline:
        """At most `count` spans that hold all of these: those with least between them become one."""
        if len(self.spans) <= count:
            return self
        gaps = sorted(
            (after.start - before.stop, place) for place, (before, after) in enumerate(pairwise(self.spans))
        )
        kept = sorted(place for _, place in gaps[len(self.spans) - count :])
        firsts, lasts = [0, *(place + 1 for place in kept)], [*kept, len(self.spans) - 1]
        return Timeline(
            tuple(
                Span(self.spans[first].start, self.spans[last].stop)
                for first, last in zip(firsts, lasts, strict=True)
            )
        )

    def touches(self, starts: Ints, stops: Ints) -> Bools:
        """For each interval from starts[i] up to stops[i]: does any of it lie in a span?"""
        if not self.spans:
            return np.zeros(len(starts), np.bool_)
        first, last = self._between(starts, stops)
        touched: Bools = first < last
        return touched

    def outside(self, starts: Ints, stops: Ints) -> tuple[Ints, Ints, Ints]:
        """What of each interval lies in no span, in order: number of the interval, start and stop of the piece."""
        begins, ends = self._edges()
        first, last = self._between(starts, stops)
        cuts = np.maximum(last - first, 0)
        which = np.repeat(np.arange(len(starts)), cuts + 1)
        nth = np.arange(len(which)) - np.repeat(np.cumsum(cuts + 1) - cuts - 1, cuts + 1)
        # A piece goes from where the span before it ends to where the next one begins, within its interval.
        after = np.append(ends, 0)[first[which] + nth - 1]
        until = np.append(begins, 0)[np.minimum(first[which] + nth, len(begins))]
        after = np.where(nth == 0, starts[which], after)
        until = np.where(nth == cuts[which], stops[which], until)
        some = after < until
        return which[some], after[some], until[some]

    def _edges(self) -> tuple[Ints, Ints]:
        edges = np.array([(span.start, span.stop) for span in self.spans], np.int64).reshape(-1, 2)
        return edges[:, 0], edges[:, 1]

    def _between(self, starts: Ints, stops: Ints) -> tuple[Ints, Ints]:
        """The first span that ends after each interval's start, and the first that begins at its stop or later."""
        begins, ends = self._edges()
        return np.searchsorted(ends, starts, side="right"), np.searchsorted(begins, stops, side="left")
