"""Capture files in the format pcapng (draft-ietf-opsawg-pcapng): blocks, in sections that each have their byte order."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.tap.records import CaptureFault, Record, checked

MAX_BLOCK = 16 << 20  # octets; a block of a frame has few more than the frame
MAX_INTERFACES = 4_096  # of a section; a machine has some dozens
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = 0x0A0D0D0A, 1, 2, 3, 6  # section 11.1
SECTION_MAGIC = SECTION.to_bytes(4)
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}  # section 4.1
_FRAME = 12  # type and length before a block's body, and the length again behind it
_TIME_RESOLUTION, _TIME_OFFSET = 9, 14  # options of an interface, section 4.2
NS = 1_000_000_000
# What stands before the frame in each kind of block that has one.
_BEFORE = {OLD_PACKET: "HHIIII", SIMPLE_PACKET: "I", PACKET: "IIIII"}


@dataclass(frozen=True, slots=True)
class _Interface:
    link_type: int
    longest: int  # octets that are captured of a frame; 0: all
    units: int = 1_000_000  # of time in a second
    offset_s: int = 0

    def time_ns(self, high: int, low: int) -> int:
        return (high << 32 | low) * NS // self.units + self.offset_s * NS


class PcapNg:
    """The blocks of a file, from its first octet on."""

    def __init__(self) -> None:
        self._order = "<"
        self._block = struct.Struct("<II")
        self._before = {kind: struct.Struct("<" + fields) for kind, fields in _BEFORE.items()}
        self._interfaces: list[_Interface] = []
        self._last_ns = 0  # for packets that tell no time

    def read(self, data: bytes, at: int, found: list[Record], first: int) -> int:
        start = len(found)
        while at + _FRAME <= len(data):
            number = first + len(found) - start
            if data[at : at + 4] == SECTION_MAGIC:
                self._section(data[at + 8 : at + 12], number)
            kind, size = self._block.unpack_from(data, at)
            if size < _FRAME or size % 4 or size > MAX_BLOCK:
                raise CaptureFault(f"the block of packet {number} is said to have {size} octets")
            end = at + size
            if end > len(data):
                break
            if self._block.unpack_from(data, end - 8)[1] != size:
                raise CaptureFault(f"the block of packet {number} tells two different lengths")
            if kind in _BEFORE:
                found.append(self._packet(kind, data, at + 8, end - 4, number))
            elif kind == INTERFACE:
                self._interface(data[at + 8 : end - 4], number)
            elif kind == SECTION:
                self._version(data[at + 12 : end - 4], number)
            at = end
        return at

    def _section(self, magic: bytes, number: int) -> None:
        """Section 4.1: from here on another byte order may hold, and the interfaces are others."""
        order = _ORDERS.get(magic)
        if order is None:
            raise CaptureFault(f"the section of packet {number} begins with a byte order that there is not")
        if order != self._order:
            self._order = order
            self._block = struct.Struct(order + "II")
            self._before = {kind: struct.Struct(order + fields) for kind, fields in _BEFORE.items()}
        self._interfaces = []

    def _version(self, body: bytes, number: int) -> None:
        if len(body) < 12:
            raise CaptureFault(f"the section of packet {number} is cut short")
        major, minor = struct.unpack_from(self._order + "HH", body)
        if major != 1:
            raise CaptureFault(
                f"the section of packet {number} is of version {major}.{minor}; 1.0 can be read"
            )

    def _interface(self, body: bytes, number: int) -> None:
        if len(body) < 8:
            raise CaptureFault(f"the description of an interface before packet {number} is cut short")
        if len(self._interfaces) >= MAX_INTERFACES:
            raise CaptureFault(f"there are more than {MAX_INTERFACES} interfaces before packet {number}")
        link_type, _, longest = struct.unpack_from(self._order + "HHI", body)
        units, offset_s = 1_000_000, 0
        for code, value in self._options(body[8:]):
            if code == _TIME_RESOLUTION and value:
                exponent = value[0] & 0x7F
                units = 2**exponent if value[0] & 0x80 else 10**exponent
            elif code == _TIME_OFFSET and len(value) == 8:
                (offset_s,) = struct.unpack(self._order + "q", value)
        self._interfaces.append(_Interface(link_type, longest, units, offset_s))

    def _options(self, octets: bytes) -> list[tuple[int, bytes]]:
        """Section 3.5. What is cut short ends the list."""
        found, at = [], 0
        while at + 4 <= len(octets):
            code, size = struct.unpack_from(self._order + "HH", octets, at)
            if code == 0:
                break
            found.append((code, octets[at + 4 : at + 4 + size]))
            at += 4 + (size + 3) // 4 * 4
        return found

    def _packet(self, kind: int, data: bytes, at: int, end: int, number: int) -> Record:
        """Sections 4.3, 4.4 and A."""
        before = self._before[kind]
        if at + before.size > end:
            raise CaptureFault(f"the block of packet {number} is cut short")
        fields = before.unpack_from(data, at)
        at += before.size
        place = 0 if kind == SIMPLE_PACKET else fields[0]
        if place >= len(self._interfaces):
            raise CaptureFault(
                f"packet {number} is of interface {place}; {len(self._interfaces)} are described before it"
            )
        interface = self._interfaces[place]
        if kind == SIMPLE_PACKET:
            (length,) = fields
            size = min(length, interface.longest or length, end - at)
        else:
            high, low, size, length = fields[-4:]
            self._last_ns = interface.time_ns(high, low)
        checked(number, size, self._last_ns)
        if at + size > end:
            raise CaptureFault(f"packet {number} is said to have {size} octets; its block holds {end - at}")
        return Record(at, size, length, interface.link_type, self._last_ns)
