"""Several telephones that ring, attempts that follow each other, and how calls come to nothing."""

from __future__ import annotations

import pytest

from gateway.tap.effects import End, Over
from tests.tap.traces import PLACES, SECOND, TALK, Trace, sdp

A, B, C = (PLACES[name][0] for name in "ABC")


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
