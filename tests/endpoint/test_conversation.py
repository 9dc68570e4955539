"""One call through the endpoint, decision by decision: no sockets, no time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoint.conversation import (
    Action,
    Actions,
    Answer,
    Arm,
    Bridge,
    Conversation,
    Dial,
    HangUp,
    Hold,
    Hush,
    Manner,
    Phase,
    Play,
    Relay,
    Sound,
    TellBridged,
    TellNotice,
    TellOver,
    Way,
)
from gateway.endpoint.messages import Cause, Side

CALLER, CALLEE = Side.CALLER, Side.CALLEE


def begun(manner: Manner = Manner()) -> Conversation:  # noqa: B008 it is frozen
    """The notice is playing."""
    talk = Conversation(manner)
    talk.arrived()
    talk.answered(CALLER)
    talk.media(CALLER)
    return talk


def ringing(manner: Manner = Manner()) -> Conversation:  # noqa: B008
    talk = begun(manner)
    talk.notice_ended()
    return talk


def bridged() -> Conversation:
    talk = ringing()
    talk.answered(CALLEE)
    talk.media(CALLEE)
    return talk


def test_a_call_that_is_handed_on_is_dialled_anew_and_comes_back_where_nobody_takes_it() -> None:
    talk = bridged()
    talk.held(CALLEE, True)
    assert talk.transferred("sip:202@h") == [Hold(CALLER, False), Play(Sound.RINGING), HangUp(CALLEE, 200)]
    assert talk.transferred("sip:203@h") == []
    assert talk.left(CALLEE, 200) == [Arm(0.0)]
    assert Dial("sip:202@h") in talk.timed_out()
    assert talk.left(CALLEE, 486) == [Play(Sound.RINGING), Arm(0.0)]
    assert Dial() in talk.timed_out()
    assert of(talk.left(CALLEE, 486), Play) == [Play(Sound.BUSY)]
    assert talk.left(CALLER, 200)[-1] == TellOver(Cause.REFUSED, 486)


def test_a_caller_who_leaves_while_handed_on_ends_all() -> None:
    talk = bridged()
    talk.transferred("sip:202@h")
    assert HangUp(CALLEE, 480) in talk.left(CALLER, 200)
    assert talk.left(CALLEE, 200) == [TellOver(Cause.CALLER_BYE)]


def test_only_a_call_with_somebody_is_handed_on() -> None:
    assert ringing().transferred("sip:202@h") == []


def of(actions: Actions, kind: type[Action]) -> list[Action]:
    return [action for action in actions if isinstance(action, kind)]


def test_the_notice_comes_before_the_practice_is_called() -> None:
    talk = Conversation(Manner())
    assert talk.arrived() == [Answer(200)]
    assert talk.media(CALLER) == [Play(Sound.NOTICE), Arm(300.0)]
    assert talk.notice_ended() == [TellNotice(True), Play(Sound.RINGING), Dial(), Arm(60.0)]
    talk.answered(CALLEE)
    assert talk.media(CALLEE) == [Hush(), Bridge(), TellBridged()]


def test_a_notice_that_is_disturbed_begins_anew() -> None:
    talk = begun()
    assert talk.held(CALLER, True) == [Hush()]
    assert talk.media(CALLER) == []
    assert talk.held(CALLER, False) == []
    assert talk.media(CALLER) == [Play(Sound.NOTICE)]
    assert TellNotice(True) in talk.notice_ended()


def test_a_notice_that_fails_does_not_lose_the_caller() -> None:
    assert begun().notice_failed()[:3] == [TellNotice(False), Play(Sound.RINGING), Dial()]
    assert of(begun().timed_out(), Dial)


def test_where_the_notice_is_required_the_call_ends_without_it() -> None:
    talk = begun(Manner(notice_required=True))
    actions = talk.notice_failed()
    assert not of(actions, Dial)
    assert of(actions, HangUp) == [HangUp(CALLER, 480)]
    assert talk.left(CALLER, 0) == [TellOver(Cause.NO_NOTICE)]


def test_without_a_notice_the_practice_is_called_at_once_and_the_call_is_unannounced() -> None:
    talk = Conversation(Manner(notice=False))
    talk.arrived()
    assert talk.media(CALLER)[:1] == [TellNotice(False)]


def test_early_media_of_the_practice_is_heard_and_then_replaced_by_the_bridge() -> None:
    talk = ringing()
    assert talk.media(CALLEE) == [Hush(), Bridge(one_way=True)]
    talk.answered(CALLEE)
    assert Bridge() in talk.media(CALLEE)


@pytest.mark.parametrize("side", Side)
def test_hold_and_keys_pass_to_the_other(side: Side) -> None:
    talk = bridged()
    assert talk.held(side, True) == [Hold(side.other, True)]
    assert talk.held(side, True) == []
    assert talk.held(side, False) == [Hold(side.other, False)]
    assert talk.key(side, "5", Way.INFO) == [Relay(side.other, "5", Way.INFO)]


def test_keys_for_nobody_are_dropped_and_none_is_ever_shown() -> None:
    assert begun().key(CALLER, "5", Way.RTP) == []
    assert "5" not in repr(bridged().key(CALLER, "5", Way.RTP))


def test_a_hold_while_it_rings_is_told_to_the_practice_when_it_answers() -> None:
    talk = ringing()
    assert talk.held(CALLER, True) == []
    talk.answered(CALLEE)
    assert talk.media(CALLEE)[-1] == Hold(CALLEE, True)


@pytest.mark.parametrize(
    ("status", "cause"),
    [(486, Cause.REFUSED), (603, Cause.REFUSED), (480, Cause.NO_ANSWER), (408, Cause.NO_ANSWER), (404, Cause.UNREACHABLE), (503, Cause.UNREACHABLE)],
)  # fmt: skip
def test_a_refusal_is_heard_as_busy_and_then_the_caller_is_let_go(status: int, cause: Cause) -> None:
    talk = ringing()
    assert talk.left(CALLEE, status) == [Play(Sound.BUSY), Arm(6.0)]
    assert HangUp(CALLER, 480) in talk.timed_out()
    assert talk.left(CALLER, 0) == [TellOver(cause, status)]


def test_a_caller_who_is_not_answered_gets_the_refusal_itself() -> None:
    talk = Conversation(Manner(answer_late=True))
    assert talk.arrived() == [Answer(183)]
    talk.media(CALLER)
    talk.notice_ended()
    assert HangUp(CALLER, 486) in talk.left(CALLEE, 486)
    assert talk.left(CALLER, 486) == [TellOver(Cause.REFUSED, 486)]


def test_a_caller_who_leaves_takes_the_other_leg_along() -> None:
    talk = ringing()
    assert HangUp(CALLEE, 480) in talk.left(CALLER, 0)
    assert talk.left(CALLEE, 487) == [TellOver(Cause.CANCELLED)]
    talk = bridged()
    assert HangUp(CALLER, 480) in talk.left(CALLEE, 0)
    assert talk.left(CALLER, 0) == [TellOver(Cause.CALLEE_BYE)]


STEPS = st.sampled_from(
    [
        ("media", CALLER), ("media", CALLEE), ("answered", CALLER), ("answered", CALLEE), ("notice_ended",),
        ("notice_failed",), ("held", CALLER, True), ("held", CALLER, False), ("held", CALLEE, True), ("timed_out",),
        ("held", CALLEE, False), ("key", CALLER, "1", Way.RTP), ("dial_failed",), ("left", CALLEE, 486), ("end",),
        ("transferred", "sip:202@h"),
    ]
)  # fmt: skip


@given(st.lists(STEPS, max_size=20), st.booleans(), st.booleans(), st.booleans())
def test_whatever_happens_every_leg_is_ended_and_the_end_is_told_once(
    steps: list[tuple[str, ...]], notice: bool, required: bool, late: bool
) -> None:
    talk = Conversation(Manner(notice=notice, notice_required=required, answer_late=late))
    actions = talk.arrived()
    for name, *arguments in steps:
        if name == "dial_failed" and not of(actions, Dial):
            continue  # it is an answer to dialling
        actions += getattr(talk, name)(*arguments)
    actions += talk.left(CALLER, 0)
    actions += talk.left(CALLEE, 0)
    assert talk.phase is Phase.OVER
    assert len(of(actions, TellOver)) == 1
    if of(actions, TellBridged):
        assert actions.index(of(actions, TellNotice)[0]) < actions.index(of(actions, TellBridged)[0])
    handed = sum(name == "transferred" for name, *_ in steps)
    assert len(of(actions, Dial)) <= 1 + 2 * handed
