"""Every payload format through the engine: kept as received, in its place, readable by others."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest

from gateway.codecs.codec import Codec
from gateway.codecs.g711 import A_LAW
from gateway.codecs.registry import by_track
from gateway.codecs.rendering import Block, render
from gateway.recording.engine import Engine
from gateway.recording.messages import LegPlan, PayloadFormat, Reformat, Refused
from gateway.recording.model import Role
from gateway.redaction.rules import Rules
from gateway.storage import container
from tests.codecs import coded
from tests.codecs.coded import SAMPLES, Coded, Pcm, ffmpeg
from tests.recording.simulation import MS, PCMA, PLAN, SECOND, Datagram, Played, play, rtp, sent, speech

DYNAMIC = 96


def form(codec: Codec, payload_type: int = DYNAMIC) -> PayloadFormat:
    return PayloadFormat(payload_type, codec.name, codec.clock_rate, codec.channels, codec.parameters)


def stream(
    audio: Coded, start: int = 0, sequence: int = 100, timestamp: int = 7000, payload_type: int = DYNAMIC
) -> list[Datagram]:
    """Packets as a sender paces them; the timestamp is that of the first."""
    pace = audio.ticks * SECOND // audio.codec.clock_rate
    return [
        Datagram(
            start + number * pace,
            0,
            rtp(sequence + number, timestamp + number * audio.ticks, payload, payload_type=payload_type),
        )
        for number, payload in enumerate(audio.payloads)
    ]


def record(datagrams: Sequence[Datagram], *formats: PayloadFormat, leg: LegPlan | None = None) -> Played:
    return play(datagrams, plan=replace(PLAN, legs=(leg or LegPlan(Role.EXTERNAL, formats),)))


def stored(played: Played) -> list[Block]:
    found = []
    for part in sorted(played.parts):
        reader = container.read([played.plain(part)])
        codecs = {t.number: by_track(t.codec_id, t.private, t.clock_rate, t.channels) for t in reader.tracks}
        found += [Block(Role.EXTERNAL, b.time, codecs[b.track], b.payload) for b in reader.blocks()]
    return found


def rendered(played: Played, rate: int) -> Pcm:
    return np.concatenate(list(render(stored(played), (Role.EXTERNAL,), 0, rate=rate)))[:, 0]


def decoded(stream: Coded) -> Pcm:
    decoder = stream.codec.decoder()
    return np.concatenate([decoder.decode(payload) for payload in stream.payloads])


@pytest.mark.parametrize("name", SAMPLES)
def test_a_call_is_kept_as_received_and_heard_without_a_joint(name: str) -> None:
    audio = SAMPLES[name]()
    played = record(stream(audio), form(audio.codec))
    (report,) = played.finished.legs
    assert (report.codec, report.packets, report.lost) == (audio.codec.name, len(audio.payloads), 0)
    assert played.audio(Role.EXTERNAL) == b"".join(audio.payloads)
    heard, expected = rendered(played, audio.codec.sample_rate), decoded(audio)
    start = heard.size - expected.size  # where the first block begins, in whole units of the call clock
    assert 0 <= start <= 2 * audio.codec.sample_rate / 8000
    assert heard[start:].tolist() == expected.tolist()


@pytest.mark.parametrize(
    "name", ["G722", "GSM", "GSM 60 ms", "G729", "Opus", "L16 stereo", "L16 at an odd rate"]
)
def test_the_decrypted_file_opens_in_a_player(name: str) -> None:
    audio = SAMPLES[name]()
    played = record(stream(audio), form(audio.codec))
    options = ("-c:a", "libopus") if audio.codec.name == "OPUS" else ()
    heard = np.frombuffer(ffmpeg(played.plain(), *options, "-i", "-", "-f", "s16le"), np.int16)
    mono = heard.reshape(-1, audio.codec.channels).mean(axis=1)
    assert np.abs(mono - decoded(audio)).max() <= 1


@pytest.mark.parametrize("name", ["G722", "G729", "L16 wideband", "L16 at an odd rate and size"])
def test_blocks_of_joinable_codecs_hold_many_packets(name: str) -> None:
    audio = SAMPLES[name]()
    played = record(stream(audio), form(audio.codec))
    assert len(stored(played)) * 5 <= len(audio.payloads) + 30


def test_comfort_noise_of_g729_ends_its_block() -> None:
    speech_, noise = coded.g729().payloads, b"\x01\x02"
    payloads = [*speech_[:7], speech_[7][:10] + noise, *speech_[8:12]]
    played = record(stream(Coded(coded.g729().codec, payloads, 160)), form(coded.g729().codec))
    blocks = stored(played)
    assert b"".join(block.payload for block in blocks) == b"".join(payloads)
    assert [block.payload.endswith(noise) for block in blocks].count(True) == 1
    assert rendered(played, 8000).size == 12 * 160


def test_the_codec_changes_in_mid_call_and_with_it_the_clock() -> None:
    first, second = coded.opus(), coded.g722()
    back = stream(first, 2 * SECOND + 2 * SECOND, sequence=300, timestamp=1_000_000 + 960 * 200)
    datagrams = [
        *stream(first, 0, timestamp=1_000_000)[:100],
        *stream(second, 2 * SECOND, sequence=200, timestamp=3_000_000, payload_type=9),
        *back[:100],
    ]
    played = record(datagrams, form(first.codec), form(second.codec, 9))
    (report,) = played.finished.legs
    assert (report.lost, report.packets) == (0, 300)
    runs = [(name, [b.time for b in run]) for name, run in groupby(stored(played), lambda b: b.codec.name)]
    assert [(name, times[0]) for name, times in runs] == [("OPUS", 0), ("G722", 16_000), ("OPUS", 32_000)]
    assert runs[0][1] == list(range(0, 16_000, 160))
    assert runs[2][1] == list(range(32_000, 48_000, 160))
    assert rendered(played, 48_000).size == 6 * 48_000
    assert list(played.parts) == [1]


def test_a_codec_that_comes_by_a_new_offer_starts_a_part() -> None:
    first, second = coded.g711(), coded.opus()
    datagrams = [
        *stream(first, payload_type=8)[:100],
        *stream(second, 8 * SECOND, sequence=200, timestamp=900)[:100],
    ]

    def renegotiate(now: int, engine: Engine) -> None:
        if now == PLAN.started_ns + 8 * SECOND:
            legs = (LegPlan(Role.EXTERNAL, (form(second.codec), PCMA)),)
            engine.tick(now, None, [Reformat(PLAN.call_id, legs)])

    plan = replace(PLAN, legs=(LegPlan(Role.EXTERNAL, (PCMA,)),))
    played = play(datagrams, plan=plan, before=renegotiate)
    assert sorted(played.parts) == [1, 2]
    assert stored(played)[-1].time + 160 == 80_000
    assert played.finished.legs[0].lost == 0


@pytest.mark.parametrize("payload_type", [13, 19, 105])
def test_comfort_noise_is_silence_and_not_loss(payload_type: int) -> None:
    audio = speech(2)
    datagrams = sent(audio)
    spoken = b"".join(audio[at : at + 160] for at in range(0, 16_000, 160) if not 4800 <= at < 9600)
    for number in range(30, 60):
        header, noise = datagrams[number].data[:12], b"\x42"
        datagrams[number] = replace(
            datagrams[number], data=header[:1] + bytes((payload_type,)) + header[2:] + noise
        )
    played = record(datagrams, leg=LegPlan(Role.EXTERNAL, (PCMA,), noise=(105,)))
    assert (played.finished.legs[0].lost, played.finished.legs[0].media_units) == (0, 70 * 160)
    assert played.runs(Role.EXTERNAL) == [(0, 4800), (9600, 16_000)]
    assert played.audio(Role.EXTERNAL) == spoken


@pytest.mark.parametrize("milliseconds", [10, 20, 40, 60])
def test_a_lost_packet_is_concealed_and_what_follows_is_in_its_place(milliseconds: int) -> None:
    audio = coded.opus(milliseconds)
    datagrams = stream(audio)
    del datagrams[20]
    played = record(datagrams, form(audio.codec))
    heard, whole = rendered(played, 48_000), decoded(audio)
    assert (heard.size, played.finished.legs[0].lost) == (whole.size, 1)
    gap = slice(20 * audio.ticks, 21 * audio.ticks)
    assert heard[: gap.start].tolist() == whole[: gap.start].tolist()
    assert np.abs(np.diff(heard.astype(int))).max() <= np.abs(np.diff(whole.astype(int))).max() * 1.1
    assert heard[gap].any()


def test_discontinuous_transmission_is_silence_in_its_place() -> None:
    audio = coded.opus()
    datagrams = stream(audio)
    talk = datagrams[:30] + [
        replace(late, data=rtp(130 + number, 7000 + 960 * (60 + number), payload, payload_type=DYNAMIC))
        for number, (late, payload) in enumerate(zip(datagrams[60:90], audio.payloads[30:60], strict=True))
    ]
    played = record(talk, form(audio.codec))
    assert played.finished.legs[0].lost == 0
    assert [block.time for block in stored(played)] == [*range(0, 4800, 160), *range(9600, 14_400, 160)]
    assert not rendered(played, 48_000)[30 * 960 : 60 * 960].any()


def extended(data: bytes) -> bytes:
    """Two contributing sources, an extension of two words, three octets of padding."""
    extension = struct.pack(">HH", 0xBEDE, 2) + b"\x10\xff\x00\x00" + bytes(4)
    return bytes((0xB2,)) + data[1:12] + bytes(8) + extension + data[12:] + b"\0\0\3"


def test_what_surrounds_a_payload_is_left_out() -> None:
    audio = coded.opus()
    plain = stream(audio)
    datagrams = [replace(d, data=extended(d.data)) if number % 3 else d for number, d in enumerate(plain)]
    played = record(datagrams, form(audio.codec))
    assert played.audio(Role.EXTERNAL) == b"".join(audio.payloads)


def test_rtcp_on_the_same_port_is_counted_apart() -> None:
    audio = coded.opus()
    reports = [
        Datagram(number * 500 * MS, 0, struct.pack(">BBHI", 0x81, kind, 7, 0xCA11) + bytes(24))
        for number, kind in enumerate((200, 201, 202, 207))
    ]
    played = record([*stream(audio), *reports], form(audio.codec))
    assert played.finished.legs[0].packets == len(audio.payloads)
    assert sum(e.count for e in played.events if isinstance(e, Refused) and e.kind == "rtcp") == 4


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("DVI4", b"\1\2\3"),
        ("G723", bytes(23)),
        ("Speex", b"\x7f" * 5),
        ("GSM", bytes(20)),
        ("AMR", b"\xff" * 30),
    ],
)
def test_what_its_codec_cannot_read_is_counted_and_costs_nothing_else(name: str, broken: bytes) -> None:
    audio = SAMPLES[name]()
    datagrams = stream(audio)
    for number in (5, 30, 31):
        datagrams[number] = replace(datagrams[number], data=datagrams[number].data[:12] + broken)
    played = record(datagrams, form(audio.codec))
    assert sum(e.count for e in played.events if isinstance(e, Refused) and e.kind == "payload") == 3
    assert (played.finished.legs[0].packets, played.finished.legs[0].lost) == (len(datagrams), 0)
    payloads = [broken if number in (5, 30, 31) else each for number, each in enumerate(audio.payloads)]
    assert played.audio(Role.EXTERNAL) == b"".join(payloads)
    heard, expected = rendered(played, audio.codec.sample_rate), decoded(audio)
    assert abs(heard.size - expected.size) <= audio.codec.sample_rate / 4000
    samples = audio.ticks * audio.codec.sample_rate // audio.codec.clock_rate
    assert heard[-5 * samples :].any()


def test_a_tone_told_in_another_clock_is_masked_for_as_long_as_it_was() -> None:
    audio = coded.opus()
    datagrams = stream(audio)
    for number in range(30, 35):
        event = bytes((5, 0x0A)) + ((number - 29) * 160).to_bytes(2)
        data = rtp(100 + number, 7000 + 30 * 960, event, payload_type=101)
        datagrams[number] = replace(datagrams[number], data=data)
    leg = LegPlan(Role.EXTERNAL, (form(audio.codec),), events=(101,), event_rates=(8000,))
    played = record(datagrams, leg=leg)
    (redaction,) = played.finished.redactions
    guard = Rules().guard_ns * 8 // MS
    assert (redaction.start, redaction.end) == (4800 - guard, 5600 + guard)


@pytest.mark.parametrize("rate", [11_025, 22_050, 44_100])
def test_rates_that_share_no_unit_with_the_call_clock_do_not_drift(rate: int) -> None:
    audio = coded.linear(rate, 1, 333)
    minute = replace(audio, payloads=(audio.payloads * 60)[: 60 * rate // 333])
    played = record(stream(minute), form(audio.codec))
    expected = decoded(minute)
    heard = rendered(played, rate)
    assert heard[heard.size - expected.size :].tolist() == expected.tolist()
    last = stored(played)[-1]
    assert abs(last.time / 8000 + len(last.payload) / 2 / rate - expected.size / rate) < 0.001


@pytest.mark.parametrize("skew_ppm", [-150, 150])
def test_skew_is_heard_neither_as_clicks_nor_as_missing_sound(skew_ppm: int) -> None:
    minutes, hertz = 3, 400.0
    tone = np.sin(2 * np.pi * hertz * np.arange(minutes * 60 * 8000) / 8000) * 12_000
    levels = np.argsort(A_LAW.table, kind="stable")
    audio = bytes(levels[np.searchsorted(A_LAW.table[levels], tone).clip(0, 255)].astype(np.uint8))
    played = record(sent(audio, packet=480, skew_ppm=skew_ppm), PCMA)
    whole, heard = A_LAW.decode(audio).astype(int), rendered(played, 8000).astype(int)
    assert len({block.time % 480 for block in stored(played)}) > 2  # the clock has moved, some times
    assert np.abs(np.diff(heard)).max() <= np.abs(np.diff(whole)).max() * 1.01
    assert np.count_nonzero(np.diff(np.sign(heard[np.abs(heard) > 100]))) == minutes * 60 * hertz * 2 - 1
    assert abs(heard.size / whole.size - 1 + skew_ppm / 1e6) < 0.01 / (minutes * 60)
