"""Frames for the tests, put together layer by layer with struct: nothing of the gateway is used."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Sequence

import numpy as np

from gateway.tap.frames import FrameBatch

ETHERNET, COOKED, COOKED_2, NULL, LOOP, RAW = 1, 113, 276, 0, 108, 101
IPV4, IPV6 = 0x0800, 0x86DD


def udp(payload: bytes, source: int = 5060, destination: int = 5060) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def tcp(
    payload: bytes,
    sequence: int,
    flags: int = 0x10,
    source: int = 5060,
    destination: int = 5060,
    options: bytes = b"",
) -> bytes:
    words = (20 + len(options)) // 4
    head = struct.pack(
        ">HHIIBBHHH", source, destination, sequence & 0xFFFFFFFF, 0, words << 4, flags, 65535, 0, 0
    )
    return head + options + payload


def ipv4(
    payload: bytes,
    source: str = "192.0.2.1",
    destination: str = "192.0.2.2",
    protocol: int = 17,
    identification: int = 1,
    offset: int = 0,
    more: bool = False,
    options: bytes = b"",
    hops: int = 64,
) -> bytes:
    """`offset` in octets; `options` of a multiple of four."""
    length = 20 + len(options)
    return (
        struct.pack(
            ">BBHHHBBH4s4s",
            0x40 | length // 4,
            0,
            length + len(payload),
            identification,
            more << 13 | offset // 8,
            hops,
            protocol,
            0,
            ipaddress.IPv4Address(source).packed,
            ipaddress.IPv4Address(destination).packed,
        )
        + options
        + payload
    )


def ipv6(
    payload: bytes,
    source: str = "2001:db8::1",
    destination: str = "2001:db8::2",
    following: int = 17,
) -> bytes:
    return (
        struct.pack(">IHBB", 6 << 28, len(payload), following, 64)
        + ipaddress.IPv6Address(source).packed
        + ipaddress.IPv6Address(destination).packed
        + payload
    )


def extension(payload: bytes, following: int = 17, units: int = 0) -> bytes:
    """A header of options (RFC 8200 section 4.2) of 8 octets and as many times 8 more."""
    return bytes([following, units]) + bytes(6 + 8 * units) + payload


def fragment_header(
    payload: bytes, offset: int, more: bool, identification: int = 1, following: int = 17
) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | more, identification) + payload


def ethernet(payload: bytes, kind: int = IPV4, tags: Sequence[int] = ()) -> bytes:
    """`tags`: the types by which VLAN tags are told, the outermost first."""
    types = [*tags, kind]
    tagged = b"".join(struct.pack(">HH", 100 + place, each) for place, each in enumerate(types[1:]))
    return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02" + struct.pack(">H", types[0]) + tagged + payload


def cooked(payload: bytes, kind: int = IPV4) -> bytes:
    return struct.pack(">HHH8sH", 0, 1, 6, b"\x02\0\0\0\0\x01\0\0", kind) + payload


def cooked_2(payload: bytes, kind: int = IPV4) -> bytes:
    return struct.pack(">HHIHBB8s", kind, 0, 2, 1, 0, 6, b"\x02\0\0\0\0\x01\0\0") + payload


def pppoe(payload: bytes, kind: int = 0x0021) -> bytes:
    return struct.pack(">BBHHH", 0x11, 0, 7, 2 + len(payload), kind) + payload


def labelled(payload: bytes, *labels: int, control: bool = False) -> bytes:
    """MPLS labels, the last with the bottom of the stack; `control`: a control word behind them."""
    words = [label << 12 | (place == len(labels) - 1) << 8 | 64 for place, label in enumerate(labels)]
    return b"".join(struct.pack(">I", word) for word in words) + bytes(4) * control + payload


def snap(payload: bytes, kind: int = IPV4) -> bytes:
    return b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", kind) + payload


def wlan(payload: bytes, flags: int = 0x01, quality: bool = True, aggregated: bool = False) -> bytes:
    """A data frame; `flags` is the second octet of its frame control."""
    head = bytes([0x88 if quality else 0x08, flags]) + bytes(20) + b"\x30\x01"
    head += bytes(6) * (flags & 3 == 3) + bytes([0x80 * aggregated, 0]) * quality
    inner = snap(payload)
    return head + (bytes(12) + struct.pack(">H", len(inner)) if aggregated else b"") + inner


def radiotap(frame: bytes, flags: int | None = None, timed: bool = False, words: int = 1) -> bytes:
    """`words` tell what fields there are; only the timer and the flags are."""
    present = struct.pack("<I", timed | (flags is not None) << 1 | (words > 1) << 31)
    present += b"".join(struct.pack("<I", (word < words - 1) << 31) for word in range(1, words))
    fields = (bytes(-(4 + len(present)) % 8) + bytes(8)) * timed
    fields += bytes([flags or 0, 0])
    return struct.pack("<BBH", 0, 0, 4 + len(present) + len(fields)) + present + fields + frame


def geneve(payload: bytes, kind: int = 0x6558, options: bytes = b"") -> bytes:
    head = struct.pack(">BBHI", len(options) // 4, 0, kind, 42 << 8)
    return udp(head + options + payload, 50_000, 6081)


def tzsp(frame: bytes, protocol: int = 1, fields: bytes = b"") -> bytes:
    return udp(struct.pack(">BBH", 1, 0, protocol) + fields + b"\x01" + frame, 50_000, 37_008)


def gtp(packet: bytes, flags: int = 0x30, optional: bytes = b"") -> bytes:
    head = struct.pack(">BBHI", flags, 0xFF, len(optional) + len(packet), 7)
    return udp(head + optional + packet, 2152, 2152)


def gre(
    payload: bytes,
    kind: int,
    checksum: bool = False,
    key: bool = False,
    sequence: bool = False,
) -> bytes:
    flags = checksum << 15 | key << 13 | sequence << 12
    return struct.pack(">HH", flags, kind) + bytes(4) * (checksum + key + sequence) + payload


def erspan_2(frame: bytes) -> bytes:
    return gre(struct.pack(">HHI", 0x1001, 0x0801, 3) + frame, 0x88BE, sequence=True)


def erspan_3(frame: bytes, platform: bool = False) -> bytes:
    head = struct.pack(">HHIHH", 0x2001, 0x0801, 7, 0, int(platform))
    return gre(head + bytes(8) * platform + frame, 0x22EB, sequence=True)


def vxlan(frame: bytes, port: int = 4789) -> bytes:
    return udp(struct.pack(">II", 0x08000000, 42 << 8) + frame, 50_000, port)


def batch(
    frames: Sequence[bytes],
    link_type: int | Sequence[int] = ETHERNET,
    arrivals: Sequence[int] | None = None,
    first: int = 1,
    gap: int = 0,
) -> FrameBatch:
    """The frames with `gap` octets of noise between them, which no reader may look at."""
    sizes = np.array([len(frame) for frame in frames], np.int64)
    steps = sizes + gap
    count = len(frames)
    links = link_type if isinstance(link_type, int) else np.array(link_type, np.int64)
    return FrameBatch(
        octets=np.frombuffer(b"".join(frame + b"\xa5" * gap for frame in frames), np.uint8),
        offsets=np.cumsum(steps) - steps,
        sizes=sizes,
        lengths=sizes,
        link_types=np.broadcast_to(np.asarray(links, np.int64), (count,)),
        arrivals=np.arange(count) * 1_000_000 if arrivals is None else np.array(arrivals, np.int64),
        numbers=np.arange(first, first + count),
    )
