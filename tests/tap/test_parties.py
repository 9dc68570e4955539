"""Who speaks, what they wish, and the keys that their signalling tells of."""

from __future__ import annotations

import pytest

from gateway.recording.model import Wish
from gateway.redaction.digit import Digit
from gateway.siprec.wishes import wishes
from gateway.tap.effects import KeyPressed, PartiesChanged, Side, Unheard, Wished
from gateway.tap.parties import party
from tests.tap.traces import Trace, answered, sdp


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
