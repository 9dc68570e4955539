"""Capture files for the tests, written with struct alone."""

from __future__ import annotations

import struct
from collections.abc import Sequence

Frame = tuple[int, bytes]  # ns since 1970, octets


def pcap(
    frames: Sequence[Frame], link_type: int = 1, order: str = "<", nano: bool = False, patched: bool = False
) -> bytes:
    nano = nano and not patched
    magic = 0xA1B2CD34 if patched else 0xA1B23C4D if nano else 0xA1B2C3D4
    made = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262_144, link_type)]
    for at_ns, frame in frames:
        seconds, rest = divmod(at_ns, 1_000_000_000)
        fraction = rest if nano else rest // 1000
        made.append(struct.pack(order + "IIII", seconds, fraction, len(frame), len(frame)))
        made += [bytes(8)] * patched + [frame]
    return b"".join(made)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    padded = body + bytes(-len(body) % 4)
    size = 12 + len(padded)
    return struct.pack(order + "II", kind, size) + padded + struct.pack(order + "I", size)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def interface(
    link_type: int = 1, order: str = "<", resolution: int | None = None, offset_s: int = 0, longest: int = 0
) -> bytes:
    options = option(2, b"eth0", order)
    if resolution is not None:
        options += option(9, bytes([resolution]), order)
    if offset_s:
        options += option(14, struct.pack(order + "q", offset_s), order)
    return block(
        1, struct.pack(order + "HHI", link_type, 0, longest) + options + option(0, b"", order), order
    )


def packet(ticks: int, frame: bytes, place: int = 0, order: str = "<") -> bytes:
    """An enhanced packet block; the time in units of its interface."""
    head = struct.pack(order + "IIIII", place, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    padded = frame + bytes(-len(frame) % 4)
    return block(6, head + padded + option(1, b"a comment", order) + option(0, b"", order), order)


def old_packet(ticks: int, frame: bytes, place: int = 0, order: str = "<") -> bytes:
    head = struct.pack(order + "HHIIII", place, 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(2, head + frame, order)


def simple_packet(frame: bytes, order: str = "<", length: int | None = None) -> bytes:
    return block(3, struct.pack(order + "I", len(frame) if length is None else length) + frame, order)
