"""Calls as they pass a tap: from INVITE to BYE, and all that may come between."""

from __future__ import annotations

import pytest

from gateway.recording.model import Wish
from gateway.redaction.digit import Digit
from gateway.siprec.wishes import wishes
from gateway.tap.effects import (
    Answered,
    End,
    KeyPressed,
    MediaAgreed,
    Over,
    PartiesChanged,
    Seen,
    Side,
    Unheard,
    Wished,
)
from gateway.tap.parties import party
from tests.tap.traces import BOTH, PLACES, SECOND, Trace, line, message, sdp

A, B, C, D = (PLACES[name][0] for name in "ABCD")
TALK = [("caller", B, 5000), ("callee", A, 4000)]


def answered(people: str = "101 202") -> Trace:
    """A call from A to B that both speak in."""
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000), people=people)
    trace("B>A", "180 INVITE", tags="a b", people=people)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", people=people)
    trace("A>B", "ACK", tags="a b", people=people)
    return trace


def test_a_call_from_invite_to_bye() -> None:
    trace = answered()
    trace("B>A", "BYE", tags="b a")
    trace("A>B", "200 BYE", tags="b a")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Over"]
    [seen], [over] = trace.of(Seen), trace.of(Over)
    assert (seen.caller.user, seen.callee.user, seen.peers) == ("101", "202", (PLACES["A"], PLACES["B"]))
    assert not seen.midway
    assert [stream.side for stream in seen.offered] == [Side.CALLER, Side.CALLEE]
    assert seen.offered[1].to == (A, 4000)
    assert seen.offered[0].to is None
    assert trace.ways() == TALK
    assert [stream.source for stream in trace.streams()] == [(A, 4000), (B, 5000)]
    assert (over.how, over.answered, over.status, over.call) == (End.BYE, True, 0, seen.call)
    assert len(trace.tap) == 0


def test_everything_twice_is_one_call() -> None:
    trace = Trace()
    for _ in range(2):
        trace("A>B", "INVITE", sdp("A", 4000))
    for status in ("100", "180", "200", "200"):
        trace("B>A", f"{status} INVITE", sdp("B", 5000) if status == "200" else "", tags="a b")
    for _ in range(2):
        trace("A>B", "ACK", tags="a b")
    for _ in range(2):
        trace("A>B", "BYE", tags="a b", cseq=2)
        trace("B>A", "200 BYE", tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace("A>B", "INVITE", sdp("A", 4000))
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Over"]


def test_early_media_is_heard_before_the_answer() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "183 INVITE", sdp("C", 6000), tags="a b")
    assert trace.told() == ["Seen", "MediaAgreed"]
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.told() == ["Seen", "MediaAgreed", "MediaAgreed", "Answered"]
    assert trace.ways() == TALK
    trace("B>A", "183 INVITE", sdp("C", 6000), tags="a b")  # overtaken by the answer
    assert trace.ways() == TALK


def test_early_media_stands_where_the_answer_has_no_description() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "183 INVITE", sdp("B", 5000), tags="a b")
    trace("B>A", "200 INVITE", tags="a b")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == TALK


def test_an_offer_in_the_answer_is_answered_by_the_ack() -> None:
    trace = Trace()
    trace("A>B", "INVITE")
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace("A>B", "ACK", sdp("A", 4000), tags="a b", via="another")
    assert trace.ways() == TALK


def test_an_offer_in_a_reliable_response_is_answered_by_prack() -> None:
    trace = Trace()
    trace("A>B", "INVITE")
    trace("B>A", "183 INVITE", sdp("B", 5000), tags="a b", fields=["Require: 100rel", "RSeq: 1"])
    assert trace.told() == ["Seen"]
    trace("A>B", "PRACK", sdp("A", 4000), tags="a b", cseq=2, fields=["RAck: 1 1 INVITE"])
    trace("B>A", "200 PRACK", tags="a b", cseq=2)
    assert trace.told() == ["Seen", "MediaAgreed"]
    assert trace.ways() == TALK
    trace("B>A", "200 INVITE", tags="a b")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]


def test_prack_may_bring_an_offer_of_its_own() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "183 INVITE", sdp("B", 5000), tags="a b")
    trace("A>B", "PRACK", sdp("A", 4002), tags="a b", cseq=2, fields=["RAck: 1 1 INVITE"])
    assert trace.ways() == TALK
    trace("B>A", "200 PRACK", sdp("B", 5002), tags="a b", cseq=2)
    assert trace.ways() == [("caller", B, 5002), ("callee", A, 4002)]


@pytest.mark.parametrize("early", [True, False])
def test_update_moves_the_media(early: bool) -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "183 INVITE" if early else "200 INVITE", sdp("B", 5000), tags="a b")
    trace("A>B", "UPDATE", sdp("A", 4002), tags="a b", cseq=2)
    assert trace.ways() == TALK
    trace("B>A", "200 UPDATE", sdp("C", 6000), tags="a b", cseq=2)
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4002)]
    trace("B>A", "200 INVITE", tags="a b")
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4002)]
    assert len(trace.calls()) == 1


@pytest.mark.parametrize("hold", ["sendonly", "inactive", "address"])
def test_hold_and_resume(hold: str) -> None:
    trace = answered()
    held = sdp("0.0.0.0", 5000) if hold == "address" else sdp("B", 5000, "8", hold)
    answer = "recvonly" if hold == "sendonly" else "inactive"
    trace("B>A", "INVITE", held, tags="b a", cseq=7)
    assert not any(stream.paused for stream in trace.streams())
    trace("A>B", "200 INVITE", sdp("A", 4000, "8", answer), tags="b a", cseq=7)
    trace("B>A", "ACK", tags="b a", cseq=7)
    caller, callee = trace.streams()
    assert caller.paused
    assert callee.paused is (hold != "sendonly")  # who holds may play music
    trace("B>A", "INVITE", sdp("B", 5000), tags="b a", cseq=8)
    trace("A>B", "200 INVITE", sdp("A", 4000), tags="b a", cseq=8)
    assert not any(stream.paused for stream in trace.streams())
    assert trace.told().count("MediaAgreed") == 3


