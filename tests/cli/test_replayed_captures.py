"""`replay`: captures of every form, as a mirror gives them, cut, damaged, or without end."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Hushtap
from tests.cli.replays import audio, lost_bye, replayed, write
from tests.tap import captures
from tests.tap.building import erspan_2, ethernet, ipv4, vxlan
from tests.tap.captures import Frame, pcap
from tests.tap.telephony import SECOND, START, Telephones, in_order, whole_call

pytestmark = pytest.mark.usefixtures("unmeasured")


def wrapped(frames: Sequence[Frame], way: str) -> list[Frame]:
    match way:
        case "tagged":
            return [(at, ethernet(frame[14:], 0x0800, [0x88A8, 0x8100])) for at, frame in frames]
        case "vxlan":
            return [(at, ethernet(ipv4(vxlan(frame)))) for at, frame in frames]
        case "erspan":
            return [(at, ethernet(ipv4(erspan_2(frame), protocol=47))) for at, frame in frames]
        case "twice":
            return [(at + late, frame) for at, frame in frames for late in (0, 40_000)]
        case _:
            return list(frames)


@pytest.mark.parametrize("way", ["tagged", "vxlan", "erspan", "twice"])
def test_however_the_mirror_gives_it(hushtap: Hushtap, way: str) -> None:
    call = whole_call(1.0)
    Path("call.pcap").write_bytes(pcap(wrapped(call.frames, way), nano=True))
    (row,) = replayed(hushtap, "call.pcap")
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]
    assert [(leg["packets"], leg["lost"], leg["duplicated"]) for leg in row["legs"]] == [(50, 0, 0)] * 2


@pytest.mark.parametrize(
    "call",
    [
        whole_call(1.0, addresses=("2001:db8::1", "2001:db8::2")),
        whole_call(1.0, addresses=("2001:db8::1", "2001:db8::2"), over_tcp=True),
        whole_call(1.0, largest=96),
    ],
    ids=["ipv6", "ipv6 and tcp", "fragments"],
)
def test_other_networks(hushtap: Hushtap, call: Telephones) -> None:
    (row,) = replayed(hushtap, write("call.pcap", [call]))
    assert row["state"] == "recorded"
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def as_pcapng(call: Telephones) -> bytes:
    blocks = [captures.packet(at // 1000, frame) for at, frame in call.frames]
    return captures.section() + captures.interface() + b"".join(blocks)


def test_formats_and_compression(hushtap: Hushtap) -> None:
    call = whole_call(1.0)
    plain = pcap(call.frames, order=">")
    Path("a.pcap").write_bytes(plain)
    Path("b.pcapng").write_bytes(as_pcapng(call))
    Path("c.pcap.gz").write_bytes(gzip.compress(plain))
    heard = [audio(hushtap, replayed(hushtap, name)[0]) for name in ("a.pcap", "b.pcapng", "c.pcap.gz")]
    assert heard == [[bytes(call.sent[0]), bytes(call.sent[1])]] * 3


def test_several_captures_are_one_traffic(hushtap: Hushtap) -> None:
    """One cut in the middle of the call, in the wrong order, and one for each direction."""
    call = whole_call(2.0)
    Path("first.pcap").write_bytes(pcap(call.frames[:120]))
    Path("second.pcap").write_bytes(pcap(call.frames[120:]))
    there = [frame for frame in call.frames if frame[1][26:30] == bytes([10, 0, 0, 1])]
    back = [frame for frame in call.frames if frame[1][26:30] != bytes([10, 0, 0, 1])]
    Path("there.pcap").write_bytes(pcap(there))
    Path("back.pcap").write_bytes(pcap(back))
    for names in (("second.pcap", "first.pcap"), ("there.pcap", "back.pcap")):
        (row,) = replayed(hushtap, *names)
        assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]
    assert hushtap("replay", "first.pcap", "first.pcap").status == 2


LARGE = struct.pack("<IIII", START // SECOND + 9, 0, 900_000, 900_000)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda data: data[:-30], "the capture ends within packet 206"),
        (lambda data: data + LARGE, "packet 207 is said to have 900000 octets, more than any frame (262144)"),
        (lambda data: gzip.compress(data)[:-4000], "what is compressed ends or is damaged within packet"),
    ],
)
def test_what_is_good_of_a_faulty_capture_is_kept(hushtap: Hushtap, spoil: Any, sentence: str) -> None:
    call = whole_call(2.0)
    Path("bad.pcap").write_bytes(spoil(pcap(call.frames)))
    outcome = hushtap("replay", "--json", "bad.pcap")
    assert outcome.status == 2
    assert f"hushtap: bad.pcap: {sentence}" in outcome.err
    assert "what came before is kept" in outcome.err
    (row,) = outcome.json
    assert row["state"] == "recorded"
    heard = audio(hushtap, row)
    assert all(len(leg) > 5000 and bytes(call.sent[side]).startswith(leg) for side, leg in enumerate(heard))
    assert hushtap("verify", "--all").status == 0


def test_what_is_no_capture(hushtap: Hushtap) -> None:
    Path("text").write_text("<html>" * 20, encoding="utf-8")
    Path("empty").write_bytes(b"")
    for name, sentence in (
        ("text", "text: this is no capture: it begins neither as pcap nor as pcapng"),
        ("empty", "empty: this is no capture: it is empty"),
        ("missing", "missing: No such file or directory"),
    ):
        outcome = hushtap("replay", name)
        assert outcome.status == 2
        assert sentence in outcome.err
        assert not outcome.out


def test_a_capture_that_never_ends_is_ended_by_an_interrupt(here: Path) -> None:
    """On standard input, as from `tcpdump -w -`; what was heard is stored."""
    call = lost_bye()
    command = [sys.executable, "-m", "gateway", "replay", "--json", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=here
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(pcap(call.frames, nano=True))
        process.stdin.flush()
        while not list(here.glob("hushtap-data/audio/**/*.json")):  # the call's record
            assert process.poll() is None
        process.send_signal(2)
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait(60) == 130, err
    (row,) = json.loads(out)
    assert b"interrupted: the rest was not read" in err
    assert row["reason"].startswith("the capture ended before the call did")


def test_wild_times_and_long_silence_cost_nothing(hushtap: Hushtap) -> None:
    """A call, ten years of nothing, and a second call of which one frame's time is wild."""
    later = START + 10 * 365 * 86_400 * SECOND
    first, second = lost_bye(), whole_call(1.0, name="second", now=later)
    frames = in_order([first, second])
    wild = len(first.frames) + 40
    frames[wild] = (START // 3, frames[wild][1])
    Path("wild.pcap").write_bytes(pcap(frames, nano=True))
    rows = replayed(hushtap, "wild.pcap")
    assert [row["state"] for row in rows] == ["recorded", "recorded"]
    assert rows[0]["reason"].startswith("nothing more was heard of the call")
    assert rows[1]["started"].startswith("2036-01-03")
    assert [leg["packets"] for leg in rows[1]["legs"]] == [50, 50]


def test_what_a_capture_cuts_is_told(hushtap: Hushtap) -> None:
    """Of the first message the last octets, and all audio but its beginning."""
    call = whole_call(1.0, name="cut")
    frames = [
        (at, frame[:-3] if place == 0 else frame[:80] if len(frame) == 214 else frame)
        for place, (at, frame) in enumerate(call.frames)
    ]
    records = pcap(call.frames[:0], nano=True)
    for (at, whole), (_, frame) in zip(call.frames, frames, strict=True):
        records += struct.pack("<IIII", at // SECOND, at % SECOND, len(frame), len(whole)) + frame
    Path("cut.pcap").write_bytes(records)
    outcome = hushtap("replay", "--json", "cut.pcap")
    assert outcome.status == 0
    assert [row["participants"][0]["number"] for row in outcome.json] == ["+15551230001"]
    assert "packets of which the capture holds the beginning alone: 101" in outcome.err
    assert "not followed: cut_sip 1" in outcome.err
