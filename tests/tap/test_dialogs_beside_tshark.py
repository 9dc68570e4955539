"""Captures of telephones that are not ours, read to the end, beside what tshark sees in them.

The samples are SIP between three baresip 1.0 (a call, hold, resume, a blind transfer; with and without SRTP) and between
two sipp (eight calls); and of three calls that kamailio forks to two telephones, seen on both its sides.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.codecs.registry import supported
from gateway.tap.capture import CaptureReader
from gateway.tap.dialogs import Dialogs
from gateway.tap.effects import (
    Answered,
    End,
    MediaAgreed,
    Over,
    PartiesChanged,
    Place,
    Seen,
    TapEffect,
    Unheard,
)
from gateway.tap.fragments import Decapsulator
from gateway.tap.signalling import Signalling

SAMPLES = Path(__file__).parent / "samples"
FIELDS = (
    "frame.time_epoch", "sip.Call-ID", "sip.CSeq.method", "sip.Method", "sip.Status-Code", "sip.to.tag",
    "sdp.connection_info.address", "sdp.media.port",
)  # fmt: skip


def overheard(name: str) -> list[TapEffect]:
    signalling, tap = Signalling(), Dialogs(supported=supported)
    frames = CaptureReader().feed((SAMPLES / name).read_bytes())
    effects: list[TapEffect] = []
    for message in signalling.feed(Decapsulator().feed(frames)):
        assert not isinstance(message, Unheard)
        effects += tap.heard(
            message.data,
            message.at_ns,
            message.number,
            message.source,
            message.destination,
            message.transport,
        )
    assert len(tap) == 0
    return effects


@dataclass(frozen=True)
class Row:
    """A message as tshark sees it."""

    at_ns: int
    call_id: str
    what: str  # like INVITE, 200 INVITE
    initial: bool
    place: Place | None


def judged(name: str) -> list[Row]:
    asked = [option for field in FIELDS for option in ("-e", field)]
    command = ["tshark", "-r", str(SAMPLES / name), "-Y", "sip", "-T", "fields", *asked]
    text = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    rows = []
    for line in text.splitlines():
        time, call_id, method, request, status, tag, address, port = line.split("\t")
        seconds, _, fraction = time.partition(".")
        place = (address, int(port)) if port else None
        what = request or f"{status} {method}"
        rows.append(Row(int(seconds) * 10**9 + int(fraction.ljust(9, "0")), call_id, what, not tag, place))
    return rows


def times(rows: list[Row], what: str, initial: bool = False) -> list[int]:
    """When each call first has such a message, in order."""
    first: dict[str, int] = {}
    for row in rows:
        if row.what == what and (row.initial or not initial):
            first.setdefault(row.call_id, row.at_ns)
    return sorted(first.values())


def places(effects: list[TapEffect]) -> set[Place]:
    return {
        stream.to
        for agreed in effects
        if isinstance(agreed, MediaAgreed)
        for stream in agreed.streams
        if stream.to
    }


@pytest.mark.parametrize("name", ["sipp-calls.pcap", "kamailio-forks.pcap"])
def test_calls_begin_are_answered_and_end_when_tshark_sees_it(name: str) -> None:
    effects, rows = overheard(name), judged(name)
    assert [each.at_ns for each in effects if isinstance(each, Seen)] == times(rows, "INVITE", initial=True)
    assert [each.at_ns for each in effects if isinstance(each, Answered)] == times(rows, "200 INVITE")
    ends = [each for each in effects if isinstance(each, Over)]
    assert sorted(each.at_ns for each in ends) == times(rows, "BYE")
    assert {(each.how, each.answered) for each in ends} == {(End.BYE, True)}
    # Of two telephones that answer at once the caller takes the first.
    first = {(row.call_id, row.what): row.place for row in reversed(rows) if row.place}
    assert places(effects) == set(first.values())


@pytest.mark.parametrize("name", ["baresip-hold-and-transfer.pcap", "baresip-srtp.pcap"])
def test_a_call_is_held_and_transferred(name: str) -> None:
    effects, rows = overheard(name), judged(name)
    [seen], [over] = ([each for each in effects if isinstance(each, kind)] for kind in (Seen, Over))
    assert isinstance(seen, Seen)
    assert isinstance(over, Over)
    assert [seen.at_ns] == times(rows, "INVITE", initial=True)[:1]
    assert (over.at_ns, over.how) == (times(rows, "BYE")[-1], End.BYE)
    assert places(effects) == {row.place for row in rows if row.place}
    agreed = [each for each in effects if isinstance(each, MediaAgreed)]
    assert [[stream.paused for stream in each.streams] for each in agreed] == [
        [False, False],
        [True, False],
        [False, False],
        [False, False],
    ]
    # A re-INVITE, its answers and the call after the transfer: each agreed on when its 200 passes.
    assert [each.at_ns for each in agreed] == [row.at_ns for row in rows if row.what == "200 INVITE"]
    [changed] = [each for each in effects if isinstance(each, PartiesChanged)]
    assert (changed.caller.user, changed.callee.user, changed.transfer) == ("101", "103", True)
    with_keys = {bool(stream.keys) for each in agreed for stream in each.streams}
    assert with_keys == {"srtp" in name}
    assert not any(stream.secret for each in agreed for stream in each.streams)