@pytest.mark.parametrize("status", [488, 491, 500, 401])
def test_a_refused_change_changes_nothing(status: int) -> None:
    trace = answered()
    before = trace.streams()
    trace("A>B", "INVITE", sdp("A", 4444, "0"), tags="a b", cseq=2)
    trace("B>A", f"{status} INVITE", tags="a b", cseq=2)
    trace("A>B", "ACK", tags="a b", cseq=2)
    assert trace.streams() == before
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]


def test_both_ask_at_once() -> None:
    """RFC 3261 section 14.2: both get 491, and one of them tries again."""
    trace = answered()
    trace("A>B", "INVITE", sdp("A", 4002), tags="a b", cseq=2)
    trace("B>A", "INVITE", sdp("B", 5002), tags="b a", cseq=2)
    trace("B>A", "491 INVITE", tags="a b", cseq=2)
    trace("A>B", "491 INVITE", tags="b a", cseq=2)
    assert trace.ways() == TALK
    trace("A>B", "INVITE", sdp("A", 4002), tags="a b", cseq=3)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=3)
    assert trace.ways() == [("caller", B, 5000), ("callee", A, 4002)]


def test_a_change_of_the_codec() -> None:
    trace = answered()
    trace("A>B", "INVITE", sdp("A", 4000, "9 8"), tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000, "9"), tags="a b", cseq=2)
    assert [[f.name for f in stream.formats] for stream in trace.streams()] == [["G722"], ["G722"]]


def test_a_fax_takes_the_place_of_the_voice() -> None:
    trace = answered()
    trace("B>A", "INVITE", sdp("B", 5000, "t38", profile="udptl", kind="image"), tags="b a", cseq=2)
    trace("A>B", "200 INVITE", sdp("A", 4000, "t38", profile="udptl", kind="image"), tags="b a", cseq=2)
    assert trace.streams() == ()


def test_several_lines_and_those_that_are_refused() -> None:
    offer = "\r\n".join(
        [sdp("A", 4000, BOTH).rstrip(), *line("A", 4010, "31", kind="video"), *line("A", 4020, BOTH)]
    )
    answer = "\r\n".join([sdp("B", 5000).rstrip(), *line("B", 0, "31", kind="video"), *line("B", 5020, "0")])
    trace = Trace()
    trace("A>B", "INVITE", offer)
    trace("B>A", "200 INVITE", answer, tags="a b")
    assert trace.ways() == [*TALK, ("caller", B, 5020), ("callee", A, 4020)]
    assert [[f.name for f in stream.formats] for stream in trace.streams()] == [
        ["PCMA"],
        ["PCMA"],
        ["PCMU"],
        ["PCMU"],
    ]


def test_a_change_without_an_offer_asks_the_other_side_for_one() -> None:
    trace = answered()
    trace("B>A", "INVITE", tags="b a", cseq=2)
    trace("A>B", "200 INVITE", sdp("A", 4002), tags="b a", cseq=2)
    assert trace.ways() == TALK
    trace("B>A", "ACK", sdp("B", 5002), tags="b a", cseq=2, via="another")
    assert trace.ways() == [("caller", B, 5002), ("callee", A, 4002)]


# Forks, retries, refusals


def test_the_branch_that_answers_is_the_call() -> None:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>A", "183 INVITE", sdp("B", 5000), tags="a b")
    trace("P>A", "183 INVITE", sdp("C", 6000), tags="a c")
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.ways() == TALK
    trace("P>A", "183 INVITE", sdp("C", 6000), tags="a c")
    assert trace.ways() == TALK
    assert trace.told() == ["Seen", "MediaAgreed", "MediaAgreed", "MediaAgreed", "Answered"]


def test_of_two_answers_the_caller_hangs_one_up() -> None:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    trace("A>P", "BYE", tags="a c", cseq=2)
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")  # once more
    assert trace.ends() == []
    assert trace.ways() == TALK
    trace("A>P", "BYE", tags="a b", cseq=2)
    assert trace.ends() == ["bye"]


def two_answers() -> Trace:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    return trace


def test_the_other_answer_goes_on_where_the_first_is_hung_up() -> None:
    trace = two_answers()
    trace("A>P", "ACK", tags="a b", via="k")
    trace("A>P", "ACK", tags="a c", via="l")
    trace("A>P", "BYE", tags="a b", cseq=2)
    assert trace.ends() == []
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("A>P", "BYE", tags="a c", cseq=2)
    assert trace.ends() == ["bye"]


def test_an_answer_that_nobody_acknowledges_does_not_go_on() -> None:
    trace = two_answers()
    trace("A>P", "ACK", tags="a b", via="k")
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    trace("B>A", "BYE", tags="b a")
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Over"]


def test_of_two_answers_the_one_acknowledged_is_the_call() -> None:
    trace = two_answers()
    trace("A>P", "ACK", tags="a c", via="k")
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("C>A", "BYE", tags="c a")
    assert trace.ends() == ["bye"]


def forked_by_a_proxy(trace: Trace) -> None:
    trace("A>P", "INVITE", sdp("A", 4000), via="1")
    trace("P>B", "INVITE", sdp("A", 4000), via="2 1")
    trace("P>C", "INVITE", sdp("A", 4000), via="3 1")
    trace("B>P", "180 INVITE", tags="a b", via="2 1")
    trace("P>A", "180 INVITE", tags="a b", via="1")
    trace("C>P", "180 INVITE", tags="a c", via="3 1")
    trace("P>A", "180 INVITE", tags="a c", via="1")


