from __future__ import annotations

import struct

import numpy as np
import pytest

from gateway.codecs.registry import CODECS, Codec, CodecError, by_name, by_track, supported


def test_found_by_rtp_name_in_any_case() -> None:
    assert by_name("pcma", 8000).name == "PCMA"
    assert supported("PCMU", 8000)
    assert not supported("PCMU", 16000)


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_found_by_its_own_name_and_its_own_track(codec: Codec) -> None:
    assert by_name(codec.name, codec.clock_rate, codec.channels, codec.parameters) is codec
    assert by_track(codec.matroska_id, codec.private, codec.sample_rate, codec.channels) is codec


@pytest.mark.parametrize(
    ("name", "rate", "channels", "parameters", "found"),
    [
        ("opus", 48_000, 2, "minptime=10; useinbandfec=1", ("OPUS", 48_000, 2, "")),
        ("opus", 48_000, 1, "", ("OPUS", 48_000, 2, "")),
        ("G729", 8000, 1, "annexb=no", ("G729", 8000, 1, "")),
        ("G729AB", 8000, 1, "", ("G729", 8000, 1, "")),
        ("L16", 44_100, 2, "", ("L16", 44_100, 2, "")),
        ("iLBC", 8000, 1, "mode=20", ("ILBC", 8000, 1, "")),
        ("AMR", 8000, 1, "mode-set=0,2; mode-change-period=2", ("AMR", 8000, 1, "")),
        ("AMR-WB", 16_000, 1, "Octet-Align=1; crc=0", ("AMR-WB", 16_000, 1, "octet-align=1")),
    ],
)
def test_parameters_tell_formats_apart_only_where_the_payload_differs(
    name: str, rate: int, channels: int, parameters: str, found: tuple[str, int, int, str]
) -> None:
    codec = by_name(name, rate, channels, parameters)
    assert (codec.name, codec.clock_rate, codec.channels, codec.parameters) == found


@pytest.mark.parametrize(
    ("name", "rate", "channels", "parameters"),
    [
        ("opus", 8000, 2, ""),
        ("G722", 16_000, 1, ""),
        ("L16", 8000, 6, ""),
        ("AMR", 8000, 2, ""),
        ("AMR", 8000, 1, "octet-align=1; crc=1"),
        ("AMR", 8000, 1, "octet-align=1; interleaving=4"),
        ("AMR-WB", 16_000, 1, "robust-sorting=1; octet-align=1"),
        ("G723", 8000, 1, ""),
        ("telephone-event", 8000, 1, ""),
        ("CN", 8000, 1, ""),
    ],
)
def test_what_cannot_be_decoded_is_not_taken(name: str, rate: int, channels: int, parameters: str) -> None:
    assert not supported(name, rate, channels, parameters)


def test_wave_format_of_a_law() -> None:
    assert struct.unpack("<HHIIHHH", by_name("PCMA", 8000).private) == (6, 1, 8000, 8000, 1, 8, 0)


def durations(codec: Codec, *payloads: bytes) -> list[int]:
    heads = np.zeros((len(payloads), codec.heads), np.uint8)
    for row, payload in zip(heads, payloads, strict=True):
        row[: len(payload)] = np.frombuffer(payload[: codec.heads], np.uint8)
    return list(codec.durations(np.array([len(payload) for payload in payloads]), heads))


@pytest.mark.parametrize(
    ("name", "rate", "channels", "sizes", "ticks"),
    [
        ("PCMU", 8000, 1, [160, 0, 33], [160, 0, 33]),
        ("G722", 8000, 1, [160, 480], [160, 480]),
        ("GSM", 8000, 1, [33, 66, 40], [160, 320, 160]),
        ("G729", 8000, 1, [10, 20, 2, 12, 60, 5], [80, 160, 80, 160, 480, 0]),
        ("ILBC", 8000, 1, [38, 50, 76, 100, 51], [160, 240, 320, 480, 0]),
        ("L16", 44_100, 2, [3528, 4, 3], [882, 1, 0]),
    ],
)
def test_sizes_tell_how_long_a_payload_lasts(
    name: str, rate: int, channels: int, sizes: list[int], ticks: list[int]
) -> None:
    assert durations(by_name(name, rate, channels), *map(bytes, sizes)) == ticks


@pytest.mark.parametrize(
    ("payload", "milliseconds"),
    [
        (b"\x78..", 20),  # RFC 6716 table 2: configuration 15, one frame
        (b"\x08", 20),  # one octet: nothing was said
        (b"\x19..", 120),  # configuration 3, two frames of 60 ms
        (b"\xe2..", 5),  # configuration 28, two frames of 2.5 ms
        (b"\x7b\x83..", 60),  # three frames of 20 ms, with padding
        (b"\x83\x30..", 120),  # 48 frames of 2.5 ms
        (b"\x7b\x07..", 0),  # 140 ms are too many
        (b"\x7b", 0),  # the count is missing
        (b"", 0),
    ],
)
def test_the_first_octets_tell_how_long_an_opus_packet_lasts(payload: bytes, milliseconds: int) -> None:
    assert durations(by_name("OPUS", 48_000), payload) == [milliseconds * 48]


@pytest.mark.parametrize(
    ("parameters", "payload", "frames"),
    [
        ("octet-align=1", b"\xf0\x3c" + bytes(31), 1),
        ("octet-align=1", b"\xf0\xbc\xbc\x3c" + bytes(93), 3),
        ("octet-align=1", b"\xf0", 0),
        ("octet-align=1", b"\xff" * 20, 0),
        ("", b"\xf3\xc0" + bytes(31), 1),
        ("", b"\xfb\xcf" + bytes(63), 2),
        ("", b"\xff" * 20, 0),
    ],
)
def test_the_table_of_contents_tells_how_long_amr_lasts(parameters: str, payload: bytes, frames: int) -> None:
    assert durations(by_name("AMR", 8000, 1, parameters), payload) == [frames * 160]
    assert durations(by_name("AMR-WB", 16_000, 1, parameters), payload) == [frames * 320]


def test_unknown_codecs_are_named() -> None:
    with pytest.raises(CodecError, match="G723/8000"):
        by_name("G723", 8000)
    with pytest.raises(CodecError, match="A_VORBIS"):
        by_track("A_VORBIS", b"\x01")
