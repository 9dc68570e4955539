"""Which legs go on just as they did when they were last looked at by themselves, in columns.

Of a steady leg's packets the delays (arrival less RTP time) are followed by the least and the last alone: as long
as these lie where they move no anchor, all steady legs of a ring shape are committed together.
"""

from __future__ import annotations

import numpy as np

from gateway.codecs.codec import Codec
from gateway.rtp.packets import Bools, Ints, first_of_each

NS_PER_SECOND = 1_000_000_000


class Steady:
    """One row a leg. A leg is steady from `settle` until something of it changes that a commit must look at."""

    def __init__(self, capacity: int) -> None:
        self.is_so = np.zeros(capacity, np.bool_)
        self.kind = np.zeros(capacity, np.uint8)  # of all its packets, if they are to be committed together
        self.codec = np.zeros(capacity, np.uint8)  # of that kind; its number in `codecs`
        self.codecs: list[Codec] = []
        self.rate = np.full(capacity, 8000, np.int64)  # Hz, of its RTP clock
        self.zero = np.zeros(capacity, np.int64)  # ns, arrival that is zero of the call clock
        self.anchor = np.zeros(capacity, np.int64)  # ns, the delay its packets are placed by
        # ns, the least delay of all packets that have come since it was settled, or waited then; that of the last of them
        # by sequence, or more
        self.least, self.last = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
        # From this slot on packets came in the order of their slots.
        self.straight = np.zeros(capacity, np.int64)

    def settle(
        self, leg: int, kind: int, codec: Codec, zero: int, anchor: int, least: int, last: int
    ) -> None:
        """The leg was looked at by itself, and nothing of it is to come that must be."""
        if codec not in self.codecs:
            self.codecs.append(codec)
        self.kind[leg], self.codec[leg], self.rate[leg] = kind, self.codecs.index(codec), codec.clock_rate
        self.anchor[leg], self.zero[leg] = anchor, zero
        self.least[leg], self.last[leg] = least, last
        self.is_so[leg] = True

    def unsettle(self, leg: int) -> None:
        self.is_so[leg] = False

    def clear(self, leg: int) -> None:
        """Another leg has the row now."""
        self.is_so[leg] = False
        self.straight[leg] = 0

    def rtp_ns(self, legs: Ints, rows: Ints, media: Ints) -> Ints:
        """RTP time in ns of packets, of which `rows` tell which of `legs` they are of."""
        rates = self.rate[legs]
        if (rates == rates[0]).all():  # by one number, division is several times faster
            return media * NS_PER_SECOND // int(rates[0])
        return media * NS_PER_SECOND // rates[rows]

    def see(self, legs: Ints, slots: Ints, arrivals: Ints, media: Ints, audio: Bools, highest: Ints) -> None:
        """Packets have come; those of a leg stand together. `highest` are the slots of all legs before."""
        if not audio.all():
            legs, slots, arrivals, media = legs[audio], slots[audio], arrivals[audio], media[audio]
        if not len(legs):
            return
        starts = first_of_each(legs)
        which = legs[starts]
        rows = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(legs)))
        delays = arrivals - self.rtp_ns(which, rows, media)
        self.least[which] = np.minimum(self.least[which], np.minimum.reduceat(delays, starts))
        top, ends = np.maximum.reduceat(slots, starts), np.append(starts[1:], len(legs)) - 1
        last = np.where(slots[ends] == top, delays[ends], np.maximum.reduceat(delays, starts))
        self.last[which] = np.where(top > highest[which], last, np.maximum(last, self.last[which]))

    def astray(self, legs: Ints, slots: Ints, arrivals: Ints, highest: Ints, latest: Ints) -> Bools:
        """Which packets of a batch came out of order or twice.

        `highest` slot and `latest` arrival (ns) of each packet's leg are those before the batch.
        """
        before, came = highest.copy(), latest.copy()
        same = legs[1:] == legs[:-1]
        np.copyto(before[1:], slots[:-1], where=same)
        np.copyto(came[1:], arrivals[:-1], where=same)
        astray: Bools = (slots <= before) | (arrivals < came)
        return astray

    def disorder(self, leg: int, highest: int) -> None:
        """Packets came out of order up to a slot."""
        self.straight[leg] = max(int(self.straight[leg]), highest + 1)
