"""`replay`: captures become recordings; tshark says what is in a capture."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import pytest

from gateway.io import replay, replaying
from gateway.storage.vault import Vault
from tests.cli.conftest import Hushtap
from tests.tap import captures
from tests.tap.building import erspan_2, ethernet, ipv4, tcp, vxlan
from tests.tap.captures import Frame, pcap
from tests.tap.telephony import CALLEE, CALLER, SECOND, START, Telephones, in_order, whole_call


@pytest.fixture(autouse=True)
def quick(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's speech is measured, which takes a process of its own each time."""
    (here / "hushtap.toml").write_text("[speech]\nmeasure = false\n", encoding="utf-8")
    monkeypatch.setenv("HUSHTAP_CONFIG", "hushtap.toml")


def write(name: str, calls: Sequence[Telephones], **options: Any) -> str:
    Path(name).write_bytes(pcap(in_order(calls), **{"nano": True} | options))
    return name


def replayed(hushtap: Hushtap, *captured: str, status: int = 0) -> list[dict[str, Any]]:
    outcome = hushtap("replay", "--json", *captured)
    assert outcome.status == status, outcome.err
    rows: list[dict[str, Any]] = outcome.json
    return rows


def audio(hushtap: Hushtap, call: dict[str, Any], name: str = "call.mka") -> list[bytes]:
    """The stored payload of the external leg and of the agent's, as ffmpeg reads it."""
    outcome = hushtap(
        "export", call["id"], "--format", "mka", "--output", name, "--reason", "test", "--force"
    )
    assert outcome.status == 0, outcome.err
    with av.open(name) as file:
        found = {stream.index: bytearray() for stream in file.streams}
        for packet in file.demux():
            found[packet.stream.index] += bytes(packet)
    return [bytes(found[index]) for index in sorted(found)]


def tshark(path: str, only: str, *fields: str) -> list[list[str]]:
    named = [word for field in fields for word in ("-e", field)]
    command = ["tshark", "-r", path, "-o", "rtp.heuristic_rtp:TRUE", "-Y", only, "-T", "fields", *named]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return [line.split("\t") for line in output.splitlines()]


def payload_by_tshark(path: str, source: str) -> bytes:
    rows = tshark(path, f"rtp && ip.src == {source} && rtp.p_type == 8", "rtp.payload")
    return b"".join(bytes.fromhex(row[0].replace(":", "")) for row in rows)


def test_a_call_is_recorded_as_tshark_sees_it(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(3.0)])
    (call,) = replayed(hushtap, path)
    assert (call["state"], call["reason"], call["direction"]) == ("recorded", "a party hung up", "inbound")
    assert call["started"] == "2026-01-05T08:00:00.001000Z"
    assert call["participants"][0]["number"] == "+15551230001"
    assert [(leg["packets"], leg["lost"], leg["codec"]) for leg in call["legs"]] == [(150, 0, "PCMA")] * 2
    assert audio(hushtap, call) == [payload_by_tshark(path, CALLER), payload_by_tshark(path, CALLEE)]
    assert hushtap("verify", "--all").status == 0


def test_the_list_needs_no_private_key_and_then_has_no_numbers(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(1.0)])
    shown = hushtap("replay", path)
    assert "+15551230001" in shown.out
    assert "a party hung up" in shown.out
    assert "1 calls in 106 packets, 6 of SIP" in shown.err
    Path("hushtap-data/keys/vault.key").rename("elsewhere")
    hidden = hushtap("replay", path)
    assert hidden.status == 0, hidden.err
    assert "5551230001" not in hidden.out
    assert "a party hung up" in hidden.out


def test_the_same_every_time(hushtap: Hushtap) -> None:
    calls = [
        whole_call(
            2.0,
            name=f"call{place}",
            ports=(40_000 + 2 * place, 50_000 + 2 * place),
            now=START + place * SECOND,
        )
        for place in range(5)
    ]
    calls[1].press(0, 5)
    path = write("many.pcap", calls)
    first, second = replayed(hushtap, path), replayed(hushtap, path)
    heard = [[audio(hushtap, call) for call in calls] for calls in (first, second)]
    assert heard[0] == heard[1]
    own = ("id", "recordings")
    plain = [
        [{key: each[key] for key in each if key not in own} for each in rows] for rows in (first, second)
    ]
    assert plain[0] == plain[1]
    assert len(first) == 5


