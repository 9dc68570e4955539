"""Which of the datagrams that a tap sees are whose audio: by where they go, else by where they come from.

Packets that nobody has asked for yet are kept a short while: what a call's first seconds sound like is often there before
its signalling has told of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np

from gateway.recording.messages import MediaFlow
from gateway.rtp.packets import HEADER, RTCP_FIRST, RTCP_LAST, VERSION, Bools, Ints, Octets, PacketBatch
from gateway.tap.echoes import Echoes
from gateway.tap.frames import Datagrams
from gateway.tap.places import Place, Places, Spot, spots, way_of, ways
from gateway.tap.unsignalled import LASTS_NS, Unsignalled

UDP = 17
SLOT_BYTES = 1600  # an Ethernet frame's worth; a longer datagram is refused
SMALL_BYTES = 256  # datagrams up to here are kept apart from larger ones, so that these widen few rows
# A leg that has been heard where its packets should go so lately takes none for where they come from.
HEARD_NS = 1_000_000_000
TRAILING_NS = 500_000_000  # how long after the end of a call what comes is still the end of its audio
# How much longer packets may wait, while the signalling of their call is not yet dealt with: many calls may begin at once.
BEHIND_NS = 10_000_000_000
NEVER = -(1 << 62)
NOBODY = np.zeros(0, np.int64), np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Limits:
    early_ns: int = 2_000_000_000  # how long before its media was agreed on packets are a call's
    early_bytes: int = 64 << 20  # most memory for packets that wait
    lasts_ns: int = LASTS_NS  # how long audio without signalling goes both ways at least, to be a call
    one_way: bool = False  # whether what goes one way alone is told of, too


@dataclass(slots=True)
class _Early:
    """Packets that wait, as they came in one batch."""

    batch: PacketBatch  # of no leg
    to: Spot
    source: Spot

    @property
    def bytes(self) -> int:
        return self.batch.slots.nbytes


@dataclass(slots=True)
class _Table:
    """By what packets are told apart."""

    way: Places = field(default_factory=Places)  # from where to where
    to: Places = field(default_factory=Places)
    source: Places = field(default_factory=Places)

    def add(self, leg: int, flow: MediaFlow) -> None:
        for places, place in self._places(flow):
            places.add(place, leg)

    def drop(self, leg: int, flow: MediaFlow) -> None:
        for places, place in self._places(flow):
            places.drop(place, leg)

    def _places(self, flow: MediaFlow) -> Iterator[tuple[Places, Place]]:
        to = _place(flow.address, flow.port) if flow.address else None
        source = _place(flow.source_address, flow.source_port) if flow.source_address else None
        if to:
            yield self.to, to
        if source:
            yield self.source, source
        if to and source:
            yield self.way, way_of(source, to)


class Flows:
    """The legs that a tap overhears; a batch of datagrams becomes one of their packets."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._table = _Table()
        self._flows: dict[int, MediaFlow] = {}  # by leg
        self._alike: dict[MediaFlow, list[int]] = {}  # the legs of each flow, the newest last
        # Of these, since `early` was last asked; and from when on packets are theirs.
        self._new: dict[int, tuple[MediaFlow, int]] = {}
        self._ends: dict[int, int] = {}  # by leg whose call has ended: until when packets are its, ns
        self._heard = np.full(64, NEVER, np.int64)  # by leg: when a packet last came where it should go
        self._ssrc = np.zeros(64, np.int64)  # by leg: of its last packet
        # By leg whose way another one has as well, since it was heard on it: the SSRC that is still its own. A new SSRC
        # is the newer call's, where the end of the older one was missed.
        self._only: dict[int, int] = {}
        self._echoes = Echoes()
        self._early: deque[_Early] = deque()
        self._early_bytes = 0
        self._now = 0  # of the last batch
        self.unsignalled = Unsignalled(self._limits.lasts_ns, self._limits.one_way)
        self.dropped_early = 0  # packets that waited and found no room

    def set(self, leg: int, flow: MediaFlow, agreed_ns: int | None = None, began_ns: int = NEVER) -> None:
        """A leg takes the packets of this flow from now on, and of no other; the flow was agreed on at a time, or just now.

        Of what waits none is the leg's from before its call began: that is of whoever had the place then.
        """
        if self._flows.get(leg) == flow:
            return
        self.release(leg)
        for other in [each for each in self._ends if _same_place(self._flows[each], flow)]:
            self.release(other)
        if leg >= len(self._heard):
            self._heard = np.append(self._heard, np.full(leg + 1, NEVER, np.int64))
            self._ssrc = np.append(self._ssrc, np.zeros(leg + 1, np.int64))
        self._heard[leg] = NEVER
        self._echoes.begin(leg)
        for other in self._alike.setdefault(flow, []):
            if self._heard[other] > NEVER:
                self._only.setdefault(other, int(self._ssrc[other]))
        self._alike[flow].append(leg)
        self._flows[leg] = flow
        agreed_ns = self._now if agreed_ns is None else agreed_ns
        self._new[leg] = flow, max(began_ns, agreed_ns - self._limits.early_ns)
        self._table.add(leg, flow)

    def ending(self, leg: int, at_ns: int) -> None:
        """The call of a leg ended: telephones use a port again for the next call."""
        if leg in self._flows:
            self._ends[leg] = at_ns + TRAILING_NS

    def release(self, leg: int) -> None:
        """A leg is over."""
        self._new.pop(leg, None)
        self._ends.pop(leg, None)
        self._only.pop(leg, None)
        if flow := self._flows.pop(leg, None):
            self._table.drop(leg, flow)
            self._alike[flow].remove(leg)
            if not self._alike[flow]:
                del self._alike[flow]

    def early(self) -> list[PacketBatch]:
        """What came before its leg was there, of the legs set since this was last asked; the oldest first."""
        if not self._new:
            return []
        table, since = _Table(), np.full(len(self._heard), NEVER, np.int64)
        for leg, (flow, first_ns) in self._new.items():
            table.add(leg, flow)
            since[leg] = first_ns
        first_ns = min(first_ns for _, first_ns in self._new.values())
        self._new.clear()
        found = []
        for early in self._early:
            batch = early.batch
            if batch.arrivals[-1] < first_ns:
                continue
            rows, legs = self._legs(table, early.to, early.source, batch.arrivals)
            own = batch.arrivals[rows] >= since[legs]
            rows, legs = rows[own], legs[own]
            if len(rows):
                packets = PacketBatch(batch.slots[rows], batch.sizes[rows], legs, batch.arrivals[rows])
                found.append(self._echoes.without(packets))
        return found

    def take(self, datagrams: Datagrams, now: int) -> PacketBatch | None:
        """The packets of the legs there are; what looks like RTP of others waits. `now` in ns."""
        self._forget(now)
        if not len(datagrams):
            return None
        first_ns = int(datagrams.arrivals[0])
        for leg in [leg for leg, ends_ns in self._ends.items() if ends_ns <= first_ns]:
            self.release(leg)
        udp = datagrams.protocols == UDP
        if not udp.all():
            datagrams = datagrams.take(udp)
        to = spots(datagrams.destinations, datagrams.destination_ports)
        source = spots(datagrams.sources, datagrams.source_ports)
        rows, legs = self._legs(self._table, to, source, datagrams.arrivals)
        taken = np.zeros(len(datagrams), np.bool_)
        taken[rows] = True
        if not taken.all():
            self._keep(datagrams, to, source, ~taken)
        return self._echoes.without(self._own(_packets(datagrams, rows, legs))) if len(rows) else None

    def _own(self, batch: PacketBatch) -> PacketBatch:
        """Without what is the audio of a newer call than its leg's."""
        ssrc = np.ascontiguousarray(batch.slots[:, 8:12]).view(">u4")[:, 0].astype(np.int64)
        rtp = looks_like_rtp(batch.slots)
        strange = np.zeros(len(batch), np.bool_)
        for leg, own in self._only.items():
            strange |= rtp & (batch.legs == leg) & (ssrc != own)
        told = rtp & ~strange
        self._ssrc[batch.legs[told]] = ssrc[told]
        if not strange.any():
            return batch
        kept = ~strange
        return PacketBatch(batch.slots[kept], batch.sizes[kept], batch.legs[kept], batch.arrivals[kept])

    def _legs(self, table: _Table, to: Spot, source: Spot, arrivals: Ints) -> tuple[Ints, Ints]:
        """Rows and the legs they are of; the rows of a leg together, in their order.

        Of legs whose packets go to one place those are meant whose speaker sends from where a packet comes, if one does:
        nobody's audio is to be in another's recording because both call one telephone that has one port for all.
        """
        rows, legs = table.way.find(ways(source, to)) if table.way else NOBODY
        others = _without(len(to), rows)
        if len(others):
            found, there = table.to.find(to.take(others))
            rows, legs = np.concatenate((rows, others[found])), np.concatenate((legs, there))
        self._heard[legs] = np.maximum(self._heard[legs], arrivals[rows])
        others = _without(len(to), rows)
        if table.source and len(others):
            found, there = table.source.find(source.take(others))
            astray = arrivals[others[found]] - self._heard[there] > HEARD_NS
            rows = np.concatenate((rows, others[found[astray]]))
            legs = np.concatenate((legs, there[astray]))
        order = np.lexsort((rows, legs))
        return rows[order], legs[order]

    def _keep(self, datagrams: Datagrams, to: Spot, source: Spot, which: Bools) -> None:
        """Let what looks like RTP wait for the call that it may belong to."""
        which = which & (datagrams.sizes > HEADER.itemsize) & (datagrams.sizes <= SLOT_BYTES)
        for small in (True, False):
            rows = np.flatnonzero(which & ((datagrams.sizes <= SMALL_BYTES) == small))
            if not len(rows):
                continue
            batch = _packets(datagrams, rows, np.full(len(rows), -1, np.int64))
            rtp = looks_like_rtp(batch.slots)
            if not rtp.any():
                continue
            rows = rows[rtp]
            batch = PacketBatch(batch.slots[rtp], batch.sizes[rtp], batch.legs[rtp], batch.arrivals[rtp])
            early = _Early(batch, to.take(rows), source.take(rows))
            self.unsignalled.seen(batch, early.to, early.source)
            self._early.append(early)
            self._early_bytes += early.bytes
        while self._early_bytes > self._limits.early_bytes:
            gone = self._early.popleft()
            self._early_bytes -= gone.bytes
            lost = gone.batch.arrivals >= self._now - self._limits.early_ns
            self.dropped_early += int(np.count_nonzero(lost))

    def _forget(self, now: int) -> None:
        """Let go of what has waited long enough."""
        self._now = now
        while self._early and self._early[0].batch.arrivals[-1] < now - self._limits.early_ns - BEHIND_NS:
            self._early_bytes -= self._early.popleft().bytes
        self.unsignalled.forget(now)


