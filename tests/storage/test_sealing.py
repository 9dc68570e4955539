"""Sealed streams, judged by Tink's own library."""

from __future__ import annotations

import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.storage.sealing import AlteredError, Ending, Sealer, SealError, TruncatedError, open_sealed
from tests.tink_judge import primitive

KEY, AAD = bytes(range(32)), b"0199d6a4-0000-7000-8000-000000000001"
SALT, PREFIX = b"s" * 32, b"prefix7"
FIRST, LATER = 4096 - 40 - 16, 4096 - 16
BOUNDARIES = [0, 1, FIRST - 1, FIRST, FIRST + 1, FIRST + LATER - 1, FIRST + LATER, FIRST + LATER + 1, 20_000]


def seal(*pieces: bytes) -> bytes:
    sealer = Sealer(KEY, AAD, SALT, PREFIX)
    return b"".join(sealer.write(piece) for piece in pieces) + sealer.finish()


def unseal(data: bytes) -> bytes:
    return b"".join(open_sealed(io.BytesIO(data), KEY, AAD))


def torn(data: bytes) -> tuple[bytes, Ending | None]:
    reader = open_sealed(io.BytesIO(data), KEY, AAD, torn=True)
    return b"".join(reader), reader.ending


@pytest.mark.parametrize("size", BOUNDARIES)
def test_tink_reads_what_we_seal(size: int) -> None:
    plain = os.urandom(size)
    with primitive(KEY).new_decrypting_stream(io.BytesIO(seal(plain)), AAD) as stream:
        assert stream.read() == plain


@pytest.mark.parametrize("size", BOUNDARIES)
def test_we_read_what_tink_seals(size: int) -> None:
    plain, out = os.urandom(size), io.BytesIO()
    out.close = lambda: None  # type: ignore[method-assign]
    with primitive(KEY).new_encrypting_stream(out, AAD) as stream:
        stream.write(plain)
    assert unseal(out.getvalue()) == plain


@given(st.lists(st.binary(max_size=9000), max_size=5))
def test_the_split_into_writes_leaves_no_trace(pieces: list[bytes]) -> None:
    assert seal(*pieces) == seal(b"".join(pieces))
    assert unseal(seal(*pieces)) == b"".join(pieces)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=4))
def test_padding_pushes_all_that_waits_out_and_no_byte_less_does(sizes: list[int]) -> None:
    sealer = Sealer(KEY, AAD, SALT, PREFIX)
    for size in sizes:
        sealer.write(bytes(size))
    before = sealer.waiting
    assert before > 0
    assert sealer.write(bytes(sealer.padding() - 1)) == b""
    assert len(sealer.write(b"x")) in (4096, 4096 - 40)
    assert sealer.waiting == 1


def test_nothing_waits_nothing_is_needed() -> None:
    assert Sealer(KEY, AAD, SALT, PREFIX).padding() == 0


def test_the_header_comes_with_the_first_write() -> None:
    sealer = Sealer(KEY, AAD, SALT, PREFIX)
    assert sealer.write(b"") == b"\x28" + SALT + PREFIX
    assert sealer.write(b"") == b""


def test_a_finished_sealer_refuses() -> None:
    sealer = Sealer(KEY, AAD, SALT, PREFIX)
    sealer.finish()
    with pytest.raises(ValueError, match="finished"):
        sealer.write(b"more")
    with pytest.raises(ValueError, match="finished"):
        sealer.finish()


SEALED = seal(bytes(range(256)) * 50)  # four segments: 4040 + 4080 + 4080 + 600


@pytest.mark.parametrize("cut", [0, 1, 39, 40, 41, 4095, 4096, 4097, 8192, 8200, len(SEALED) - 1])
def test_a_cut_is_named_and_its_prefix_kept(cut: int) -> None:
    with pytest.raises(TruncatedError):
        unseal(SEALED[:cut])
    whole = cut // 4096
    prefix, ending = torn(SEALED[:cut])
    assert ending is Ending.TRUNCATED
    assert prefix == (bytes(range(256)) * 50)[: FIRST + (whole - 1) * LATER if whole else 0]


@pytest.mark.parametrize(
    ("place", "segment"), [(1, 0), (34, 0), (40, 0), (4095, 0), (4096, 1), (8191, 1), (8192, 2), (12287, 2)]
)
def test_a_flipped_bit_is_named_with_its_segment(place: int, segment: int) -> None:
    flipped = bytearray(SEALED)
    flipped[place] ^= 4
    with pytest.raises(AlteredError) as caught:
        unseal(bytes(flipped))
    assert caught.value.segment == segment
    assert torn(bytes(flipped))[1] is Ending.ALTERED


def test_swapped_segments_are_named() -> None:
    swapped = SEALED[:4096] + SEALED[8192:12288] + SEALED[4096:8192] + SEALED[12288:]
    with pytest.raises(AlteredError, match="segment 1 "):
        unseal(swapped)


def test_appended_bytes_are_named() -> None:
    with pytest.raises(SealError, match="segment 3"):
        unseal(SEALED + b"\0")
    full = seal(bytes(FIRST))
    with pytest.raises(AlteredError, match="bytes follow segment 0"):
        unseal(full + b"\0")


def test_another_recording_and_another_key_are_refused() -> None:
    for key, aad in ((KEY, AAD[:-1] + b"2"), (KEY[::-1], AAD)):
        with pytest.raises(AlteredError, match="another recording or under another key"):
            b"".join(open_sealed(io.BytesIO(SEALED), key, aad))


def test_an_error_sticks() -> None:
    reader = open_sealed(io.BytesIO(SEALED[:5000]), KEY, AAD)
    next(reader)
    for _ in range(2):
        with pytest.raises(TruncatedError):
            next(reader)


def test_wrong_lengths_of_key_material_are_refused() -> None:
    with pytest.raises(ValueError, match="salt of 32"):
        Sealer(KEY, AAD, b"short", PREFIX)
