"""Columns over datagrams, against a parser that reads one datagram after the other."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packets import PacketBatch, parse

SLOT = 200


def plainly(data: bytes) -> str | tuple[int, int, int, int, bytes]:
    """The fault of one datagram, or sequence, timestamp, SSRC, payload type and payload (RFC 3550 section 5.1)."""
    if len(data) < 12:
        return "short"
    if data[0] >> 6 != 2:
        return "version"
    if 192 <= data[1] <= 223:
        return "rtcp"
    start, end = 12 + 4 * (data[0] & 15), len(data)
    if data[0] & 0x10:
        if start + 4 > end:
            return "length"
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    if data[0] & 0x20:
        if not data[-1]:
            return "length"
        end -= data[-1]
    if start > end:
        return "length"
    number, time, source = (int.from_bytes(data[a:b]) for a, b in ((2, 4), (4, 8), (8, 12)))
    return number, time, source, data[1] & 0x7F, data[start:end]


def batch(datagrams: list[bytes], stale: int = 0) -> PacketBatch:
    slots = np.full((len(datagrams), SLOT), stale, np.uint8)
    for slot, data in zip(slots, datagrams, strict=True):
        slot[: len(data)] = np.frombuffer(data, np.uint8)
    sizes = np.array([len(data) for data in datagrams], np.int64)
    rows = np.arange(len(datagrams))
    return PacketBatch(slots, sizes, rows * 0 + 5, rows * 1000)


@st.composite
def near_rtp(draw: st.DrawFn) -> bytes:
    """A datagram whose every field may be honest or not."""
    sources = draw(st.integers(0, 15))
    head = bytes([0x80 | draw(st.sampled_from([0, 0x10, 0x20, 0x30])) | sources])
    head += draw(st.binary(min_size=11, max_size=11)) + bytes(
        4 * draw(st.sampled_from([sources, sources, 0]))
    )
    if head[0] & 0x10:
        words = draw(st.integers(0, 4))
        head += b"\xbe\xde" + draw(st.sampled_from([words, words, 9000])).to_bytes(2) + bytes(4 * words)
    body = draw(st.binary(max_size=30))
    if head[0] & 0x20:
        padding = draw(st.integers(0, 8))
        body += bytes(max(0, padding - 1)) + bytes([draw(st.sampled_from([padding, padding, 255]))])
    whole = head + body
    return whole[: draw(st.sampled_from([len(whole), len(whole), draw(st.integers(0, len(whole)))]))]


@given(
    st.lists(st.one_of(near_rtp(), st.binary(max_size=60)), min_size=1, max_size=20),
    st.sampled_from([0, 255]),
)
def test_every_datagram_is_read_as_one_by_one(datagrams: list[bytes], stale: int) -> None:
    given_batch = batch(datagrams, stale)
    columns, faults = parse(given_batch)
    read = {
        int(row): (sequence, timestamp, ssrc, kind, given_batch.slots[row, offset : offset + size].tobytes())
        for row, sequence, timestamp, ssrc, kind, offset, size in zip(
            columns.rows, columns.sequence.tolist(), columns.timestamp.tolist(), columns.ssrc.tolist(),
            columns.payload_type.tolist(), columns.offset, columns.size, strict=True,
        )
    }  # fmt: skip
    expected = {row: plainly(data) for row, data in enumerate(datagrams)}
    assert read == {row: packet for row, packet in expected.items() if not isinstance(packet, str)}
    assert faults == Counter(fault for fault in expected.values() if isinstance(fault, str))
    assert (columns.legs == 5).all()
    assert columns.arrivals.tolist() == [row * 1000 for row in read]


def test_no_datagrams() -> None:
    columns, faults = parse(batch([]))
    assert (len(columns), faults) == (0, Counter())


def test_marker_is_not_part_of_the_payload_type() -> None:
    columns, _ = parse(batch([bytes([0x80, 0x80 | 8]) + bytes(10) + b"x"]))
    assert columns.payload_type.tolist() == [8]


def test_a_datagram_that_fills_its_slot() -> None:
    extended = bytes([0x90, 8]) + bytes(10) + b"\x00\x00" + (46).to_bytes(2) + bytes(SLOT - 16)
    columns, faults = parse(batch([extended, extended[:14] + (47).to_bytes(2) + extended[16:]]))
    assert (columns.offset.tolist(), columns.size.tolist(), faults) == ([SLOT], [0], Counter(length=1))
