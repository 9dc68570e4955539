"""Capture files in the format of libpcap (draft-ietf-opsawg-pcap), in either byte order."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gateway.tap.records import CaptureFault, Record, checked

HEADER_SIZE = 24  # section 4
# Its first four octets in big-endian order: ns a unit of the fraction, and the size of a record's header.
# 0xA1B2CD34 is the format of a patched libpcap, whose records have eight octets more.
MAGICS = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24)}
_LINK_TYPE = 0xFFFF  # above it stands how long the frame check sequence is
NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Pcap:
    """A file whose header was read: the records behind it."""

    record: struct.Struct  # seconds, fraction, octets captured, octets on the wire
    fraction_ns: int
    header_size: int
    link_type: int

    def read(self, data: bytes, at: int, found: list[Record], first: int) -> int:
        unpack, size_of_header, room = self.record.unpack_from, self.header_size, len(data)
        number = first
        while at + size_of_header <= room:
            seconds, fraction, size, length = unpack(data, at)
            arrival = seconds * NS + fraction * self.fraction_ns
            checked(number, size, arrival)
            end = at + size_of_header + size
            if end > room:
                break
            found.append(Record(at + size_of_header, size, length, self.link_type, arrival))
            at = end
            number += 1
        return at


def begun(header: bytes) -> Pcap | None:
    """The format that a file's first 24 octets tell of; None when it is another one. Raises CaptureFault."""
    for order in (">", "<"):
        magic, major, minor, _, _, _, link_type = struct.unpack(order + "IHHIIII", header)
        if magic in MAGICS:
            if major != 2:
                raise CaptureFault(f"the capture is of version {major}.{minor}; 2.4 can be read")
            fraction_ns, header_size = MAGICS[magic]
            return Pcap(struct.Struct(order + "IIII"), fraction_ns, header_size, link_type & _LINK_TYPE)
    return None
