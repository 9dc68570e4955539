"""Calls of which the tap hears a part: one direction, not the beginning, or not in order."""

from __future__ import annotations

import pytest

from gateway.tap.effects import End, Over, Seen, Unheard
from tests.tap.traces import PLACES, TALK, Trace, message, sdp

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
