from __future__ import annotations

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


def test_an_empty_span_is_no_span() -> None:
    with pytest.raises(ValueError, match="from 5 to 5"):
        Span(5, 5)
