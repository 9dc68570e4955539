"""Captured calls in codecs that nobody would choose: recorded as they came, exported as other decoders hear them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gateway.codecs.registry import by_name
from tests.cli.conftest import Hushtap
from tests.codecs import coded
from tests.codecs.coded import Coded, Pcm, ffmpeg
from tests.tap.captures import pcap
from tests.tap.telephony import CALLER, SECOND, Telephones


@dataclass(frozen=True)
class Case:
    stream: Callable[[], Coded]
    number: int  # payload type
    encoding: str  # of an rtpmap; none where the number says it all
    player: str  # by what name ffprobe knows the track; none where Matroska has no name for it
    judge: Callable[[list[bytes]], Pcm]


def by_ffmpeg(*options: str) -> Callable[[list[bytes]], Pcm]:
    def judge(payloads: list[bytes]) -> Pcm:
        return np.frombuffer(ffmpeg(b"".join(payloads), *options, "-i", "-", "-f", "s16le"), np.int16)

    return judge


def by_native_speex(payloads: list[bytes]) -> Pcm:
    context = av.CodecContext.create("speex", "r")
    assert isinstance(context, av.audio.codeccontext.AudioCodecContext)
    context.sample_rate, context.layout = 16_000, "mono"
    frames = [
        frame.to_ndarray().ravel() for payload in payloads for frame in context.decode(av.Packet(payload))
    ]
    heard: Pcm = np.rint(np.concatenate(frames) * 32_768).astype(np.int16)
    return heard


def mixed() -> Coded:
    kinds = coded.g7231_mixed()
    return Coded(
        by_name("G723", 8000), [b"".join(kinds[at : at + 2]) for at in range(0, len(kinds) - 1, 2)], 480
    )


CASES = {
    "G.726 under its old number": Case(coded.g726, 2, "", "", by_ffmpeg("-f", "g726le", "-code_size", "4")),
    "G.726 at 24 kbit/s": Case(
        lambda: coded.g726(24), 96, "G726-24/8000", "", by_ffmpeg("-f", "g726le", "-code_size", "3")
    ),
    "G.726 as AAL2 has it": Case(
        lambda: coded.g726(16, True), 97, "AAL2-G726-16/8000", "adpcm_g726",
        by_ffmpeg("-f", "g726", "-code_size", "2"),
    ),
    "G.723.1 with silence": Case(mixed, 4, "", "g723_1", by_ffmpeg("-f", "g723_1")),
    "Speex": Case(lambda: coded.speex(16_000), 110, "speex/16000", "speex", by_native_speex),
    "DVI4": Case(
        coded.dvi4, 5, "", "", lambda payloads: coded.adpcm(b"".join(payload[4:] for payload in payloads), 8000)
    ),
    "DVI4 at an odd rate": Case(
        lambda: coded.dvi4(22_050, 442), 17, "", "",
        lambda payloads: coded.adpcm(b"".join(payload[4:] for payload in payloads), 22_050),
    ),
}  # fmt: skip


def capture(case: Case, stream: Coded, lost: frozenset[int] = frozenset()) -> None:
    """Both sides say the same; of one of them some packets are lost."""
    call = Telephones()
    maps = f"a=rtpmap:{case.number} {case.encoding}" if case.encoding else "a=x"
    bodies = [
        call.description(side)
        .replace("AVP 8 101", f"AVP {case.number} 101")
        .replace("a=rtpmap:8 PCMA/8000", maps)
        for side in (0, 1)
    ]
    call.invite(bodies[0])
    call.answer(body=bodies[1])
    call.say(0, "ACK")
    begins, pace = call.now, stream.ticks * SECOND / stream.codec.clock_rate
    for place, payload in enumerate(stream.payloads):
        call.now = begins + round(place * pace)
        call._rtp(0, payload, case.number, place * stream.ticks)
        call._rtp(1, payload, case.number, place * stream.ticks)
        if place in lost:
            del call.frames[-2]
    call.now += SECOND
    call.hang_up()
    Path("call.pcap").write_bytes(pcap(call.frames, nano=True))


def payloads_by_tshark(number: int) -> list[bytes]:
    command = [
        "tshark",
        "-r",
        "call.pcap",
        "-o",
        "rtp.heuristic_rtp:TRUE",
        "-T",
        "fields",
        "-e",
        "rtp.payload",
    ]
    command += ["-Y", f"rtp && ip.src == {CALLER} && rtp.p_type == {number}"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    return [bytes.fromhex(line.replace(":", "")) for line in told.split()]


def exported(hushtap: Hushtap, call: dict[str, Any], form: str) -> str:
    name = f"call.{form}"
    outcome = hushtap("export", call["id"], "--format", form, "--output", name, "--reason", "test")
    assert outcome.status == 0, outcome.err
    return name


def samples(name: str) -> Pcm:
    """Of each leg."""
    return np.frombuffer(ffmpeg(b"", "-i", name, "-f", "s16le"), np.int16).reshape(-1, 2).T


@pytest.fixture(autouse=True)
def quick(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "hushtap.toml").write_text("[speech]\nmeasure = false\n", encoding="utf-8")
    monkeypatch.setenv("HUSHTAP_CONFIG", "hushtap.toml")


@pytest.mark.parametrize("name", CASES)
def test_a_call_is_kept_and_heard_as_others_hear_it(hushtap: Hushtap, name: str) -> None:
    case = CASES[name]
    stream = case.stream()
    capture(case, stream)
    (call,) = hushtap("replay", "--json", "call.pcap").json
    assert call["state"] == "recorded", call
    told = [(leg["codec"], leg["packets"], leg["lost"]) for leg in call["legs"]]
    assert told == [(stream.codec.name, len(stream.payloads), 0)] * 2
    payloads = payloads_by_tshark(case.number)
    assert payloads == stream.payloads
    expected = case.judge(payloads)
    heard = [samples(exported(hushtap, call, form)) for form in ("wav", "flac")]
    assert heard[0].tolist() == heard[1].tolist()
    for leg in heard[0]:
        start = leg.tobytes().find(expected[: expected.size // 4].tobytes()) // 2
        assert start >= 0
        assert leg[start : start + expected.size].tolist() == expected.tolist()
    assert samples(exported(hushtap, call, "mp3")).shape[1] >= expected.size
    assert hushtap("verify", "--all").status == 0
    shown = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", exported(hushtap, call, "mka")]
    tracks = json.loads(subprocess.run(shown, check=True, capture_output=True, timeout=60).stdout)["streams"]
    assert {track.get("codec_name", "") for track in tracks} <= {case.player, "unknown", "none"}


@pytest.mark.parametrize("name", ["G.726 at 24 kbit/s", "G.723.1 with silence", "DVI4"])
def test_what_is_lost_is_a_gap_in_its_place(hushtap: Hushtap, name: str) -> None:
    case = CASES[name]
    stream = case.stream()
    capture(case, stream, frozenset(range(20, 26)))
    (call,) = hushtap("replay", "--json", "call.pcap").json
    assert sorted(leg["lost"] for leg in call["legs"]) == [0, 6]
    lossy, whole = sorted(
        samples(exported(hushtap, call, "wav")), key=lambda leg: np.abs(leg.astype(int)).sum()
    )
    ticks = stream.ticks * stream.codec.sample_rate // stream.codec.clock_rate
    assert lossy.size == whole.size
    apart = np.flatnonzero(lossy != whole)
    silent = np.flatnonzero(np.convolve(lossy == 0, np.ones(3 * ticks), "valid") == 3 * ticks)
    assert silent.size
    assert abs(silent[0] - apart[0]) <= ticks // 2 + 2
    assert lossy[: apart[0]].tolist() == whole[: apart[0]].tolist()
    assert apart[-1] >= apart[0] + 6 * ticks - 2
    if name == "DVI4":  # the others carry something over the loss
        assert apart[-1] <= apart[0] + 7 * ticks
