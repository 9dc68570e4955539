from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("G721", 8000, 1, "", ("G726-32", 8000, 1, "")),
        ("aal2-g726-40", 8000, 1, "", ("AAL2-G726-40", 8000, 1, "")),
        ("G7231", 8000, 1, "annexa=no; bitrate=5.3", ("G723", 8000, 1, "")),
        ("speex", 16_000, 1, 'mode="1,any"; vbr=vad; cng=on', ("SPEEX", 16_000, 1, "")),
        ("dvi4", 11_025, 1, "", ("DVI4", 11_025, 1, "")),
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
        ("G723", 16_000, 1, ""),
        ("G726", 8000, 1, ""),
        ("speex", 8000, 2, ""),
        ("DVI4", 44_100, 1, ""),
        ("LPC", 8000, 1, ""),
        ("G728", 8000, 1, ""),
        ("SILK", 16_000, 1, ""),
        ("EVS", 16_000, 1, ""),
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
        ("G726-16", 8000, 1, [40, 1, 0], [160, 4, 0]),
        ("AAL2-G726-24", 8000, 1, [60, 61, 1], [160, 162, 2]),
        ("G726-32", 8000, 1, [80, 79], [160, 158]),
        ("G726-40", 8000, 1, [100, 99], [160, 158]),
        ("DVI4", 16_000, 1, [164, 5, 4, 3, 0], [320, 2, 0, 0, 0]),
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


@pytest.mark.parametrize(
    ("payload", "frames"),
    [
        (bytes(24), 1),
        (b"\1" + bytes(19), 1),
        (b"\2...", 1),
        (b"\3", 1),
        (bytes(24) + b"\1" + bytes(19) + b"\2...", 3),
        (bytes(48), 2),
        (bytes(47), 1),
        (bytes(23), 0),
        (bytes(24 * 8), 8),
        (bytes(24 * 9), 0),
        (b"", 0),
    ],
)
def test_each_frame_of_g723_tells_where_the_next_one_begins(payload: bytes, frames: int) -> None:
    assert durations(by_name("G723", 8000), payload) == [frames * 240]


def test_what_a_hold_back_has_behind_a_payload_is_none_of_it() -> None:
    """Rows are as wide as the ring, and hold what was there before."""
    heads = np.full((1, 30), 2, np.uint8)
    heads[0, :24] = 0
    assert by_name("G723", 8000).durations(np.array([24]), heads).tolist() == [240]
    heads[0, :5] = np.packbits([int(bit) for bit in "0001" + "0" * 39 + "0"])[:5]
    assert by_name("SPEEX", 8000).durations(np.array([5]), heads).tolist() == [0]


NARROW = {0: 5, 1: 43, 2: 119, 3: 160, 4: 220, 5: 300, 6: 364, 7: 492, 8: 79}  # bits of a frame of Speex
LAYERS = {0: 4, 1: 36, 2: 112, 3: 192, 4: 352}
bits = st.integers(0, (1 << 500) - 1)


def filled(head: str, size: int, rest: int) -> str:
    return (head + f"{rest:0500b}")[:size]


spoken = st.builds(
    lambda mode, rest: filled(f"0{mode:04b}", NARROW[mode], rest), st.sampled_from(list(NARROW)), bits
)
layer = st.builds(
    lambda mode, rest: filled(f"1{mode:03b}", LAYERS[mode], rest), st.sampled_from(list(LAYERS)), bits
)
told = st.builds(
    lambda kind, rest: filled(
        f"01110{kind:04b}", 9 + (1, 1, *[4] * 6, 8, 8, 16, 16, 32, 32, 64, 64)[kind], rest
    ),
    st.integers(0, 15),
    bits,
)
private = st.builds(
    lambda size, rest: filled(f"01101{size:04b}", 14 + 8 * size, rest), st.integers(0, 15), bits
)


@given(
    st.lists(
        st.tuples(st.lists(told | private, max_size=1), spoken, st.lists(layer, max_size=2)), max_size=14
    )
)
def test_frames_of_speex_are_found_among_their_layers_and_messages(
    parts: list[tuple[list[str], str, list[str]]],
) -> None:
    text = "".join("".join((*before, frame, *layers)) for before, frame, layers in parts)
    if len(text) % 8:
        text += "0" + "1" * (-len(text) % 8 - 1)  # RFC 5574 section 3.3
    payload = int("1" + text, 2).to_bytes(len(text) // 8 + 1)[1:] if text else b""
    if len(payload) < 1500:
        expected = len(parts) if len(parts) <= 12 else 0
        for rate in (8000, 16_000, 32_000):
            assert durations(by_name("SPEEX", rate), payload) == [expected * rate // 50]


def test_unknown_codecs_are_named() -> None:
    with pytest.raises(CodecError, match="LPC/8000"):
        by_name("LPC", 8000)
    with pytest.raises(CodecError, match="A_VORBIS"):
        by_track("A_VORBIS", b"\x01")
