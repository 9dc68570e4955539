from __future__ import annotations

import struct

import numpy as np
import pytest

from gateway.codecs.registry import CODECS, Codec, CodecError, by_name, by_track, supported


def test_found_by_rtp_name_in_any_case() -> None:
    assert by_name("pcma", 8000).name == "PCMA"
    assert supported("PCMU", 8000)
    assert not supported("PCMU", 16000)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_found_by_its_own_track(codec: Codec) -> None:
    assert by_track(codec.matroska_id, codec.private) is codec


def test_wave_format_of_a_law() -> None:
    assert struct.unpack("<HHIIHHH", by_name("PCMA", 8000).private) == (6, 1, 8000, 8000, 1, 8, 0)


def test_one_tick_a_byte() -> None:
    assert by_name("PCMU", 8000).durations(np.array([160, 0, 33])).tolist() == [160, 0, 33]


def test_unknown_codecs_are_named() -> None:
    with pytest.raises(CodecError, match="G729/8000"):
        by_name("G729", 8000)
    with pytest.raises(CodecError, match="A_OPUS"):
        by_track("A_OPUS", b"\x01")
