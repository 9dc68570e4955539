"""Frames as a tap or a capture file gives them, many at once, in columns."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.rtp.packets import Ints, Octets


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """One element a frame in every column, in the order in which they came."""

    octets: Octets  # of all frames, one arena
    offsets: Ints  # where in it each begins
    sizes: Ints  # octets captured
    lengths: Ints  # octets on the wire; more than were captured where a capture cuts them
    link_types: Ints  # LINKTYPE_ values, as in pcap files
    arrivals: Ints  # ns
    numbers: Ints  # of the frame in its capture, from 1

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True, slots=True)
class Datagrams:
    """The UDP datagrams and TCP segments in a batch, all layers around them taken off."""

    rows: Ints  # of the frame in its batch; -1: put together of fragments
    octets: Octets  # the arena that `offsets` count in
    offsets: Ints  # of the payload
    sizes: Ints  # octets of the payload
    protocols: Ints  # 17: UDP, 6: TCP
    sources: Octets  # (n, 16): IPv6 addresses, IPv4 mapped into them (RFC 4291 section 2.5.5.2)
    destinations: Octets  # (n, 16)
    source_ports: Ints
    destination_ports: Ints
    arrivals: Ints  # ns
    numbers: Ints  # of the frame; of the last one, where several were put together

    def __len__(self) -> int:
        return len(self.sizes)
