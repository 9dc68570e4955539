"""Addresses and ports found in whole columns: hashed to 64 bits, sorted, searched, and compared in full."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.rtp.packets import Ints, Octets
from gateway.tap.frames import address_text

Words = npt.NDArray[np.uint64]
Place = tuple[bytes, int]  # an IPv6 address, IPv4 mapped into it, and a port

# Odd numbers of which about half the bits are set: what they multiply is spread over the upper bits.
MIX = tuple(np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))
SHIFT = np.uint64(29)
# Calls of two forks or both sides of a telephone system may name one place. A generator of calls that has one port for a
# thousand must not have each packet stored a thousand times.
MAX_AT_ONE = 8


@dataclass(frozen=True, slots=True)
class Spot:
    """Addresses and ports, one element a place in every column."""

    high: Words
    low: Words
    ports: Ints
    hashes: Words

    def take(self, which: Ints) -> Spot:
        return Spot(self.high[which], self.low[which], self.ports[which], self.hashes[which])

    def place(self, row: int) -> tuple[str, int]:
        """One of them, its address as it is written."""
        octets = self.high[row : row + 1].tobytes() + self.low[row : row + 1].tobytes()
        return address_text(octets), int(self.ports[row])

    def __len__(self) -> int:
        return len(self.ports)


def spots(addresses: Octets, ports: Ints) -> Spot:
    """Addresses are (n, 16)."""
    halves = np.ascontiguousarray(addresses).view(np.uint64)
    high, low = halves[:, 0], halves[:, 1]
    mixed = high * MIX[0] + low * MIX[1] + ports.astype(np.uint64) * MIX[2]
    mixed ^= mixed >> SHIFT
    return Spot(high, low, ports, mixed * MIX[0])


def ways(source: Spot, to: Spot) -> Spot:
    """From where to where, as a place of its own kind: two hashes for the address."""
    both = np.empty((len(to), 2), np.uint64)
    both[:, 0], both[:, 1] = source.hashes, to.hashes
    return spots(both.view(np.uint8), source.ports << 16 | to.ports)


def way_of(source: Place, to: Place) -> Place:
    """Likewise of one."""
    from_spot, to_spot = (
        spots(np.frombuffer(place[0], np.uint8).reshape(1, 16), np.array([place[1]], np.int64))
        for place in (source, to)
    )
    return from_spot.hashes.tobytes() + to_spot.hashes.tobytes(), source[1] << 16 | to[1]


class Places:
    """Who is looked for at which place; several may be at one, of which those who came last count."""

    def __init__(self) -> None:
        self._at: dict[Place, tuple[int, ...]] = {}
        self._sorted: Spot | None = None
        self._first = np.zeros(0, np.int64)  # of those at a place, in the order of `_sorted`
        self._further: list[tuple[int, int]] = []  # place in that order, and one more who is there

    def __bool__(self) -> bool:
        return bool(self._at)

    def add(self, place: Place, number: int) -> None:
        self._at[place] = (*self._at.get(place, ()), number)
        self._sorted = None

    def drop(self, place: Place, number: int) -> None:
        left = tuple(each for each in self._at.get(place, ()) if each != number)
        if left:
            self._at[place] = left
        else:
            self._at.pop(place, None)
        self._sorted = None

    def find(self, spot: Spot) -> tuple[Ints, Ints]:
        """Rows whose place somebody is looked for at, and who; a row once for each."""
        if not self._at:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        known = self._sorted or self._sort()
        at = np.minimum(np.searchsorted(known.hashes, spot.hashes), len(known) - 1)
        same = known.hashes[at] == spot.hashes
        same &= (known.high[at] == spot.high) & (known.low[at] == spot.low) & (known.ports[at] == spot.ports)
        rows = np.flatnonzero(same)
        found, who = [rows], [self._first[at[rows]]]
        for place, number in self._further:
            also = rows[at[rows] == place]
            found.append(also)
            who.append(np.full(len(also), number, np.int64))
        return (rows, who[0]) if len(found) == 1 else (np.concatenate(found), np.concatenate(who))

    def _sort(self) -> Spot:
        addresses = np.frombuffer(b"".join(address for address, _ in self._at), np.uint8).reshape(-1, 16)
        unsorted = spots(addresses, np.array([port for _, port in self._at], np.int64))
        order = np.argsort(unsorted.hashes)
        numbers = [each[-MAX_AT_ONE:] for each in self._at.values()]
        self._first = np.array([numbers[each][0] for each in order.tolist()], np.int64)
        self._further = [
            (place, number) for place, each in enumerate(order.tolist()) for number in numbers[each][1:]
        ]
        self._sorted = unsorted.take(order)
        return self._sorted