def test_a_forking_proxy_on_both_its_sides_is_one_call() -> None:
    trace = Trace()
    forked_by_a_proxy(trace)
    trace("C>P", "200 INVITE", sdp("C", 6000), tags="a c", via="3 1")
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c", via="1")
    trace("P>B", "CANCEL", via="2")
    trace("B>P", "200 CANCEL", via="2")
    trace("B>P", "487 INVITE", tags="a b", via="2 1")
    trace("P>B", "ACK", tags="a b", via="2")
    trace("A>P", "ACK", tags="a c", via="4")
    trace("P>C", "ACK", tags="a c", via="5 4")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("C>P", "BYE", tags="c a", via="6")
    trace("P>A", "BYE", tags="c a", via="7 6")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Over"]


def test_one_branch_that_is_busy_is_not_the_end() -> None:
    trace = Trace()
    forked_by_a_proxy(trace)
    trace("B>P", "486 INVITE", tags="a b", via="2 1")
    trace.later(30)
    assert trace.ends() == []
    trace("C>P", "486 INVITE", tags="a c", via="3 1")
    trace("P>A", "486 INVITE", tags="a c", via="1")
    assert [(over.how, over.status, over.answered) for over in trace.of(Over)] == [(End.REFUSED, 486, False)]


def test_a_proxy_that_is_heard_on_its_far_side_only_may_try_another_telephone() -> None:
    trace = Trace()
    trace("P>B", "INVITE", sdp("A", 4000), via="2 1")
    trace("B>P", "486 INVITE", tags="a b", via="2 1")
    trace("P>B", "ACK", tags="a b", via="2")
    trace("P>C", "INVITE", sdp("A", 4000), via="3 1")
    trace("C>P", "200 INVITE", sdp("C", 6000), tags="a c", via="3 1")
    trace.later(60)
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]


def test_media_through_a_proxy_is_taken_from_one_side_of_it() -> None:
    """A relay beside the proxy gives each side a place of its own."""
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000), via="1")
    trace("P>B", "INVITE", sdp("Q", 7000), via="2 1")
    trace("B>P", "200 INVITE", sdp("B", 5000), tags="a b", via="2 1")
    trace("P>A", "200 INVITE", sdp("Q", 7002), tags="a b", via="1")
    relay = PLACES["Q"][0]
    assert trace.ways() == [("caller", B, 5000), ("callee", relay, 7000)]
    trace("A>P", "INVITE", sdp("A", 4000, "8", "sendonly"), tags="a b", cseq=2, via="3")
    trace("P>B", "INVITE", sdp("Q", 7000, "8", "sendonly"), tags="a b", cseq=2, via="4 3")
    trace("B>P", "200 INVITE", sdp("B", 5000, "8", "recvonly"), tags="a b", cseq=2, via="4 3")
    trace("P>A", "200 INVITE", sdp("Q", 7002, "8", "recvonly"), tags="a b", cseq=2, via="3")
    assert trace.ways() == [("caller", B, 5000), ("callee", relay, 7000)]
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "MediaAgreed"]


@pytest.mark.parametrize("status", [401, 407, 422, 302])
def test_an_invite_is_tried_again_as_the_same_call(status: int) -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", f"{status} INVITE", tags="a x")
    trace("A>B", "ACK", tags="a x")
    trace("A>B", "INVITE", sdp("A", 4002), cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=2)
    trace("B>A", "401 INVITE", tags="a x")
    trace.later(60)
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", B, 5000), ("callee", A, 4002)]


def test_a_proxy_of_which_one_side_is_heard_in_one_direction_only() -> None:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000), via="1")
    trace("B>P", "200 INVITE", sdp("B", 5000), tags="a b", via="2 1")
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a b", via="1")
    assert trace.ways() == TALK
    trace("B>P", "BYE", tags="b a", via="3")
    assert trace.told()[0] == "Seen"
    assert trace.told()[-1] == "Over"
    assert len(trace.calls()) == 1


def test_an_invite_that_is_tried_again_under_another_tag_is_the_same_call() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "407 INVITE", tags="a x")
    trace("A>B", "INVITE", sdp("A", 4000), tags="aa", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="aa b", cseq=2)
    trace("B>A", "BYE", tags="b aa")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Over"]


def test_a_challenge_that_nobody_takes_up_is_a_refusal() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "401 INVITE", tags="a x")
    trace("A>B", "ACK", tags="a x")
    assert trace.ends() == []
    trace.later(10)
    [over] = trace.of(Over)
    assert (over.how, over.status, over.at_ns) == (End.REFUSED, 401, SECOND + 2 * SECOND // 10)


@pytest.mark.parametrize("status", [404, 480, 486, 503, 603])
def test_refusals(status: int) -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "180 INVITE", tags="a b")
    for _ in range(2):
        trace("B>A", f"{status} INVITE", tags="a b")
        trace("A>B", "ACK", tags="a b")
    assert trace.told() == ["Seen", "Over"]
    assert [(over.how, over.status, over.answered) for over in trace.of(Over)] == [
        (End.REFUSED, status, False)
    ]
    trace("A>B", "INVITE", sdp("A", 4000), cseq=2)  # tried again by hand
    assert len(trace.calls()) == 2


def test_the_caller_hangs_up_while_it_rings() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "180 INVITE", tags="a b")
    trace("A>B", "CANCEL", via="one-a-INVITE-1")
    trace("B>A", "200 CANCEL", via="one-a-INVITE-1")
    trace("B>A", "487 INVITE", tags="a b")
    trace("A>B", "ACK", tags="a b")
    assert [(over.how, over.status) for over in trace.of(Over)] == [(End.CANCELLED, 487)]


def test_a_cancel_that_nothing_follows_is_an_end() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("A>B", "CANCEL", via="one-a-INVITE-1")
    trace.later(40)
    assert trace.ends() == ["cancelled"]