def test_lost_packets_are_counted_as_tshark_counts_them(hushtap: Hushtap) -> None:
    call = whole_call(4.0)
    gone = [frame for place, frame in enumerate(call.frames) if place % 17 or place < 20 or place > 390]
    Path("lossy.pcap").write_bytes(pcap(gone, nano=True))
    (row,) = replayed(hushtap, "lossy.pcap")
    command = ["tshark", "-r", "lossy.pcap", "-o", "rtp.heuristic_rtp:TRUE", "-q", "-z", "rtp,streams"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    lines = [line.split() for line in output.splitlines() if "g711A" in line]
    counted = {line[2]: (int(line[8]), int(line[9])) for line in lines}
    assert [(leg["packets"], leg["lost"]) for leg in row["legs"]] == [counted[CALLER], counted[CALLEE]]
    assert all(leg["lost"] > 5 for leg in row["legs"])


def test_keys_are_masked_and_counted_as_events(hushtap: Hushtap) -> None:
    call = Telephones()
    call.establish()
    for digit in (1, 2, 11):
        call.talk(1.0)
        call.press(0, digit)
    call.talk(1.0)
    call.hang_up()
    path = write("keys.pcap", [call])
    (row,) = replayed(hushtap, path)
    masks = [each for each in row["redactions"] if each["cause"] == "dtmf"]
    marked = tshark(path, "rtpevent && rtp.marker == 1", "rtpevent.event_id")
    assert len(masks) == len(marked) == 3
    assert b"".join(audio(hushtap, row)[:1]) != bytes(call.sent[0])
    assert audio(hushtap, row)[1] == bytes(call.sent[1])


def test_keys_under_an_ssrc_of_their_own_are_masked(hushtap: Hushtap) -> None:
    """As gateways send them that learned of the key elsewhere, and generators of calls."""
    call = Telephones()
    call.establish()
    call.talk(1.0)
    packets, ssrc = call._packets[0], call._ssrc[0]
    call._packets[0], call._ssrc[0] = 9000, 0x0E05_384E
    call.press(0, 1)
    call._packets[0], call._ssrc[0] = packets, ssrc
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("keys.pcap", [call]))
    (mask,) = (each for each in row["redactions"] if each["cause"] == "dtmf")
    assert mask["start"] == pytest.approx(2.0, abs=0.1)
    assert mask["end"] - mask["start"] == pytest.approx(0.18, abs=0.03)


