"""Calls that go on in others: replaced, referred, picked up elsewhere."""

from __future__ import annotations

import pytest

from gateway.tap.effects import End, MediaAgreed, Over, PartiesChanged
from tests.tap.traces import PLACES, SECOND, Trace, answered, sdp

A, B, C = (PLACES[name][0] for name in "ABC")


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
