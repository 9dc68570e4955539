"""Every decoder against another one, and against payloads that no sender means to send."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codecs import amr as amr_format
from gateway.codecs.codec import Codec
from gateway.codecs.registry import CODECS, by_name
from gateway.recording.model import Role
from gateway.storage import container
from tests.codecs import coded
from tests.codecs.coded import SAMPLES, Coded, Pcm, ffmpeg


def decoded(stream: Coded) -> Pcm:
    decoder = stream.codec.decoder()
    return np.concatenate([decoder.decode(payload) for payload in stream.payloads])


def judged(data: bytes, *options: str) -> Pcm:
    return np.frombuffer(ffmpeg(data, *options, "-i", "-", "-f", "s16le"), np.int16)


def durations(codec: Codec, payloads: list[bytes]) -> list[int]:
    heads = np.zeros((len(payloads), codec.heads), np.uint8)
    for row, payload in zip(heads, payloads, strict=True):
        row[: len(payload)] = np.frombuffer(payload[: codec.heads], np.uint8)
    return list(codec.durations(np.array([len(payload) for payload in payloads]), heads))


def distance_db(heard: Pcm, expected: Pcm) -> float:
    """How far below the sound the difference is."""
    size = min(heard.size, expected.size)
    difference = heard[:size].astype(float) - expected[:size]
    return float(10 * np.log10((expected[:size].astype(float) ** 2).mean() / ((difference**2).mean() + 1e-9)))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_payload_decodes_to_as_much_as_its_first_octets_say(name: str) -> None:
    stream = SAMPLES[name]()
    codec, decoder = stream.codec, stream.codec.decoder()
    assert durations(codec, stream.payloads) == [stream.ticks] * len(stream.payloads)
    expected = stream.ticks * codec.sample_rate // codec.clock_rate
    assert {decoder.decode(payload).size for payload in stream.payloads} == {expected}


@pytest.mark.parametrize(
    ("stream", "options"),
    [
        (coded.g711, ("-f", "alaw", "-ar", "8000")),
        (coded.g722, ("-f", "g722")),
        (coded.gsm, ("-c:a", "libgsm", "-f", "gsm")),
        (coded.g729, ("-f", "g729")),
        (coded.linear, ("-f", "s16be", "-ar", "16000", "-ac", "1")),
        (coded.g7231, ("-f", "g723_1")),
        (lambda: coded.g7231(3), ("-f", "g723_1")),
        (lambda: coded.g726(16), ("-f", "g726le", "-code_size", "2")),
        (lambda: coded.g726(24), ("-f", "g726le", "-code_size", "3")),
        (lambda: coded.g726(32), ("-f", "g726le", "-code_size", "4")),
        (lambda: coded.g726(40), ("-f", "g726le", "-code_size", "5")),
        (lambda: coded.g726(16, True), ("-f", "g726", "-code_size", "2")),
        (lambda: coded.g726(24, True), ("-f", "g726", "-code_size", "3")),
        (lambda: coded.g726(32, True), ("-f", "g726", "-code_size", "4")),
        (lambda: coded.g726(40, True), ("-f", "g726", "-code_size", "5")),
    ],
)
def test_exact_codecs_equal_another_decoder_sample_for_sample(
    stream: object, options: tuple[str, ...]
) -> None:
    assert callable(stream)
    made: Coded = stream()
    expected = judged(b"".join(made.payloads), *options)
    assert decoded(made).tolist() == expected[: decoded(made).size].tolist()


@pytest.mark.parametrize("milliseconds", [20, 30])
def test_ilbc_equals_another_decoder_in_either_mode(milliseconds: int) -> None:
    stream = coded.ilbc(milliseconds)
    data = f"#!iLBC{milliseconds}\n".encode() + b"".join(stream.payloads)
    heard, expected = decoded(stream), judged(data, "-f", "ilbc")
    assert heard.any()
    assert heard[: expected.size].tolist() == expected[: heard.size].tolist()


def test_a_payload_of_g723_holds_frames_of_all_lengths() -> None:
    kinds = coded.g7231_mixed()
    payloads = [b"".join(kinds[at : at + 3]) for at in range(0, len(kinds) // 3 * 3, 3)]
    codec = by_name("G723", 8000)
    heard = decoded(Coded(codec, payloads, 720))
    assert durations(codec, payloads) == [720] * len(payloads)
    assert heard.tolist() == judged(b"".join(payloads), "-f", "g723_1").tolist()


@pytest.mark.parametrize("rate", [8000, 16_000, 32_000])
@pytest.mark.parametrize("options", [("-b:a", "4k"), ("-vad", "1", "-dtx", "1"), ("-cbr_quality", "10")])
def test_speex_equals_other_decoders(rate: int, options: tuple[str, ...]) -> None:
    pause = np.zeros(3 * rate, np.int16)
    pcm = np.concatenate((coded.sound(2, rate), pause, coded.sound(1, rate)))
    stream = Coded(by_name("SPEEX", rate), coded.speex_packets(pcm, rate, *options), rate // 50)
    heard = decoded(stream)
    native, other = (judged(matroska(stream), "-c:a", judge) for judge in ("speex", "libspeex"))
    assert heard.size == native.size == other.size == len(stream.payloads) * rate // 50
    assert distance_db(heard, native) > 60
    # What libspeex does to the lowest and the highest tones of wideband differs, in phase and in strength.
    assert distance_db(heard, other) > (40 if rate == 8000 else 5)


@pytest.mark.parametrize("rate", [8000, 16_000, 11_025, 22_050])
def test_dvi4_equals_another_decoder_from_any_packet_on(rate: int) -> None:
    stream = coded.dvi4(rate)
    expected = coded.adpcm(b"".join(payload[4:] for payload in stream.payloads), rate)
    assert decoded(stream).tolist() == expected.tolist()
    decoder = stream.codec.decoder()
    assert decoder.decode(stream.payloads[50]).tolist() == expected[50 * 160 : 51 * 160].tolist()


@pytest.mark.parametrize(
    "name",
    [
        "G722",
        "GSM 60 ms",
        "G729 60 ms",
        "L16 wideband",
        "L16 at an odd rate",
        "AAL2-G726-24",
        "G723 60 ms",
        "Speex wideband",
    ],
)
def test_any_player_reads_what_is_stored(name: str) -> None:
    stream = SAMPLES[name]()
    assert judged(matroska(stream)).tolist() == decoded(stream).tolist()


def test_stereo_becomes_the_mean_of_both() -> None:
    stream = coded.linear(48_000, 2, 240)
    both = np.frombuffer(b"".join(stream.payloads), ">i2").reshape(-1, 2)
    assert np.abs(decoded(stream) - both.mean(axis=1)).max() <= 0.5


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("milliseconds", [2.5, 20, 120])
@pytest.mark.parametrize(("judge", "below_db"), [("libopus", 60), ("opus", 20)])
def test_opus_equals_another_decoder_within_its_tolerance(
    judge: str, below_db: int, milliseconds: float, channels: int
) -> None:
    """libavcodec's own decoder brings speech to 48 kHz by another filter than libopus."""
    stream = coded.opus(milliseconds, channels)
    expected = judged(matroska(stream), "-c:a", judge).reshape(-1, 2).mean(axis=1)
    assert distance_db(decoded(stream), expected) > below_db