def test_the_card_rule_pauses_as_it_does_live(hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the gateway's own ticks as with the rarer ones of a replay; it ends to the slice of half a second."""
    call = Telephones()
    call.establish()
    call.talk(3.3)
    for digit in (4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 11):
        call.press(0, digit)
        call.talk(0.26)
    call.talk(20.0)
    call.hang_up()
    path = write("card.pcap", [call])
    rows = replayed(hushtap, path)
    monkeypatch.setattr(replaying, "TICK_NS", replaying.FINE_NS)
    monkeypatch.setattr(replay, "TICK_NS", replaying.FINE_NS)
    rows += replayed(hushtap, path)
    assert [each["cause"] for each in rows[0]["redactions"] if each["cause"] != "dtmf"] == ["card"]
    ends = [[each.pop("end") for each in row["redactions"]] for row in rows]
    assert ends[0] == pytest.approx(ends[1], abs=0.5)
    assert rows[0]["redactions"] == rows[1]["redactions"]


def test_hold_early_media_and_tcp(hushtap: Hushtap) -> None:
    call = Telephones(over_tcp=True)
    call.invite()
    call.answer("183 Session Progress")
    call.talk(1.0, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.invite(call.description(0, "sendonly"))
    call.answer(body=call.description(1, "recvonly"))
    call.say(0, "ACK")
    call.now += 2 * SECOND
    call.invite(call.description(0))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up(1)
    (row,) = replayed(hushtap, write("hold.pcap", [call]))
    assert (row["state"], row["reason"]) == ("recorded", "a party hung up")
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_calls_that_use_the_same_ports_one_after_the_other(hushtap: Hushtap) -> None:
    first = whole_call(1.0, name="first")
    second = whole_call(1.0, name="second", now=first.now + SECOND)
    rows = replayed(hushtap, write("again.pcap", [first, second]))
    for call, row in zip((first, second), rows, strict=True):
        assert [leg["packets"] for leg in row["legs"]] == [50, 50]
        assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_audio_before_its_answer_is_there(hushtap: Hushtap) -> None:
    call = Telephones()
    call.invite()
    call.answer("180 Ringing")
    call.talk(0.5, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("early.pcap", [call]))
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_audio_before_an_answer_that_was_not_announced_is_the_calls_own(hushtap: Hushtap) -> None:
    """The answer tells where it went; what went there before the call is not its audio."""
    before, call = Telephones(name="before"), Telephones(now=START + 3 * SECOND)
    before.talk(2.5, sides=(1,))
    call.invite()
    call.answer("180 Ringing")
    call.talk(4.0, sides=(1,))
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    (row,) = replayed(hushtap, write("ringing.pcap", [before, call]))
    assert audio(hushtap, row) == [bytes(call.sent[0]), bytes(call.sent[1])]


def test_a_pause_asked_for_in_the_signalling_is_kept(hushtap: Hushtap) -> None:
    Path("other.toml").write_text('[optout]\noff_headers = ["X-Record: no"]\n', encoding="utf-8")
    call = Telephones()
    call.invite(fields="X-Record: no\r\n")
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    rows = hushtap("replay", "--config", "other.toml", "--json", write("no.pcap", [call])).json
    assert [row["state"] for row in rows] == ["not_recorded"]


def refused() -> Telephones:
    call = Telephones(name="busy")
    call.invite()
    call.answer("486 Busy Here")
    call.say(0, "ACK")
    return call


def cancelled() -> Telephones:
    call = Telephones(name="cancelled")
    call.invite()
    call.answer("180 Ringing")
    call.say(0, "CANCEL")
    call.say(1, "SIP/2.0 200 OK", method="CANCEL")
    call.answer("487 Request Terminated")
    call.say(0, "ACK")
    return call


def lost_bye() -> Telephones:
    call = whole_call(2.0, name="lost")
    del call.frames[-2:]
    return call


def midway() -> Telephones:
    """The capture begins when the call has been running; a re-INVITE tells of it."""
    call = Telephones(name="midway")
    call.establish()
    call.frames.clear()
    call.talk(1.0)
    call.invite()
    call.answer()
    call.say(0, "ACK")
    call.talk(1.0)
    call.hang_up()
    return call


def secret() -> Telephones:
    return whole_call(1.0, name="secret", profile="RTP/SAVP")


@pytest.mark.parametrize(
    ("call", "state", "reason"),
    [
        (refused(), "not_recorded", "the call was refused with 486"),
        (cancelled(), "not_recorded", "the caller hung up before the call was answered"),
        (lost_bye(), "recorded", "the capture ended before the call did"),
        (midway(), "recorded", "a party hung up"),
        (secret(), "not_recorded", "the audio is SRTP whose keys the signalling does not tell"),
    ],
)
def test_every_call_is_explained(hushtap: Hushtap, call: Telephones, state: str, reason: str) -> None:
    (row,) = replayed(hushtap, write("call.pcap", [call]))
    assert row["state"] == state
    assert reason in row["reason"]


def test_names_that_are_not_utf_8_cost_no_call(hushtap: Hushtap) -> None:
    """Old telephone systems write ISO 8859-1; what is none of both is kept as that."""
    call = whole_call(1.0, numbers=("m\xfcller", "2\x9331"), encoding="latin-1")
    (row,) = replayed(hushtap, write("names.pcap", [call]))
    assert row["state"] == "recorded"
    assert [each["number"] for each in row["participants"]] == ["m\xfcller", "2\x9331"]


def test_a_name_does_not_steer_the_terminal(hushtap: Hushtap) -> None:
    path = write("names.pcap", [whole_call(1.0, numbers=("%1b%5b31mred%0a%07", "231"))])
    shown = hushtap("replay", path).out
    assert "red" in shown
    assert all(each.isprintable() for each in shown.replace("\n", ""))
    assert len(shown.splitlines()) == 2
    (row,) = hushtap("calls", "--json").json
    assert not hushtap("show", row["id"]).out.count("\x1b")


def test_sip_over_tls_is_told(hushtap: Hushtap) -> None:
    frame = ethernet(
        ipv4(tcp(b"\x16\x03\x01\x00\x05hello", 1, 0x18, 40_000, 5061), CALLER, CALLEE, protocol=6)
    )
    Path("tls.pcap").write_bytes(pcap([(START, frame)]))
    outcome = hushtap("replay", "tls.pcap")
    assert outcome.status == 0
    assert "SIP over TLS in 1 connections: the calls in it cannot be read" in outcome.err


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


def test_a_gateway_that_records_into_the_same_folder_keeps_it(hushtap: Hushtap) -> None:
    path = write("one.pcap", [whole_call(1.0)])
    replayed(hushtap, path)
    with Vault(Path("hushtap-data")).exclusive():
        outcome = hushtap("replay", path)
    assert outcome.status == 2
    assert "another process writes to this vault; stop the gateway first" in outcome.err
    assert not outcome.out


def test_figures_of_speech_come_with_the_call(hushtap: Hushtap) -> None:
    rows = hushtap("replay", "--config", "/dev/null", "--json", write("one.pcap", [whole_call(1.0)])).json
    assert [item["role"] for item in rows[0]["speech"]] == ["external", "agent"]


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