def test_an_answer_that_crosses_a_cancel_counts() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("A>B", "CANCEL", via="one-a-INVITE-1")
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace.later(40)
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    trace("A>B", "BYE", tags="a b", cseq=2)
    assert trace.ends() == ["bye"]


# What the tap hears only in part


def test_a_200_that_is_seen_before_its_invite() -> None:
    trace = Trace()
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", B, 5000), ("callee", None, 0)]
    assert trace.streams()[1].source == (B, 5000)
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("A>B", "ACK", tags="a b")
    assert trace.ways() == TALK
    trace("A>B", "BYE", tags="a b", cseq=2)
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "MediaAgreed", "Over"]


def test_only_what_the_caller_sends_is_mirrored() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("A>B", "ACK", tags="a b", via="another")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", None, 0), ("callee", A, 4000)]
    trace("A>B", "BYE", tags="a b", cseq=2)
    assert trace.ends() == ["bye"]


def test_an_ack_of_the_invite_itself_says_that_it_was_refused() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("A>B", "ACK", tags="a b", via="one-a-INVITE-1")
    assert [(over.how, over.status) for over in trace.of(Over)] == [(End.REFUSED, 0)]


def test_a_call_that_began_before_the_tap() -> None:
    trace = Trace()
    trace("B>A", "INVITE", sdp("B", 5000), tags="b a", cseq=9, people="202 101")
    assert trace.effects == []
    trace("A>B", "200 INVITE", sdp("A", 4000), tags="b a", cseq=9, people="202 101")
    [seen] = trace.calls()
    assert seen.midway
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]
    assert trace.ways() == [("caller", A, 4000), ("callee", B, 5000)]
    trace("A>B", "BYE", tags="a b", people="101 202")
    assert trace.ends() == ["bye"]


def test_a_call_that_began_before_the_tap_and_is_updated() -> None:
    trace = Trace()
    trace("B>A", "UPDATE", sdp("B", 5000), tags="b a", cseq=9)
    trace("A>B", "200 UPDATE", sdp("A", 4000), tags="b a", cseq=9)
    assert trace.told() == ["Seen", "MediaAgreed", "Answered"]


@pytest.mark.parametrize("what", ["BYE", "200 BYE"])
def test_of_a_call_that_began_before_the_tap_only_the_end_is_heard(what: str) -> None:
    trace = Trace()
    for _ in range(3):
        trace("A>B", what, tags="a b", cseq=4)
    assert trace.told() == ["Seen", "Over"]
    assert trace.calls()[0].midway
    assert trace.of(Over)[0].answered


@pytest.mark.parametrize("status", [481, 408])
def test_a_call_that_is_not_there_is_none(status: int) -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000), tags="a b", cseq=4)
    trace("B>A", f"{status} INVITE", tags="a b", cseq=4)
    assert trace.effects == []
    assert len(trace.tap) == 0


def test_private_addresses_are_what_counts() -> None:
    """Who is behind NAT announces what it knows; the far side's packets are the tap's to match."""
    trace = Trace()
    trace("A>B", "INVITE", sdp("10.0.0.7", 4000))
    trace("B>A", "200 INVITE", sdp("192.168.1.9", 5000), tags="a b")
    assert trace.ways() == [("caller", "192.168.1.9", 5000), ("callee", "10.0.0.7", 4000)]
    assert [stream.source for stream in trace.streams()] == [("10.0.0.7", 4000), ("192.168.1.9", 5000)]


# How calls end that nobody hangs up


def test_an_invite_that_nobody_answers_is_lost() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace.later(70)
    assert trace.ends() == ["lost"]


def test_a_telephone_may_ring_for_long() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "180 INVITE", tags="a b")
    trace.later(300)
    assert trace.ends() == []
    trace.later(3600)
    assert trace.ends() == ["lost"]


def test_a_session_timer_runs_out() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    expires = ["Session-Expires: 90;refresher=uac"]
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", fields=expires)
    trace("A>B", "UPDATE", tags="a b", cseq=2, wait=60)
    trace("B>A", "200 UPDATE", tags="a b", cseq=2, fields=expires)
    trace.later(100)
    assert trace.ends() == []
    trace.later(30)
    assert trace.ends() == ["lost"]


def test_silence_ends_a_call_but_not_one_on_hold() -> None:
    trace = answered()
    [seen] = trace.calls()
    trace("A>B", "INVITE", sdp("A", 4000, "8", "inactive"), tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000, "8", "inactive"), tags="a b", cseq=2)
    assert trace.silent(seen.call) == []
    trace("A>B", "INVITE", sdp("A", 4000), tags="a b", cseq=3)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=3)
    trace.silent(seen.call)
    assert trace.ends() == ["lost"]
    assert trace.silent(seen.call) == []
    trace("A>B", "BYE", tags="a b", cseq=4)
    assert trace.told().count("Over") == 1


def test_a_call_that_was_given_up_and_goes_on_is_found_again() -> None:
    trace = answered()
    trace.silent(trace.calls()[0].call)
    trace("A>B", "INVITE", sdp("A", 4000), tags="a b", cseq=2)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", cseq=2)
    assert [seen.midway for seen in trace.calls()] == [False, True]


def test_a_newer_call_at_the_same_place_ends_the_older() -> None:
    trace = answered()
    trace.later(30)
    trace("A>C", "INVITE", sdp("A", 4000), call="two")
    trace("C>A", "200 INVITE", sdp("C", 6000), call="two", tags="a c")
    trace.later(59)
    assert trace.ends() == []
    trace.later(2)
    [over] = trace.of(Over)
    assert (over.how, over.call) == (End.LOST, trace.calls()[0].call)


