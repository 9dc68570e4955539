from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redaction.timeline import Span, Timeline

END = 60
spans = st.builds(
    lambda start, length: Span(start, start + length), st.integers(0, END - 1), st.integers(1, 12)
)
timelines = st.lists(spans, max_size=8).map(Timeline.of)


def units(timeline: Timeline) -> set[int]:
    return {unit for span in timeline.spans for unit in range(span.start, span.stop)}


@given(st.lists(spans, max_size=8))
def test_holds_what_its_spans_hold_in_one_form(given_spans: list[Span]) -> None:
    timeline = Timeline.of(given_spans)
    assert units(timeline) == {unit for span in given_spans for unit in range(span.start, span.stop)}
    assert all(one.stop < next_.start for one, next_ in zip(timeline.spans, timeline.spans[1:], strict=False))
    assert Timeline.of(timeline.spans) == timeline


@given(timelines, timelines, timelines)
def test_union(one: Timeline, two: Timeline, three: Timeline) -> None:
    assert units(one | two) == units(one) | units(two)
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one | Timeline() == one


@given(timelines, st.lists(st.tuples(st.integers(-5, END + 20), st.integers(1, 30)), max_size=20))
def test_touches_as_counted_unit_by_unit(timeline: Timeline, intervals: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in intervals], np.int64)
    stops = np.array([start + length for start, length in intervals], np.int64)
    held = units(timeline)
    expected = [bool(held & set(range(start, start + length))) for start, length in intervals]
    assert timeline.touches(starts, stops).tolist() == expected


@given(timelines, timelines)
def test_difference(one: Timeline, two: Timeline) -> None:
    assert units(one - two) == units(one) - units(two)


@given(timelines, st.integers(-5, END), st.integers(1, 30))
def test_reaching_gives_the_spans_that_an_interval_meets(timeline: Timeline, start: int, length: int) -> None:
    met = [span for span in timeline.spans if span.start < start + length and span.stop > start]
    assert timeline.reaching(start, start + length) == Timeline(tuple(met))


@given(timelines, st.lists(st.tuples(st.integers(-5, END + 20), st.integers(1, 30)), max_size=20))
def test_outside_as_counted_unit_by_unit(timeline: Timeline, intervals: list[tuple[int, int]]) -> None:
    starts = np.array([start for start, _ in intervals], np.int64)
    stops = np.array([start + length for start, length in intervals], np.int64)
    pieces = list(zip(*(column.tolist() for column in timeline.outside(starts, stops)), strict=True))
    assert pieces == sorted(pieces)
    assert all(start < stop for _, start, stop in pieces)
    held = units(timeline)
    for number, (start, length) in enumerate(intervals):
        left = [unit for which, begin, end in pieces if which == number for unit in range(begin, end)]
        assert left == [unit for unit in range(start, start + length) if unit not in held]
        of_it = [(begin, end) for which, begin, end in pieces if which == number]
        assert all(end < begin for (_, end), (begin, _) in pairwise(of_it))


def test_an_empty_span_is_no_span() -> None:
    with pytest.raises(ValueError, match="from 5 to 5"):
        Span(5, 5)
