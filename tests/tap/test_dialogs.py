"""Calls as they pass a tap, from INVITE to BYE, and the media that they agree on."""

from __future__ import annotations

import pytest

from gateway.tap.effects import End, MediaAgreed, Over, Seen, Side
from tests.tap.traces import BOTH, PLACES, TALK, Trace, answered, line, sdp

A, B, C = (PLACES[name][0] for name in "ABC")


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


def test_where_all_media_goes_is_told() -> None:
    trace = Trace()
    trace("A>B", "INVITE", sdp("A", 4000) + "\r\n".join([*line("A", 4010, "96", kind="video"), ""]))
    trace(
        "B>A", "200 INVITE", sdp("B", 5000) + "\r\n".join([*line("B", 0, "96", kind="video"), ""]), tags="a b"
    )
    assert trace.of(MediaAgreed)[-1].places == ((A, 4000), (A, 4010), (B, 5000))
