"""Whatever of whatever traces is lost, repeated and mixed up: every call that is seen is over exactly once."""

from __future__ import annotations

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.tap.effects import MediaAgreed, Over, Seen, Unheard
from tests.tap.stories import STORIES, Step
from tests.tap.traces import SECOND, Trace

ALL = [step for story in STORIES for step in story]
# The next step of this story or that, lost, once or twice; and any steps in any order.
TURNS = st.lists(st.tuples(st.integers(0, len(STORIES) - 1), st.sampled_from([0, 1, 1, 1, 2])), max_size=60)


def told_in_turns(turns: list[tuple[int, int]]) -> list[Step]:
    stories = [iter(story) for story in STORIES]
    return [step for story, times in turns for step in [next(stories[story], None)] * times if step]


MIXED = TURNS.map(told_in_turns)
WILD = st.lists(st.sampled_from(ALL), max_size=60)
WAITS = st.sampled_from([0.0, 0.1, 1.0, 7.0, 90.0, 4000.0])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.one_of(MIXED, WILD), waits=st.lists(WAITS, min_size=4, max_size=4), room=st.sampled_from([2, 64])
)
def test_every_call_that_is_seen_is_over_once(steps: list[Step], waits: list[float], room: int) -> None:
    trace = Trace(max_calls=room)
    for number, (way, what, body, options) in enumerate(steps):
        trace(way, what, body, wait=waits[number % len(waits)], **options)  # type: ignore[arg-type]
        if number % 7 == 6 and trace.calls():
            trace.silent(trace.calls()[-1].call)
        assert len(trace.tap) <= room
    trace.effects += trace.tap.close(trace.now)
    assert len(trace.tap) == 0
    seen: Counter[int] = Counter(effect.call for effect in trace.of(Seen))
    over = Counter(effect.call for effect in trace.of(Over))
    assert seen == over
    assert set(seen.values()) <= {1}
    running: set[int] = set()
    for effect in trace.effects:
        if isinstance(effect, Seen):
            running.add(effect.call)
        elif not isinstance(effect, Unheard):
            assert effect.call in running
        if isinstance(effect, Over):
            running.discard(effect.call)
    for agreed in trace.of(MediaAgreed):
        assert all(stream.to or stream.source for stream in agreed.streams)
    for days in (2, 3):  # a dialog that another took the place of may never be heard of again
        assert trace.tap.expire(trace.now + days * 86_400 * SECOND) == []
    assert (trace.tap.remembers(), trace.tap.keeps()) == (0, 0)
