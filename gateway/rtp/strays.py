"""Packets that are not of a leg's stream, and the stream among them that may be the leg's next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from gateway.rtp.packets import Bools, Ints, Octets, RtpColumns

NEAR = 64  # sequence numbers this close belong to one stream


@dataclass(frozen=True, slots=True)
class Strays:
    """Packets of streams that are not (yet) the leg's, in the order they came."""

    packets: RtpColumns
    slots: Octets  # their datagrams, a row each

    def take(self, which: Bools | Ints) -> Strays:
        packets = self.packets.take(which)
        return Strays(replace(packets, rows=np.arange(len(packets))), self.slots[packets.rows])

    def followed_by(self, later: Strays) -> Strays:
        """These and those that came later, whose slots may be of another size: they are of another batch."""
        columns = (
            np.concatenate([getattr(strays.packets, name) for strays in (self, later)])
            for name in RtpColumns.__slots__
        )
        packets = replace(RtpColumns(*columns), rows=np.arange(len(self.slots) + len(later.slots)))
        slots = np.zeros((len(packets), max(self.slots.shape[1], later.slots.shape[1])), np.uint8)
        slots[: len(self.slots), : self.slots.shape[1]] = self.slots
        slots[len(self.slots) :, : later.slots.shape[1]] = later.slots
        return Strays(packets, slots)


def next_stream(packets: RtpColumns, audio: Bools, silent_since: int) -> Bools:
    """The packets of the first stream to come that shows itself twice and is heard after `silent_since`.

    `audio` tells which packets carry a codec's payload; times are monotonic ns. None where there is no such stream.
    """
    best = len(packets)
    chosen = np.zeros(best, np.bool_)
    for ssrc, count in zip(*np.unique(packets.ssrc, return_counts=True), strict=True):
        if count < 2:
            continue
        of_ssrc = np.flatnonzero(packets.ssrc == ssrc)
        step = signed16(packets.sequence[of_ssrc] - packets.sequence[of_ssrc[-1]])
        order = np.argsort(step, kind="stable")
        for near in np.split(of_ssrc[order], np.flatnonzero(np.diff(step[order]) > NEAR) + 1):
            distinct = bool((packets.sequence[near] != packets.sequence[near[0]]).any())
            heard = bool(audio[near].any()) and packets.arrivals[near].max() > silent_since
            if distinct and heard and near.min() < best:
                best = int(near.min())
                chosen[:] = False
                chosen[near] = True
    return chosen


def signed16(steps: Ints) -> Ints:
    """Differences of sequence numbers, -32768 to 32767."""
    return (steps + 0x8000 & 0xFFFF) - 0x8000


def signed32(steps: Ints) -> Ints:
    """Differences of timestamps, -2^31 to 2^31 - 1."""
    return (steps + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
