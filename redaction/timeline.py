"""Which parts of a call must not be kept, as a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
        return Timeline.of(self.spans + other.spans)

    def touches(self, starts: npt.NDArray[np.int64], stops: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each interval from starts[i] up to stops[i]: does any of it lie in a span?"""
        if not self.spans:
            return np.zeros(len(starts), np.bool_)
        begins = np.array([span.start for span in self.spans])
        ends = np.array([span.stop for span in self.spans])
        # The first span that ends after an interval's start is the only one that can reach into it first.
        nearest = np.searchsorted(ends, starts, side="right")
        reachable = nearest < len(ends)
        touched: npt.NDArray[np.bool_] = reachable & (begins[np.minimum(nearest, len(ends) - 1)] < stops)
        return touched
