"""The course of one call: whatever is heard of it in whatever order, it ends once."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.effects import End, Side
from gateway.tap.progress import (
    CANCEL_NS,
    FOLLOWED_NS,
    FORK_NS,
    LONGEST_NS,
    RETRY_NS,
    RINGING_NS,
    SECOND,
    TRANSFER_NS,
    UNANSWERED_NS,
    Course,
    State,
)

# All that is heard of a call, in the order in which SIP allows it or not.
HEARD: dict[str, Callable[[Course, int], object]] = {
    "a message": Course.hear,
    "ringing": lambda course, _: course.ring(),
    "an answer": Course.answer,
    "a CANCEL": Course.cancel,
    "a challenge": lambda course, at: course.refuse(401, at, alone=True, forwarded=False),
    "busy": lambda course, at: course.refuse(486, at, alone=False, forwarded=True),
    "cancelled": lambda course, at: course.refuse(487, at, alone=False, forwarded=True),
    "the next attempt": lambda course, _: course.place_again(newer=True),
    "hung up": Course.hang_up,
    "no transfer": lambda course, _: course.unfollow(),
    "nothing": Course.expire,
}


@given(st.lists(st.tuples(st.sampled_from(sorted(HEARD)), st.integers(0, 100 * SECOND)), max_size=12))
def test_a_call_has_an_end_with_its_reason_and_a_time_at_which_it_comes(heard: list[tuple[str, int]]) -> None:
    course, now = Course(0), 0
    for what, later in heard:
        now += later
        if course.over:
            break
        HEARD[what](course, now)
        assert course.answered == (course.answered_ns > 0)
        assert course.over or course.due_ns >= 0
    course.expire(max(now, course.due_ns))
    assert course.over
    assert course.ending is not None
    assert course.ending.at_ns <= max(now, course.due_ns)
    ending = course.ending
    course.expire(now + 10 * LONGEST_NS)
    assert course.ending == ending


def test_how_long_a_call_waits() -> None:
    course = Course(0)
    assert course.due_ns == UNANSWERED_NS
    course.ring()
    assert course.due_ns == RINGING_NS
    course.answer(SECOND)
    course.hear(SECOND)
    assert course.due_ns == SECOND + LONGEST_NS
    course.timer_ns = 90 * SECOND
    assert SECOND + 90 * SECOND < course.due_ns < SECOND + LONGEST_NS


def test_a_refusal_waits_for_what_may_follow_it() -> None:
    for status, forwarded, wait in (
        (401, False, RETRY_NS),
        (486, True, FORK_NS),
        (486, False, 0),
        (603, True, 0),
    ):
        course = Course(0)
        course.refuse(status, SECOND, alone=True, forwarded=forwarded)
        assert course.over is (wait == 0)
        assert course.due_ns == SECOND + wait
        assert course.awaits_retry() is (status == 401)


def test_a_cancelled_call_that_is_answered_goes_on() -> None:
    course = Course(0)
    course.cancel(SECOND)
    assert course.due_ns == SECOND + CANCEL_NS
    course.ring()
    assert course.ends_by(End.CANCELLED)
    assert course.answer(2 * SECOND)
    assert course.ending is None
    assert not course.answer(3 * SECOND)
    assert course.answered_ns == 2 * SECOND


def test_a_call_that_is_hung_up_after_a_refer_waits_for_the_one_that_follows() -> None:
    course = Course(0)
    course.answer(SECOND)
    course.referred = Side.CALLER
    course.hang_up(2 * SECOND)
    assert course.due_ns == 2 * SECOND + FOLLOWED_NS
    course.followed = True
    assert course.due_ns == 2 * SECOND + TRANSFER_NS
    course.unfollow()
    assert course.state is State.ENDED
    assert course.ends_by(End.BYE)