def test_two_calls_of_a_telephone_system_may_share_their_places() -> None:
    """It lets both telephones speak directly."""
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>B", "INVITE", sdp("A", 4000), call="two")
    trace("B>P", "200 INVITE", sdp("B", 5000), call="two", tags="a b")
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a p")
    trace.later(60)
    assert trace.ends() == []
    assert len(trace.calls()) == 2


def test_calls_that_all_have_one_place_are_not_taken_for_lost() -> None:
    """As generators of calls make them: once two are seen to go on beside each other, no other is suspected."""
    trace = Trace()
    for number in range(4):
        trace("A>B", "INVITE", sdp("A", 4000), call=f"c{number}")
        trace("B>A", "200 INVITE", sdp("B", 5000), call=f"c{number}", tags="a b", wait=5)
    trace("A>B", "BYE", call="c0", tags="a b", cseq=2, wait=10)
    trace.later(300)
    assert trace.ends() == ["bye"]


def test_nothing_more_is_heard() -> None:
    trace = answered()
    trace("C>D", "INVITE", sdp("C", 6000), call="two")
    effects = trace.tap.close(trace.now)
    assert [(over.how, over.answered) for over in effects if isinstance(over, Over)] == [
        (End.LOST, True), (End.LOST, False),
    ]  # fmt: skip
    assert len(trace.tap) == 0


# People and wishes


def test_the_network_knows_better_who_calls() -> None:
    trace = Trace()
    asserted = ['P-Asserted-Identity: "Praxis" <sip:+4930123456@example.org>, <tel:+4930123456>']
    trace("A>B", "INVITE", sdp("A", 4000), people="anonymous 202", fields=asserted)
    [seen] = trace.calls()
    assert (seen.caller.user, seen.caller.name) == ("+4930123456", "Praxis")


def test_a_name_that_is_not_utf_8_is_text_all_the_same() -> None:
    value = b'"J\xf6rg" <sip:j\xf6rg@example.org>'.decode("utf-8", "surrogateescape")
    found = party(value)
    assert (found.name, found.user, found.aor) == ("J\xf6rg", "j\xf6rg", "sip:j\xf6rg@example.org")


def test_a_caller_may_withhold_its_number() -> None:
    trace = Trace()
    fields = ["P-Asserted-Identity: <tel:+4930123456>", "Privacy: id"]
    trace("A>B", "INVITE", sdp("A", 4000), people="anonymous 202", fields=fields)
    [seen] = trace.calls()
    assert seen.caller.user is None
    assert seen.notes == ("the caller withholds its number",)


def test_other_headers_that_name_people() -> None:
    trace = Trace()
    fields = [
        'Remote-Party-ID: "Empfang" <sip:103@example.org>;party=calling;privacy=off',
        "P-Called-Party-ID: <sip:300@example.org>",
        "Diversion: <sip:299@example.org>;reason=no-answer",
    ]
    trace("A>B", "INVITE", sdp("A", 4000), fields=fields)
    [seen] = trace.calls()
    assert (seen.caller.user, seen.caller.name, seen.callee.user) == ("103", "Empfang", "300")
    assert seen.notes == ("the call was diverted before it came here",)
    assert "103" not in repr(seen)


def test_somebody_else_takes_the_call() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    picked_up = ["P-Asserted-Identity: <sip:205@example.org>"]
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", fields=picked_up)
    [changed] = trace.of(PartiesChanged)
    assert (changed.caller.user, changed.callee.user, changed.transfer) == ("101", "205", False)


def test_of_several_that_ring_the_one_that_answers_is_the_callee() -> None:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    trace("P>A", "180 INVITE", tags="a b", fields=["P-Asserted-Identity: <sip:205@h>"])
    trace("P>A", "180 INVITE", tags="a c", fields=["P-Asserted-Identity: <sip:207@h>"])
    trace("P>A", "200 INVITE", sdp("B", 5000), tags="a b")
    last = trace.of(PartiesChanged)[-1]
    assert (last.callee.user, last.transfer) == ("205", False)


@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_a_telephone_system_tells_that_it_handed_the_call_on(method: str) -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    asserted = "P-Asserted-Identity: <sip:{}@example.org>".format
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b", fields=[asserted("202")])
    trace("B>A", method, sdp("B", 5000), tags="b a", cseq=2, fields=[asserted("207")])
    [changed] = trace.of(PartiesChanged)
    assert (changed.callee.user, changed.transfer) == ("207", True)


def test_another_from_in_mid_call_is_another_person() -> None:
    """RFC 4916."""
    trace = answered()
    trace("B>A", "UPDATE", tags="b a", cseq=2, people="207 101")
    [changed] = trace.of(PartiesChanged)
    assert (changed.caller.user, changed.callee.user, changed.transfer) == ("101", "207", True)


def test_who_is_asserted_for_the_first_time_in_mid_call_is_better_known() -> None:
    trace = answered()
    trace("B>A", "UPDATE", tags="b a", cseq=2, people="202 101", fields=["P-Asserted-Identity: <sip:300@h>"])
    [changed] = trace.of(PartiesChanged)
    assert (changed.callee.user, changed.transfer) == ("300", False)


def test_a_number_written_otherwise_is_nobody_else() -> None:
    trace = answered(people="101 030123456")
    other = ["P-Asserted-Identity: <sip:+4930123456@example.org>"]
    trace("B>A", "UPDATE", tags="b a", cseq=2, fields=other)
    assert trace.of(PartiesChanged) == []


def test_headers_that_ask_for_recording() -> None:
    trace = Trace(wishes(["X-Recording: off"], ["X-Recording: on"]))
    trace("A>B", "INVITE", sdp("A", 4000), fields=["X-Recording: off"])
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.calls()[0].wish is Wish.OFF
    for _ in range(2):
        trace("A>B", "INFO", tags="a b", cseq=2, fields=["X-Recording: on"])
    assert [wished.wish for wished in trace.of(Wished)] == [Wish.ON]


