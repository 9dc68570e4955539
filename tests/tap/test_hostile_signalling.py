"""What is no call, and what is sent to do harm."""

from __future__ import annotations

import pytest

from gateway.tap.effects import Answered, Over, Seen, Unheard
from tests.tap.traces import PLACES, Trace, answered, sdp

A, C = (PLACES[name][0] for name in "AC")


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