def matroska(stream: Coded) -> bytes:
    """The packets in the container that keeps them."""
    codec, same = stream.codec, "01900000-0000-7000-8000-000000000001"
    track = container.Track(
        1,
        Role.AGENT,
        codec.matroska_id,
        codec.private,
        codec.sample_rate,
        codec.channels,
        "",
        True,
        codec.bits,
    )
    units = stream.ticks * 8000 // codec.clock_rate
    blocks = [container.Block(1, number * units, payload) for number, payload in enumerate(stream.payloads)]
    clusters = b"".join(container.cluster([block]) for block in blocks)
    return container.header(same, same, same, 1, [track], 10**18) + clusters


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("frames", [1, 3])
def test_amr_equals_another_decoder_within_its_tolerance(aligned: bool, frames: int) -> None:
    stream = coded.amr(aligned, frames)
    stored = b"".join(coded.amr_stored())
    expected = judged(b"#!AMR\n" + stored, "-c:a", "amrnb", "-f", "amr")
    assert distance_db(decoded(stream), expected) > 25


@pytest.mark.parametrize("aligned", [True, False])
def test_amr_frames_are_found_bit_by_bit(aligned: bool) -> None:
    for wide, stored in ((False, coded.amr_stored()), (True, coded.amr_wide_stored())):
        bits = amr_format.WIDE_BITS if wide else amr_format.NARROW_BITS
        stream = coded.amr(aligned, 3, wide)
        found = [frame for payload in stream.payloads for frame in amr_format.frames(payload, bits, aligned)]
        spoken = {True: 477, False: 244}[wide]
        for ours, theirs in zip(found, stored, strict=False):
            assert ours[0] == theirs[0] & 0x7C
            assert np.unpackbits(np.frombuffer(ours[1:], np.uint8))[:spoken].tolist() == (
                np.unpackbits(np.frombuffer(theirs[1:], np.uint8))[:spoken].tolist()
            )


def test_comfort_noise_of_g729_is_silence_that_lasts() -> None:
    decoder = by_name("G729", 8000).decoder()
    speech = coded.g729(1).payloads
    assert decoder.decode(b"\x12\x34").tolist() == [0] * 80
    both = decoder.decode(speech[0] + b"\x12\x34")
    assert both.size == 160
    assert not both[80:].any()


@pytest.mark.parametrize("name", ["Opus", "G729", "iLBC 30 ms", "iLBC 20 ms", "AMR", "AMR-WB", "G723"])
def test_a_loss_is_filled_by_the_decoder_that_can(name: str) -> None:
    stream = SAMPLES[name]()
    decoder = stream.codec.decoder()
    (size,) = {decoder.decode(payload).size for payload in stream.payloads[:30]}
    assert decoder.conceal(size * 2).size == size * 2
    assert decoder.conceal(size - 1).size < size
    assert decoder.decode(stream.payloads[32]).size == size


def test_opus_carries_a_voice_over_a_loss() -> None:
    stream = coded.opus()
    whole = decoded(stream)
    decoder = stream.codec.decoder()
    heard = [decoder.decode(payload) for payload in stream.payloads[:60]]
    gap = decoder.conceal(960)
    assert distance_db(gap, whole[60 * 960 : 61 * 960]) > 3
    assert np.abs(np.diff(np.concatenate((heard[-1], gap)).astype(int))).max() < 4000


@pytest.mark.parametrize(
    "codec", CODECS, ids=lambda codec: f"{codec.name}-{codec.clock_rate}-{codec.channels}{codec.parameters}"
)
@settings(max_examples=20)
@given(payloads=st.lists(st.binary(max_size=80), min_size=1, max_size=4))
def test_any_octets_decode_to_as_much_as_they_say(codec: Codec, payloads: list[bytes]) -> None:
    decoder = codec.decoder()
    for payload, ticks in zip(payloads, durations(codec, payloads), strict=True):
        assert decoder.decode(payload).size == ticks * codec.sample_rate // codec.clock_rate
        assert decoder.conceal(1000).size <= 1000
