"""Frames as a tap or a capture file gives them, many at once, in columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import numpy as np

from gateway.rtp.packets import Bools, Ints, Octets


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

    def take(self, which: Bools | Ints | slice) -> FrameBatch:
        """Those that a mask, an index or a slice picks, in its order."""
        columns: dict[str, Any] = {name: getattr(self, name)[which] for name in self.__slots__[1:]}
        return FrameBatch(self.octets, **columns)

    def __len__(self) -> int:
        return len(self.sizes)


def joined(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Frames of several batches as one, in their order."""
    if len(batches) == 1:
        return batches[0]
    starts = np.cumsum([0, *(batch.octets.size for batch in batches[:-1])])
    offsets = np.concatenate([batch.offsets + start for batch, start in zip(batches, starts, strict=True)])
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(batch, name) for batch in batches]) for name in FrameBatch.__slots__[2:]
    }
    return FrameBatch(np.concatenate([batch.octets for batch in batches]), offsets, **columns)


def merged(batches: Sequence[FrameBatch]) -> FrameBatch:
    """Frames of several captures as one batch, in the order of their times."""
    if len(batches) == 1:
        return batches[0]
    frames = joined(batches)
    return frames.take(np.argsort(frames.arrivals, kind="stable"))


_MAPPED = bytes(10) + b"\xff\xff"


@lru_cache(maxsize=4096)  # a site has some hundred addresses; each is asked for with every message
def address_text(octets: bytes) -> str:
    """The 16 octets of an address as it is written, those that are mapped as IPv4."""
    return str(IPv4Address(octets[12:]) if octets.startswith(_MAPPED) else IPv6Address(octets))


@lru_cache(maxsize=4096)
def address_octets(text: str) -> bytes:
    """The 16 octets of an address that is written; of IPv4, mapped into IPv6. Raises ValueError."""
    address = ip_address(text)
    return address.packed if isinstance(address, IPv6Address) else _MAPPED + address.packed


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
    headers: Ints  # where in the arena the UDP or TCP header begins

    def take(self, which: Bools | Ints | slice) -> Datagrams:
        """Those that a mask, an index or a slice picks, in its order."""
        return self._made(lambda name: getattr(self, name)[which])

    def and_also(self, other: Datagrams) -> Datagrams:
        """Both, in the order of their rows; `other` lies in the same arena."""
        order = np.argsort(np.concatenate((self.rows, other.rows)), kind="stable")
        return self._made(lambda name: np.concatenate((getattr(self, name), getattr(other, name)))[order])

    def _made(self, column: Callable[[str], Any]) -> Datagrams:
        """Others in the same arena, each column but that made anew."""
        columns: dict[str, Any] = {
            name: self.octets if name == "octets" else column(name) for name in self.__slots__
        }
        return Datagrams(**columns)

    def payload(self, row: int) -> bytes:
        """What one of them carries."""
        at = int(self.offsets[row])
        return self.octets[at : at + int(self.sizes[row])].tobytes()

    def __len__(self) -> int:
        return len(self.sizes)
