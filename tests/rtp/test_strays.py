"""Packets that may be a leg's next stream wait together, whatever batches they came in."""

from __future__ import annotations

import numpy as np

from gateway.rtp.packets import PacketBatch, parse
from gateway.rtp.strays import Strays
from tests.recording.simulation import rtp


def strays(payloads: list[bytes], width: int) -> Strays:
    packets = [rtp(number, 160 * number, payload, 7) for number, payload in enumerate(payloads)]
    slots = np.zeros((len(packets), width), np.uint8)
    for slot, packet in zip(slots, packets, strict=True):
        slot[: len(packet)] = np.frombuffer(packet, np.uint8)
    sizes = np.array([len(packet) for packet in packets], np.int64)
    none = np.zeros(len(packets), np.int64)
    columns, _ = parse(PacketBatch(slots, sizes, none, none))
    return Strays(columns, slots)


def audio(found: Strays) -> list[bytes]:
    columns = (found.packets.rows, found.packets.offset, found.packets.size)
    return [found.slots[row, at : at + size].tobytes() for row, at, size in zip(*columns, strict=True)]


def test_batches_of_slots_of_different_sizes() -> None:
    small, large = [b"a" * 20, b"b" * 30], [b"c" * 160]
    assert audio(strays(small, 60).followed_by(strays(large, 200))) == small + large
    assert audio(strays(large, 200).followed_by(strays(small, 60))) == large + small