def test_streams_carry_what_their_speaker_prefers() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000, "8", "recordpref:off"))
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert [stream.recordpref for stream in trace.streams()] == ["off", None]


def test_keys_told_of_by_info() -> None:
    trace = answered()
    fields = ["Content-Type: application/dtmf-relay"]
    for _ in range(2):  # on both sides of a proxy, say
        trace("A>B", "INFO", "Signal=5\r\nDuration=160\r\n", tags="a b", cseq=2, fields=fields)
    trace("B>A", "INFO", "Signal=#\r\n", tags="b a", cseq=2, fields=fields)
    trace("B>A", "INFO", "Signal=nothing\r\n", tags="b a", cseq=3, fields=fields)
    assert [(key.side, key.digit, key.lasts_ms) for key in trace.of(KeyPressed)] == [
        (Side.CALLER, Digit.FIVE, 160), (Side.CALLEE, Digit.HASH, 0),
    ]  # fmt: skip
    assert [unheard.kind for unheard in trace.of(Unheard)] == ["bad_info"]


# Transfers


def test_an_attended_transfer_goes_on_as_the_call_that_was_transferred() -> None:
    """A calls B, B asks C and hands A over: A's call goes on with C."""
    trace = answered()
    trace("B>C", "INVITE", sdp("B", 5010), call="two", tags="bb", people="202 303")
    trace("C>B", "200 INVITE", sdp("C", 6000), call="two", tags="bb c", people="202 303")
    refer = ["Refer-To: <sip:303@example.org?Replaces=two%3Bto-tag%3Dc%3Bfrom-tag%3Dbb>"]
    trace("B>A", "REFER", tags="b a", cseq=2, people="202 101", fields=refer)
    trace("A>B", "202 REFER", tags="b a", cseq=2, people="202 101")
    replaces = ["Replaces: two;to-tag=c;from-tag=bb", "Referred-By: <sip:202@example.org>"]
    trace("A>C", "INVITE", sdp("A", 4010), call="three", tags="aa", people="101 303", fields=replaces)
    assert len(trace.calls()) == 2
    trace("C>A", "200 INVITE", sdp("C", 6010), call="three", tags="aa cc", people="101 303")
    first, second = trace.calls()
    [changed] = trace.of(PartiesChanged)
    assert (changed.call, changed.caller.user, changed.callee.user, changed.transfer) == (
        first.call, "101", "303", True,
    )  # fmt: skip
    assert [(over.call, over.how) for over in trace.of(Over)] == [(second.call, End.REPLACED)]
    assert trace.of(MediaAgreed)[-1].call == first.call
    assert trace.ways() == [("caller", C, 6010), ("callee", A, 4010)]
    trace("C>B", "BYE", call="two", tags="c bb")
    trace("B>A", "BYE", tags="b a", cseq=3)
    trace.later(10)
    assert trace.ends() == ["replaced"]
    trace("C>A", "BYE", call="three", tags="cc aa")
    assert [(over.call, over.how) for over in trace.of(Over)][1:] == [(first.call, End.BYE)]


def test_a_call_is_taken_over_by_whoever_replaces_one_side() -> None:
    """C takes B's place in a call that A placed: A is asked, and stays the caller."""
    trace = answered()
    fields = ["Replaces: one;to-tag=a;from-tag=b"]
    trace("C>A", "INVITE", sdp("C", 6000), call="two", tags="c", people="303 101", fields=fields)
    trace("A>C", "200 INVITE", sdp("A", 4002), call="two", tags="c aa", people="303 101")
    [seen] = trace.calls()
    [changed] = trace.of(PartiesChanged)
    assert (changed.call, changed.caller.user, changed.callee.user) == (seen.call, "101", "303")
    assert trace.ways() == [("callee", A, 4002), ("caller", C, 6000)]
    trace("A>B", "BYE", tags="a b", cseq=2)
    assert trace.ends() == []
    trace("A>C", "BYE", call="two", tags="aa c")
    assert trace.ends() == ["bye"]


def test_a_ringing_call_is_picked_up_elsewhere() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000))
    trace("B>A", "180 INVITE", tags="a b")
    fields = ["Replaces: one;to-tag=a;from-tag=b;early-only"]
    trace("C>A", "INVITE", sdp("C", 6000), call="two", tags="c", people="303 101", fields=fields)
    trace("A>C", "200 INVITE", sdp("A", 4000), call="two", tags="c aa", people="303 101")
    trace("A>B", "CANCEL", via="one-a-INVITE-1")
    trace("B>A", "487 INVITE", tags="a b")
    assert trace.told() == ["Seen", "PartiesChanged", "MediaAgreed", "Answered"]


def test_a_replacement_that_is_refused_is_a_call_of_its_own() -> None:
    trace = answered()
    fields = ["Replaces: one;to-tag=b;from-tag=a"]
    trace("C>B", "INVITE", sdp("C", 6000), call="two", tags="c", fields=fields)
    trace("B>C", "603 INVITE", call="two", tags="c bb")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "Seen", "Over"]
    assert trace.of(Over)[0].call == trace.calls()[1].call


def referred(trace: Trace) -> None:
    """B tells A to call C, and hangs up at once."""
    trace("B>A", "REFER", tags="b a", cseq=2, fields=["Refer-To: <sip:303@example.org>"])
    trace("A>B", "202 REFER", tags="b a", cseq=2)
    trace("A>B", "NOTIFY", "SIP/2.0 100 Trying", tags="a b", fields=["Content-Type: message/sipfrag"])
    trace("B>A", "BYE", tags="b a", cseq=3)
    trace("A>B", "200 BYE", tags="b a", cseq=3)


