"""Keys told of by INFO."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redaction.digit import Digit
from gateway.sip.effects import Rejected
from gateway.sip.message import Headers, Request
from gateway.siprec.dtmf import DtmfError, key_of
from gateway.siprec.effects import Effect, KeyPressed
from gateway.siprec.session import RecordingServer
from tests.siprec.test_recording_session import FIRST, UDP, established, statuses, within

RELAY, PLAIN = "application/dtmf-relay", "application/dtmf"


def info(kind: str, body: bytes) -> Request:
    return Request("INFO", "sip:a", Headers((("Content-Type", kind),)), body)


@pytest.mark.parametrize(
    ("kind", "body", "key", "lasts_ms"),
    [
        (RELAY, b"Signal=5\r\nDuration=160\r\n", Digit.FIVE, 160),
        (RELAY, b"Signal= 0\nDuration= 250", Digit.ZERO, 250),
        (RELAY, b" signal = * \r duration = 90 \r", Digit.STAR, 90),
        (RELAY, b"Duration=100\r\nSignal=#\r\n\r\n", Digit.HASH, 100),
        (RELAY, b"Signal=10\r\nDuration=100", Digit.STAR, 100),
        (RELAY, b"Signal=11", Digit.HASH, 0),
        (RELAY, b"Signal=a\r\nDuration=x", Digit.A, 0),
        (RELAY, b"Signal=D\r\nDuration=99999999", Digit.D, 60_000),
        (RELAY, b"Signal=15\r\nDuration=99999999999999999999", Digit.D, 0),
        (RELAY, b'Signal="8"\r\nDuration="120"', Digit.EIGHT, 120),
        (RELAY, b"7", Digit.SEVEN, 0),
        (RELAY + ";charset=utf-8", b"Signal=9", Digit.NINE, 0),
        ("Application/DTMF-Relay", b"Signal=9", Digit.NINE, 0),
        (PLAIN, b"5", Digit.FIVE, 0),
        (PLAIN, b"#\r\n", Digit.HASH, 0),
        (PLAIN, b" 12 \0", Digit.A, 0),
        (PLAIN, b"Signal=3\r\nDuration=80\r\n", Digit.THREE, 80),
    ],
)
def test_bodies_as_equipment_writes_them(kind: str, body: bytes, key: Digit, lasts_ms: int) -> None:
    assert key_of(info(kind, body)) == (key, lasts_ms)


def test_a_key_among_other_parts() -> None:
    body = b"--b\r\nContent-Type: text/plain\r\n\r\n8\r\n--b\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=4\r\n--b--"
    assert key_of(info("multipart/mixed;boundary=b", body)) == (Digit.FOUR, 0)


@pytest.mark.parametrize("body", [b"Signal=16", b"!", b"Signal=hf\r\nDuration=160", b""])
def test_a_hook_flash_is_no_key(body: bytes) -> None:
    assert key_of(info(RELAY, body)) is None


def test_other_bodies_are_nobodys_keys() -> None:
    assert key_of(info("application/media_control+xml", b"<a>5</a>")) is None
    assert key_of(info("text/plain", b"5")) is None
    assert key_of(info("multipart/mixed;boundary=b", b"--b\r\n\r\n5\r\n--b--")) is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RELAY, b"Signal="),
        (RELAY, b"Signal=17"),
        (RELAY, b"Duration=160"),
        (RELAY, b"4111111111111111"),
        (RELAY, b"Signal=5" + b"\r\n" * 300),
        (PLAIN, b"1\r\n2\r\n"),
        (PLAIN, b"\xb2"),
        ("multipart/mixed", b"Signal=5"),
    ],
)
def test_bodies_that_tell_of_no_key(kind: str, body: bytes) -> None:
    with pytest.raises(DtmfError) as raised:
        key_of(info(kind, body))
    assert body[:8].decode("latin-1") not in str(raised.value)


@given(st.sampled_from([RELAY, PLAIN, "multipart/mixed;boundary=b"]), st.binary(max_size=300))
def test_any_octets_are_a_key_none_or_one_error(kind: str, body: bytes) -> None:
    try:
        told = key_of(info(kind, body))
    except DtmfError:
        return
    assert told is None or (isinstance(told[0], Digit) and 0 <= told[1] <= 60_000)


def give(machine: RecordingServer, cseq: int, body: bytes, kind: str = RELAY) -> list[Effect]:
    return machine.receive(within("INFO", cseq, body, kind), UDP, 1)


def test_a_session_tells_of_keys_once_and_answers_whatever_comes() -> None:
    machine = established()
    pressed = give(machine, 2, b"Signal=5\r\nDuration=160")
    assert statuses(pressed) == [200]
    assert pressed[1:] == [KeyPressed(FIRST, Digit.FIVE, 160)]
    assert "REDACTED" in repr(pressed)
    again = give(machine, 2, b"Signal=5\r\nDuration=160")
    assert (statuses(again), again[1:]) == ([200], [])
    broken = give(machine, 3, b"Signal=x")
    assert (statuses(broken), broken[1:]) == ([200], [Rejected("bad_info")])
    other = give(machine, 4, b"<x/>", "application/media_control+xml")
    assert (statuses(other), other[1:]) == ([200], [])


def test_no_digit_stays_in_the_machine() -> None:
    """All that is reachable from it, transactions included, is gone through."""
    machine = established()
    give(machine, 2, b"Signal=731\r\nDuration=160")
    give(machine, 3, b"Signal=7\r\nDuration=7319")
    seen: set[int] = set()
    waiting: list[object] = [machine]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        assert not isinstance(each, Digit)
        if isinstance(each, (bytes, str)):
            text = each.encode("utf-8", "replace") if isinstance(each, str) else each
            assert b"Signal" not in text
            assert b"731" not in text
        elif isinstance(each, dict):
            waiting += [*each, *each.values()]
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += each
        else:
            waiting += vars(each).values() if hasattr(each, "__dict__") else ()
            waiting += [getattr(each, name, None) for name in getattr(type(each), "__slots__", ())]
    assert len(seen) > 50


def test_a_key_after_the_end_is_nobodys() -> None:
    machine = established()
    machine.receive(within("BYE", 2), UDP, 1)
    after = give(machine, 3, b"Signal=5")
    assert statuses(after) == [481]
    assert not any(isinstance(effect, KeyPressed) for effect in after)