def _without(count: int, rows: Ints) -> Ints:
    """The other rows of so many."""
    left = np.ones(count, np.bool_)
    left[rows] = False
    return np.flatnonzero(left)


def looks_like_rtp(slots: Octets) -> Bools:
    """RFC 3550 section 5.1: version 2, and no RTCP (RFC 5761 section 4)."""
    second = slots[:, 1]
    found: Bools = (slots[:, 0] & VERSION == 0x80) & ((second < RTCP_FIRST) | (second > RTCP_LAST))
    return found


def _same_place(one: MediaFlow, other: MediaFlow) -> bool:
    return bool(one.address) and (one.address, one.port) == (other.address, other.port)


def _place(address: str, port: int) -> Place:
    parsed = ip_address(address)
    mapped = IPv6Address(0xFFFF_0000_0000 + int(parsed)) if isinstance(parsed, IPv4Address) else parsed
    return mapped.packed, port


def _packets(datagrams: Datagrams, rows: Ints, legs: Ints) -> PacketBatch:
    """These rows' payloads, each from octet 0 of a slot."""
    sizes, offsets = datagrams.sizes[rows], datagrams.offsets[rows]
    width = min(max(int(sizes.max()), HEADER.itemsize), SLOT_BYTES)
    octets = datagrams.octets
    if len(octets) < int(offsets.max()) + width:
        octets = np.append(octets, np.zeros(width, np.uint8))
    windows = np.ndarray((len(octets) - width + 1,), f"V{width}", octets, strides=(1,))
    slots = windows[offsets].view(np.uint8).reshape(len(rows), width)
    return PacketBatch(slots, np.where(sizes > width, 0, sizes), legs, datagrams.arrivals[rows])
