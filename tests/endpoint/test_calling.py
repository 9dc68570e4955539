"""What the processes tell, in the words of overheard calls; and the lines in which they tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.registry import supported
from gateway.endpoint import messages
from gateway.endpoint.calling import Telling, stream_of
from gateway.endpoint.messages import (
    Arrived,
    BadLine,
    Bridged,
    Cause,
    Connected,
    Described,
    Dialling,
    FromProcess,
    KeyPressed,
    Lines,
    Noticed,
    Over,
    Side,
    read,
    write,
)
from gateway.sip.message import Headers, Request, Response
from gateway.tap import effects
from gateway.tap.effects import End, MediaAgreed, Noted, Seen, TapEffect
from gateway.tap.parties import DIVERTED, WITHHELD

SDP = (
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 120\r\nc=IN IP4 192.0.2.1\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:120 telephone-event/8000\r\na=sendrecv\r\n"
)
CALL: list[FromProcess] = [
    Arrived("a", 10),
    Described("a", 20, Side.CALLER, "a", False, SDP.format(port=12_000)),
    Connected("a", 21, Side.CALLER),
    Noticed("a", 30, True),
    Described("a", 40, Side.CALLEE, "b", False, SDP.format(port=12_002)),
    Connected("a", 41, Side.CALLEE),
    Bridged("a", 42),
]


def told(lines: list[FromProcess]) -> list[TapEffect]:
    telling = Telling(supported, ("192.0.2.1", 5070))
    return [effect for line in lines for effect in telling.hear(line)]


def test_a_call_is_recorded_from_the_bridge_on_and_marked() -> None:
    seen, answered, agreed, noted = told(CALL)
    assert isinstance(seen, Seen)
    assert isinstance(answered, effects.Answered)
    assert isinstance(agreed, MediaAgreed)
    assert [(s.side.value, s.to, s.events, [f.name for f in s.formats]) for s in agreed.streams] == [
        ("caller", ("192.0.2.1", 12_000), (120,), ["PCMA"]),
        ("callee", ("192.0.2.1", 12_002), (120,), ["PCMA"]),
    ]
    assert noted == Noted(seen.call, 30, "notice")


def test_a_call_without_a_whole_notice_is_unannounced() -> None:
    lines = [replace(line, whole=False) if isinstance(line, Noticed) else line for line in CALL]
    assert told(lines)[-1] == Noted(told(lines)[0].call, 42, "unannounced")  # type: ignore[union-attr]


def test_hold_pauses_the_leg_of_who_holds() -> None:
    held = Described("a", 50, Side.CALLEE, "b", True, SDP.format(port=12_002))
    agreed = told([*CALL, held])[-1]
    assert isinstance(agreed, MediaAgreed)
    assert [stream.paused for stream in agreed.streams] == [False, True]
    assert len(told([*CALL, held, held])) == len(told([*CALL, held])), "what is told again changes nothing"


def test_a_key_is_told_without_being_shown() -> None:
    pressed = told([*CALL, KeyPressed("a", 60, Side.CALLER, "#", 160)])[-1]
    assert isinstance(pressed, effects.KeyPressed)
    assert int(pressed.digit) == 11
    assert "11" not in repr(pressed)
    assert "#" not in repr(KeyPressed("a", 60, Side.CALLER, "#", 160))
    assert told([*CALL, KeyPressed("a", 60, Side.CALLER, "flash", 0)]) == told(CALL)


@pytest.mark.parametrize(("asserted", "destination", "callee"), [("<sip:207@pbx>", "sip:200@pbx", "207"), ("", "sip:200@pbx", "200"), ("", "sip:192.0.2.20", None)])  # fmt: skip
def test_who_answered_is_known_better_than_by_the_number_that_was_called(
    asserted: str, destination: str, callee: str | None
) -> None:
    fields = (("P-Asserted-Identity", asserted),) if asserted else ()
    connected = Connected("a", 20, Side.CALLEE, "b", Response(200, "OK", Headers(fields)))
    lines: list[FromProcess] = [
        Arrived("a", 10, Request("INVITE", "sip:1@h", Headers((("From", "<sip:5@t>"),)))),
        Dialling("a", 15, destination),
        connected,
    ]
    found = [each for each in told(lines) if isinstance(each, effects.PartiesChanged)]
    assert not any(each.transfer for each in found)
    assert [
        (each.caller.user and each.caller.user.reveal(), each.callee.user and each.callee.user.reveal())
        for each in found
    ] == ([("5", callee)] if callee else [])


def test_a_call_that_is_handed_on_is_paused_until_somebody_has_it_and_is_a_transfer() -> None:
    handed: list[FromProcess] = [
        Dialling("a", 50, "sip:202@pbx?Replaces=x"),
        Described("a", 51, Side.CALLEE, "c", False, SDP.format(port=12_004)),
        Connected("a", 52, Side.CALLEE, "c"),
        Bridged("a", 53),
    ]
    paused, described, answered, changed, agreed = told([*CALL, *handed])[4:]
    assert isinstance(paused, MediaAgreed)
    assert all(stream.paused for stream in paused.streams)
    assert isinstance(described, MediaAgreed)
    assert [stream.paused for stream in described.streams] == [True, False]
    assert isinstance(answered, effects.Answered)
    assert isinstance(changed, effects.PartiesChanged)
    assert changed.transfer
    assert changed.callee.user is not None
    assert changed.callee.user.reveal() == "202"
    assert isinstance(agreed, MediaAgreed)
    assert [(stream.paused, stream.to) for stream in agreed.streams] == [
        (False, ("192.0.2.1", 12_000)), (False, ("192.0.2.1", 12_004)),
    ]  # fmt: skip


@pytest.mark.parametrize("cause", Cause)
def test_every_end_has_a_word(cause: Cause) -> None:
    over = told([*CALL, Over("a", 70, cause, 486)])[-1]
    assert isinstance(over, effects.Over)
    assert over.answered
    assert told([*CALL, Over("a", 70, cause), Bridged("a", 80)])[-1] == replace(over, status=0)
    assert isinstance(over.how, End)


@pytest.mark.parametrize(
    ("fields", "caller", "notes"),
    [
        ((), "+15550100", ()),
        ((("P-Asserted-Identity", '"Jane" <sip:+15550199@trunk>, <tel:+15550199>'),), "+15550199", ()),
        ((("Remote-Party-ID", "<sip:+15550198@trunk>;party=calling;screen=yes"),), "+15550198", ()),
        ((("P-Asserted-Identity", "<sip:+15550199@trunk>"), ("Privacy", "id")), None, (WITHHELD,)),
        ((("Diversion", "<sip:+15550177@trunk>;reason=no-answer"),), "+15550100", (DIVERTED,)),
        ((("History-Info", "<sip:1@trunk>;index=1, <sip:2@trunk>;index=1.1"),), "+15550100", (DIVERTED,)),
    ],
)
def test_who_calls_is_whom_the_network_vouches_for(
    fields: tuple[tuple[str, str], ...], caller: str | None, notes: tuple[str, ...]
) -> None:
    heard = (("From", '"Jane" <sip:+15550100@trunk>;tag=1'), ("To", "<sip:practice@192.0.2.1>"), *fields)
    (seen,) = told([Arrived("a", 10, Request("INVITE", "sip:practice@192.0.2.1", Headers(heard)))])
    assert isinstance(seen, Seen)
    assert (seen.caller.user.reveal() if seen.caller.user else None) == caller
    assert seen.callee.user is not None
    assert seen.callee.user.reveal() == "practice"
    assert seen.notes == notes


@given(st.text(max_size=300))
def test_any_description_is_read_or_passed_over(text: str) -> None:
    stream_of(effects.Side.CALLER, text, False, supported)


@given(st.lists(st.sampled_from([*CALL, Over("a", 1, Cause.FAILED)]), max_size=12))
def test_every_call_seen_is_over_at_most_once(lines: list[FromProcess]) -> None:
    found = told(lines)
    calls = {effect.call for effect in found if isinstance(effect, Seen)}
    ends = [effect.call for effect in found if isinstance(effect, effects.Over)]
    assert len(ends) == len(set(ends)) <= len(calls)


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_lines_come_out_as_they_went_in_however_they_are_cut(size: int) -> None:
    data = b"".join(map(write, CALL))
    lines = Lines()
    found = [each for at in range(0, len(data), size) for each in lines.feed(data[at : at + size])]
    assert found == CALL


@pytest.mark.parametrize("line", [b"", b"{}", b"[]", b'["Ready",{}]', b'["Ready",{"port":1,"more":2}]', b'["Nothing",{}]', b'["Over",{"call":"a","at_ns":1,"cause":"x"}]', b"\xff"])  # fmt: skip
def test_a_line_that_is_no_message_is_told(line: bytes) -> None:
    with pytest.raises(BadLine):
        read(line)


def test_a_line_without_end_is_told() -> None:
    with pytest.raises(BadLine):
        list(Lines().feed(b"x" * (messages.MAX_LINE + 1)))


def test_configuration_shows_no_secret() -> None:
    text = repr(messages.Configure("f", "c", "sip:me", "r", 1, "user", "open sesame", "*", "sip:100@h", "name", "a", "a", 1, 1, "", "", "", 1, 1, False, False))  # fmt: skip
    assert "sesame" not in text
    assert "100" not in text