def test_a_blind_transfer_goes_on_as_the_call_that_was_transferred() -> None:
    trace = answered()
    referred(trace)
    trace("A>C", "INVITE", sdp("A", 4002), call="two", tags="aa", people="101 303")
    trace("C>A", "180 INVITE", call="two", tags="aa c", people="101 303")
    trace.later(60)
    assert trace.ends() == []
    trace("C>A", "200 INVITE", sdp("C", 6000), call="two", tags="aa c", people="101 303")
    assert trace.told() == ["Seen", "MediaAgreed", "Answered", "PartiesChanged", "MediaAgreed"]
    [changed] = trace.of(PartiesChanged)
    assert (changed.caller.user, changed.callee.user, changed.transfer) == ("101", "303", True)
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4002)]
    trace("C>A", "BYE", call="two", tags="c aa")
    assert trace.ends() == ["bye"]


def test_the_called_side_may_be_referred_too() -> None:
    """A, who called, tells B to call C: B stays the callee."""
    trace = answered()
    trace("A>B", "REFER", tags="a b", cseq=2, fields=["Refer-To: <sip:303@example.org>"])
    trace("B>C", "INVITE", sdp("B", 5002), call="two", tags="bb", people="202 303")
    trace("C>B", "200 INVITE", sdp("C", 6000), call="two", tags="bb c", people="202 303")
    trace("A>B", "BYE", tags="a b", cseq=3)
    [changed] = trace.of(PartiesChanged)
    assert (changed.caller.user, changed.callee.user) == ("303", "202")
    assert trace.ways() == [("callee", C, 6000), ("caller", B, 5002)]
    assert trace.ends() == []


def test_a_transfer_that_nobody_answers_leaves_two_calls() -> None:
    trace = answered()
    referred(trace)
    hung_up = trace.now - SECOND // 10
    trace("A>C", "INVITE", sdp("A", 4002), call="two", tags="aa", people="101 303")
    trace("C>A", "486 INVITE", call="two", tags="aa c", people="101 303")
    assert [(over.how, over.status) for over in trace.of(Over)] == [(End.REFUSED, 486), (End.BYE, 0)]
    assert trace.of(Over)[1].at_ns == hung_up


@pytest.mark.parametrize("refusal", ["603 REFER", "NOTIFY"])
def test_a_transfer_that_is_refused_is_none(refusal: str) -> None:
    trace = answered()
    trace("B>A", "REFER", tags="b a", cseq=2, fields=["Refer-To: <sip:303@example.org>"])
    if refusal == "NOTIFY":
        trace("A>B", refusal, "SIP/2.0 486 Busy", tags="a b", fields=["Content-Type: message/sipfrag"])
    else:
        trace("A>B", refusal, tags="b a", cseq=2)
    trace("B>A", "BYE", tags="b a", cseq=3)
    assert trace.ends() == ["bye"]


def test_a_transfer_whose_call_is_not_overheard_ends_the_call() -> None:
    trace = answered()
    referred(trace)
    hung_up = trace.now - SECOND // 10
    assert trace.ends() == []
    trace.later(6)
    assert [(over.how, over.at_ns) for over in trace.of(Over)] == [(End.BYE, hung_up)]
    by = ["Referred-By: <sip:202@example.org>"]
    trace("A>C", "INVITE", sdp("A", 4002), call="two", tags="aa", people="101 303", fields=by)
    assert trace.calls()[1].notes == ("the call was placed because another one was transferred",)


# What is no call, and what is hostile


def test_what_is_no_call_is_not_looked_at() -> None:
    trace = Trace()
    for method in ("REGISTER", "OPTIONS", "SUBSCRIBE", "NOTIFY", "MESSAGE", "PUBLISH", "UNKNOWN"):
        trace("A>B", method, call=method)
        trace("B>A", f"200 {method}", call=method, tags="a b")
    trace("A>B", "INFO", tags="a b", call="info")
    trace("A>B", "ACK", tags="a b", call="ack")
    trace("B>A", "486 INVITE", tags="a b", call="refused")
    trace.tap.heard(b"\r\n\r\n", trace.now, 1, PLACES["A"], PLACES["B"])
    assert trace.effects == []


@pytest.mark.parametrize("mark", ["Require: siprec", "Contact: <sip:src@example.org>;+sip.src", "metadata"])
def test_a_recording_session_is_a_copy(mark: str) -> None:
    trace = Trace()
    body = sdp("A", 4000, "8", "label:1")
    fields = [mark]
    if mark == "metadata":
        part = "--x\r\nContent-Type: application/sdp\r\n\r\n" + body
        body = part + "\r\n--x\r\nContent-Type: application/rs-metadata+xml\r\n\r\n<recording/>\r\n--x--\r\n"
        fields = ["Content-Type: multipart/mixed;boundary=x"]
    trace("A>B", "INVITE", body, fields=fields)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    trace("A>B", "ACK", tags="a b")
    trace("A>B", "BYE", tags="a b", cseq=2)
    assert [unheard.kind for unheard in trace.of(Unheard)] == ["siprec"]
    assert trace.told() == ["Unheard"]


