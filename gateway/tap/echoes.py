"""Packets that a mirror shows twice: one of both ports between which they went, or as they came in and as they left.

A copy is told by its header, close behind its original. Of a leg that has few copies they are packets that were sent twice, and stay.
"""

from __future__ import annotations

import numpy as np

from gateway.rtp.packets import HEADER, Bools, Ints, PacketBatch, first_of_each
from gateway.tap.places import MIX, Words

NEAR = 8  # packets of a leg in which a copy's original is looked for: what switches queue before they copy it
ECHO_NS = 100_000_000  # and how long after it a copy comes at most
NEVER = -(1 << 62)


class Echoes:
    """Feed it the packets of legs; it gives them without what a mirror has shown before."""

    def __init__(self) -> None:
        self._names = np.zeros((0, NEAR), np.uint64)  # by leg: its last packets, the newest at the end
        self._times = np.zeros((0, NEAR), np.int64)
        self._packets = np.zeros((0, 2), np.int64)  # by leg: how many came, and how many of them were copies

    def begin(self, leg: int) -> None:
        """A leg is one of another call from now on."""
        if leg >= len(self._times):
            more = leg + 1
            self._names = np.append(self._names, np.zeros((more, NEAR), np.uint64), axis=0)
            self._times = np.append(self._times, np.full((more, NEAR), NEVER), axis=0)
            self._packets = np.append(self._packets, np.zeros((more, 2), np.int64), axis=0)
        self._times[leg] = NEVER
        self._packets[leg] = 0

    def without(self, batch: PacketBatch) -> PacketBatch:
        """The packets less the copies of those legs of which about each packet comes twice; all begun legs."""
        firsts = first_of_each(batch.legs)
        legs, sizes = batch.legs[firsts], np.diff(np.append(firsts, len(batch)))
        # The last packets of each leg stand before its new ones, so that all are compared in one go.
        at = np.arange(len(batch)) + NEAR * (1 + np.repeat(np.arange(len(legs)), sizes))
        before = at[firsts][:, None] + np.arange(-NEAR, 0)
        names = np.zeros(len(batch) + NEAR * len(legs), np.uint64)
        times = np.zeros(len(names), np.int64)
        names[before], times[before] = self._names[legs], self._times[legs]
        names[at], times[at] = _names(batch), batch.arrivals
        found = np.zeros(len(names), np.bool_)
        for back in range(1, NEAR + 1):
            found[back:] |= (names[back:] == names[:-back]) & (times[back:] - times[:-back] < ECHO_NS)
        copies = found[at]
        last = at[firsts + sizes - 1][:, None] + np.arange(1 - NEAR, 1)
        self._names[legs], self._times[legs] = names[last], times[last]
        self._packets[legs, 0] += sizes
        if not copies.any():
            return batch
        self._packets[legs, 1] += np.add.reduceat(copies, firsts, dtype=np.int64)
        kept = ~(copies & np.repeat(self._mirrored(legs), sizes))
        return PacketBatch(batch.slots[kept], batch.sizes[kept], batch.legs[kept], batch.arrivals[kept])

    def _mirrored(self, legs: Ints) -> Bools:
        """Half of what a mirror shows twice are copies; at first they may not have come yet."""
        came, copied = self._packets[legs].T
        found: Bools = 3 * copied + NEAR >= came
        return found


def _names(batch: PacketBatch) -> Words:
    """What stands for the header of each packet (RFC 3550 section 5.1)."""
    words = np.ascontiguousarray(batch.slots[:, : HEADER.itemsize]).view(np.uint32).astype(np.uint64)
    names: Words = words[:, 0] * MIX[0] + words[:, 1] * MIX[1] + words[:, 2] * MIX[2]
    return names
