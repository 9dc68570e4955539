"""Calls of which the tap hears a part: one direction, not the beginning, or not in order."""

from __future__ import annotations

import pytest

from gateway.tap.effects import End, Over
from tests.tap.traces import PLACES, TALK, Trace, sdp

A, B = (PLACES[name][0] for name in "AB")


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