def test_bad_sip_costs_one_count() -> None:
    trace = answered()
    for data in (b"INVITE\r\n\r\n", b"\x16\x03\x01\x02\x00", b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n"):
        effects = trace.tap.heard(data, trace.now, 77, PLACES["A"], PLACES["B"])
        assert effects == [Unheard("bad_sip", trace.now, 77)]
    assert len(trace.tap) == 1


def test_a_bad_description_leaves_the_call_to_be_explained() -> None:
    trace = Trace()
    trace("A>B", "INVITE", "v=0\r\nm=audio nothing\r\n")
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert [unheard.kind for unheard in trace.of(Unheard)] == ["bad_sdp"]
    assert trace.told()[:2] == ["Unheard", "Seen"]
    assert isinstance(trace.effects[-1], Answered)


def test_a_message_that_the_capture_cuts_still_tells_of_its_call() -> None:
    trace = Trace()
    whole = b"INVITE sip:202@example.org SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\r\nFrom: <sip:101@h>;tag=a\r\n"
    whole += b"To: <sip:202@h>\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\nContent-Length: 400\r\n\r\nv=0\r\n"
    effects = trace.tap.heard(whole, trace.now, 3, PLACES["A"], PLACES["B"])
    assert effects[0] == Unheard("cut_sip", trace.now, 3)
    assert isinstance(effects[1], Seen)


@pytest.mark.parametrize("there", [len(sdp("A", 4000)), len(sdp("A", 4000)) - 2])
def test_a_description_of_which_the_end_is_missing_is_taken_as_far_as_it_goes(there: int) -> None:
    """A Content-Length that counts too much, or a capture that cuts; half a line tells nothing."""
    trace = Trace()
    whole = message("INVITE", sdp("A", 4000), "a", 1, "one", "", (), "101 202")
    head, _, body = whole.partition(b"\r\n\r\n")
    head = head.replace(b"Content-Length: ", b"Content-Length: 1")
    trace.tap.heard(head + b"\r\n\r\n" + body[:there], trace.now, 3, PLACES["A"], PLACES["B"])
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.ways() == [("caller", "192.0.2.2", 5000), ("callee", "192.0.2.1", 4000)]


def test_a_head_of_which_the_end_is_missing_tells_of_its_call() -> None:
    trace = Trace()
    whole = message("INVITE", sdp("A", 4000), "a", 1, "one", "", (), "101 202")
    cut = whole[: whole.index(b"CSeq") + 14]
    assert trace.tap.heard(cut, trace.now, 3, PLACES["A"], PLACES["B"]) == [Unheard("bad_sip", trace.now, 3)]
    effects = trace.tap.heard(cut + b"\r\nContent-Le", trace.now, 4, PLACES["A"], PLACES["B"])
    assert [type(effect) for effect in effects] == [Unheard, Seen]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (b"CSeq", b"User Agent\xff: x\r\nCSeq"),
        (b"sip:202@example.org SIP/2.0", b"sip:202@example.org;name=a b SIP/2.0"),
        (b"Content-Length: ", b"Content-Length: about "),
        (b"To: ", b"To: <sip:202@example.org:5060>\r\nTo: "),
    ],
)
def test_an_odd_line_costs_a_count_and_no_call(right: bytes, wrong: bytes) -> None:
    trace = Trace()
    odd = message("INVITE", sdp("A", 4000), "a", 1, "one", "", (), "101 202").replace(right, wrong, 1)
    effects = trace.tap.heard(odd, trace.now, 3, PLACES["A"], PLACES["B"])
    assert [type(effect) for effect in effects] == [Unheard, Seen]
    assert effects[0] == Unheard("bad_sip", trace.now, 3)
    trace("B>A", "200 INVITE", sdp("B", 5000), tags="a b")
    assert trace.ways() == [("caller", "192.0.2.2", 5000), ("callee", "192.0.2.1", 4000)]


def test_a_flood_of_invites_ends_no_call_that_rings_or_runs() -> None:
    trace = answered()
    trace("C>D", "INVITE", sdp("C", 6000), call="two")
    trace("D>C", "180 INVITE", call="two", tags="a d")
    for number in range(1000):
        trace("P>Q", "INVITE", sdp("P", 7000), call=f"flood{number}", wait=0.001)
    assert len(trace.tap) <= 64
    kept = {seen.call for seen in trace.calls()[:2]}
    assert not kept & {over.call for over in trace.of(Over)}
    trace("D>C", "200 INVITE", sdp("D", 6500), call="two", tags="a d")
    assert trace.told()[-2:] == ["MediaAgreed", "Answered"]


def test_more_calls_than_there_is_room_for() -> None:
    trace = Trace(max_calls=3)
    for number in range(5):
        trace("A>B", "INVITE", sdp("A", 4000 + 2 * number), call=f"c{number}")
        trace("B>A", "200 INVITE", sdp("B", 5000 + 2 * number), call=f"c{number}", tags="a b")
    assert len(trace.tap) == 3
    assert {unheard.kind for unheard in trace.of(Unheard)} == {"too_many_calls"}
    assert trace.ends() == []


def test_one_call_id_for_many_calls_ends_none_that_runs() -> None:
    trace = answered()
    for number in range(50):
        trace("C>D", "INVITE", sdp("C", 6000), tags=f"x{number}")
    assert trace.calls()[0].call not in {over.call for over in trace.of(Over)}
    assert trace.tap.remembers() <= 4


def test_descriptions_without_end_are_bounded() -> None:
    trace = Trace()
    long = [f"fmtp:8 {'x' * 20_000}"]
    trace("A>P", "INVITE", sdp("A", 4000, "8", *long))
    for number in range(100):
        trace("P>A", "183 INVITE", sdp("B", 5000 + number, "8", *long), tags=f"a t{number}", wait=0)
    assert {unheard.kind for unheard in trace.of(Unheard)} == {"too_much_sdp"}
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    assert trace.told()[-1] == "Answered"
    trace("A>P", "BYE", tags="a c", cseq=2)
    assert trace.ends() == ["bye"]
    assert trace.tap.keeps() == 0


def test_branches_without_end_are_bounded() -> None:
    trace = Trace()
    trace("A>P", "INVITE", sdp("A", 4000))
    for number in range(200):
        trace("P>A", "183 INVITE", sdp("B", 5000 + number), tags=f"a t{number}", wait=0)
    trace("P>A", "200 INVITE", sdp("C", 6000), tags="a c")
    assert trace.ways() == [("caller", C, 6000), ("callee", A, 4000)]
    trace("A>P", "BYE", tags="a c", cseq=2)
    assert trace.ends() == ["bye"]
