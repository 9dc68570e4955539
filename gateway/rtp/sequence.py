"""Sequencing: which stream a leg listens to, and each packet's place in it (RFC 3550 appendix A.1).

A packet's place is its slot, the extended sequence number counted from where the leg's first stream
began. A stream becomes the leg's stream once two of its packets with near sequence numbers have come,
so that a stray datagram never takes a leg over. All steps work on a whole batch; only a leg whose
stream starts, changes or outgrows its ring is looked at by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from gateway.codecs.codec import Codec
from gateway.redaction.holdback import Rings, Shape
from gateway.rtp.packets import Bools, Ints, Octets, PacketBatch, RtpColumns, parse

# What a payload type means on a leg. Codecs are numbered from AUDIO on.
UNKNOWN, SILENT, EVENT, AUDIO = 0, 1, 2, 3
COMFORT_NOISE = (13, 19)  # RFC 3551's static payload type, and the one that its drafts had
MAX_DROPOUT = 3000  # RFC 3550 appendix A.1: a longer jump forward is a restart
NEAR = 64  # sequence numbers this close belong to one stream
RESTART_SLOTS = 64  # left free before a stream that starts, for its packets that come out of order
MAX_CELLS = 4096  # ring size at which a leg's packets are refused: 40 s of 10 ms packets
NO_STREAM = -1


@dataclass(frozen=True, slots=True)
class Tone:
    """A telephone-event (RFC 4733) as far as it has come, in RTP time. Which key it was is not kept."""

    leg: int
    slot: int  # of the packet that told of it
    start: int
    ticks: int  # it lasts, as yet; of the clock of its payload type
    payload_type: int


@dataclass(frozen=True, slots=True)
class Restart:
    """From this slot on a leg carries another stream: its time and its losses are counted anew."""

    slot: int


@dataclass(slots=True)
class _Stray:
    """The last packet of a stream that is not (yet) the leg's."""

    packets: RtpColumns  # one row
    slots: Octets  # its datagram, one row


@dataclass(slots=True)
class _Formats:
    codecs: tuple[Codec, ...] = ()
    restarts: list[Restart] = field(default_factory=list)
    stray: _Stray | None = None


class LegTable:
    """The legs of all calls of a worker, in columns; a leg is a row number from `open` to `close`."""

    def __init__(self, capacity: int, span_ns: int) -> None:
        self.capacity = capacity
        self._span_ns = span_ns
        self._rings: dict[Shape, Rings] = {}
        self._shapes: list[Shape] = []
        self._free = list(reversed(range(capacity)))
        self._about: dict[int, _Formats] = {}
        self.ssrc = np.full(capacity, NO_STREAM, np.int64)
        self.highest = np.full(capacity, -1, np.int64)  # slot
        self.committed, self.last_arrival = _columns(capacity, 2)  # the next slot to commit; ns
        self.packets, self.lost, self.late, self.duplicated = _columns(capacity, 4)
        self._sequence, self._timestamp, self._media = _columns(capacity, 3)  # of `highest`
        self._shape, self._base, self._cells, self._width = _columns(capacity, 4)
        self._kinds = np.zeros((capacity, 128), np.uint8)

    def open(
        self, codecs: Mapping[int, Codec], events: frozenset[int], noise: frozenset[int] = frozenset()
    ) -> int:
        """Claim a leg; `codecs` by payload type. Raises IndexError when all are taken."""
        leg = self._free.pop()
        self.ssrc[leg], self.highest[leg], self.committed[leg] = NO_STREAM, -1, 0
        self._cells[leg] = self._width[leg] = 0
        for column in (self.packets, self.lost, self.late, self.duplicated, self.last_arrival):
            column[leg] = 0
        self._about[leg] = _Formats()
        self.formats(leg, codecs, events, noise)
        return leg

    def formats(
        self, leg: int, codecs: Mapping[int, Codec], events: frozenset[int], noise: frozenset[int]
    ) -> None:
        """What payload types mean from now on; codecs keep their numbers for as long as the leg is open."""
        about = self._about[leg]
        known = dict.fromkeys((*about.codecs, *codecs.values()))
        about.codecs = tuple(known)
        self._kinds[leg] = UNKNOWN
        self._kinds[leg, [*COMFORT_NOISE, *noise]] = SILENT
        self._kinds[leg, list(events)] = EVENT
        for payload_type, codec in codecs.items():
            self._kinds[leg, payload_type] = AUDIO + about.codecs.index(codec)

    def codec(self, leg: int, kind: int) -> Codec:
        return self._about[leg].codecs[kind - AUDIO]

    def close(self, leg: int) -> None:
        if self._cells[leg]:
            self.ring(leg).release(int(self._base[leg]))
        self._cells[leg] = 0
        self.ssrc[leg] = NO_STREAM
        del self._about[leg]
        self._free.append(leg)

    def ring(self, leg: int) -> Rings:
        return self._rings[self._shapes[self._shape[leg]]]

    def restarts(self, leg: int) -> list[Restart]:
        """Where streams began that are not wholly committed, in order; the caller removes what it passed."""
        return self._about[leg].restarts

    def waiting(self, leg: int) -> tuple[Ints, Ints]:
        """Slots not yet committed that hold a packet, and their cells in the leg's rings."""
        slots = np.arange(self.committed[leg], self.highest[leg] + 1)
        if not len(slots) or not self._cells[leg]:
            return slots[:0], slots[:0]
        cells = self._base[leg] + slots % self._cells[leg]
        held = self.ring(leg).holds(cells, slots)
        return slots[held], cells[held]

    def receive(self, batch: PacketBatch) -> tuple[list[Tone], Counter[str]]:
        """Put a batch's packets in their places; returns tones seen and datagrams refused, by kind."""
        packets, faults = parse(batch)
        step = _signed16(packets.sequence - self._sequence[packets.legs])
        current = (
            (packets.ssrc == self.ssrc[packets.legs])
            & (step < MAX_DROPOUT)
            & (step > -self._cells[packets.legs])
        )
        tones = self._put(packets.take(current), batch.slots, faults)
        if not current.all():
            strange = packets.take(~current)
            for leg in np.unique(strange.legs).tolist():
                tones += self._consider(leg, strange.take(strange.legs == leg), batch.slots, faults)
        return tones, +faults

    def _consider(self, leg: int, packets: RtpColumns, slots: Octets, faults: Counter[str]) -> list[Tone]:
        """Packets that are not of the leg's stream: take the stream over once two belong together."""
        about = self._about.get(leg)
        kinds = self._kinds[leg, packets.payload_type]
        if about is None or not (kinds >= AUDIO).any():
            faults["stray"] += len(packets)
            return []
        stray, last = about.stray, packets.take(np.array([len(packets) - 1]))
        ssrc, sequence = int(last.ssrc[0]), int(last.sequence[0])
        related = (packets.ssrc == ssrc) & (np.abs(_signed16(packets.sequence - sequence)) <= NEAR)
        recalled = stray is not None and _related(stray.packets, ssrc, sequence)
        if not recalled and np.count_nonzero(related) < 2:
            faults["stray"] += len(packets)
            about.stray = _Stray(_at_row(last, 0), slots[last.rows].copy())
            return []
        faults["stray"] += int(np.count_nonzero(~related))
        packets = packets.take(related)
        first = stray.packets if recalled and stray is not None else packets
        self._start(leg, first, packets, slots)
        about.stray = None
        tones: list[Tone] = []
        if recalled and stray is not None:
            faults["stray"] -= 1
            tones = self._put(stray.packets, stray.slots, faults)
        return tones + self._put(packets, slots, faults)

    def _start(self, leg: int, first: RtpColumns, packets: RtpColumns, slots: Octets) -> None:
        """Make the stream of `first[0]` the leg's own, behind all that came before."""
        slot = int(self.highest[leg]) + 1 + RESTART_SLOTS
        self._about[leg].restarts.append(Restart(slot - RESTART_SLOTS))
        self.ssrc[leg], self.highest[leg] = first.ssrc[0], slot
        self._sequence[leg], self._timestamp[leg] = first.sequence[0], first.timestamp[0]
        self._media[leg] = 0
        if not self._cells[leg]:
            kinds = self._kinds[leg, packets.payload_type]
            audio = packets.take(kinds >= AUDIO)
            codec = self.codec(leg, int(kinds[kinds >= AUDIO][0]))
            row, offset = int(audio.rows[0]), int(audio.offset[0])
            heads = slots[row : row + 1, offset : offset + codec.heads]
            ticks = int(codec.durations(audio.size[:1], heads)[0])
            packet_ns = max(ticks, 1) * 1_000_000_000 // codec.clock_rate
            self._claim(leg, Shape.fitting(int(audio.size.max()), packet_ns, self._span_ns))

    def _claim(self, leg: int, shape: Shape) -> None:
        if shape not in self._rings:
            self._rings[shape] = Rings(shape, self.capacity)
            self._shapes.append(shape)
        self._base[leg] = self._rings[shape].claim()
        self._shape[leg] = self._shapes.index(shape)
        self._cells[leg], self._width[leg] = shape.cells, shape.width

    def _reshape(self, leg: int, shape: Shape) -> None:
        """Move a leg to a larger ring, with what waits in it."""
        rings, base = self.ring(leg), int(self._base[leg])
        slots = np.arange(max(0, self.highest[leg] + 1 - rings.shape.cells), self.highest[leg] + 1)
        self._claim(leg, shape)
        rings.move(base, self.ring(leg), int(self._base[leg]), slots)
        rings.release(base)

    def _put(self, packets: RtpColumns, slots: Octets, faults: Counter[str]) -> list[Tone]:
        """Packets of their legs' streams into their cells."""
        if not len(packets):
            return []
        legs = packets.legs
        slot = self.highest[legs] + _signed16(packets.sequence - self._sequence[legs])
        media = self._media[legs] + _signed32(packets.timestamp - self._timestamp[legs])
        self._make_room(packets, slot)
        fits = slot < self.committed[legs] + self._cells[legs]
        if not fits.all():
            faults["overrun"] += int(np.count_nonzero(~fits))
            packets, slot, media = packets.take(fits), slot[fits], media[fits]
            legs = packets.legs
        kinds = self._kinds[legs, packets.payload_type]
        faults["unknown_payload"] += int(np.count_nonzero(kinds == UNKNOWN))
        shapes = self._shape[legs]
        for number in np.unique(shapes).tolist():
            mine = shapes == number
            self._put_shape(
                self._rings[self._shapes[number]],
                packets.take(mine),
                slots,
                slot[mine],
                media[mine],
                kinds[mine],
            )
        self._advance(packets, slot, media)
        return _tones(packets, slots, slot, media, np.flatnonzero(kinds == EVENT))

    def _put_shape(
        self, rings: Rings, packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, kinds: Octets
    ) -> None:
        legs = packets.legs
        cells = self._base[legs] + slot % rings.shape.cells
        again = rings.holds(cells, slot)
        late = ~again & (slot < self.committed[legs])
        new = np.flatnonzero(~(again | late))
        # Of several packets for one cell in this batch the last one written names itself here.
        rings.arrival[cells[new]] = new
        twice = rings.arrival[cells[new]] != new
        again[new[twice]] = True
        new = new[~twice]
        cells = cells[new]
        rings.slot[cells] = slot[new] + 1
        rings.media[cells] = media[new]
        rings.arrival[cells] = packets.arrivals[new]
        rings.size[cells] = packets.size[new]
        rings.kind[cells] = kinds[new]
        rows, offsets = packets.rows[new], packets.offset[new]
        audio = kinds[new] >= AUDIO
        for offset in np.unique(offsets[audio]).tolist():
            these = audio & (offsets == offset)
            width = min(rings.shape.width, slots.shape[1] - offset)
            rings.payload[cells[these], :width] = slots[rows[these], offset : offset + width]
        np.add.at(self.packets, legs[new], 1)
        np.add.at(self.duplicated, legs[again], 1)
        np.add.at(self.late, legs[late], 1)
        np.add.at(self.lost, legs[late], -1)  # it was counted as lost when its place was committed

    def _make_room(self, packets: RtpColumns, slot: Ints) -> None:
        """Let rings hold what is about to come; looks closer only at legs that would overflow."""
        legs = packets.legs
        over = (slot >= self.committed[legs] + self._cells[legs]) | (packets.size > self._width[legs])
        if not over.any():
            return
        for leg in np.unique(legs[over]).tolist():
            of_leg = legs == leg
            lowest, highest = int(slot[of_leg].min()), int(slot[of_leg].max())
            if self.committed[leg] > self.highest[leg]:  # nothing waits: what was missed is known to be lost
                passed = max(0, lowest - RESTART_SLOTS - int(self.committed[leg]))
                self.committed[leg] += passed
                self.lost[leg] += passed
            need = highest + 1 - int(self.committed[leg])
            shape = self.ring(leg).shape
            cells = shape.cells
            while cells < min(need, MAX_CELLS):
                cells *= 2
            wide = Shape.fitting(int(packets.size[of_leg].max()), 1, 0).width
            grown = Shape(cells, max(shape.width, wide))
            if grown != shape:
                self._reshape(leg, grown)

    def _advance(self, packets: RtpColumns, slot: Ints, media: Ints) -> None:
        """Remember each leg's highest packet, from which the next ones are counted."""
        legs = packets.legs
        if not len(legs):
            return
        starts = np.flatnonzero(np.diff(legs, prepend=-1))
        order = np.arange(len(legs))
        width = len(legs).bit_length()
        top = np.maximum.reduceat(slot << width | order, starts) & (1 << width) - 1
        ahead = top[slot[top] > self.highest[legs[top]]]
        which = legs[ahead]
        self.highest[which] = slot[ahead]
        self._sequence[which] = packets.sequence[ahead]
        self._timestamp[which] = packets.timestamp[ahead]
        self._media[which] = media[ahead]
        np.maximum.at(self.last_arrival, legs, packets.arrivals)


def _tones(packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, which: Ints) -> list[Tone]:
    """The tones that telephone-event packets tell of (RFC 4733 section 2.3); few, so one by one."""
    tones = []
    for index in which.tolist():
        row, offset = int(packets.rows[index]), int(packets.offset[index])
        length = min(int(packets.size[index]) // 4 * 4, 32)
        payload = slots[row, offset : offset + length].tobytes()
        ticks = sum(int.from_bytes(payload[at + 2 : at + 4], "big") for at in range(0, length, 4))
        tones.append(
            Tone(
                leg=int(packets.legs[index]),
                slot=int(slot[index]),
                start=int(media[index]),
                ticks=max(ticks, 1),
                payload_type=int(packets.payload_type[index]),
            )
        )
    return tones


def _columns(capacity: int, count: int) -> Iterator[Ints]:
    return (np.zeros(capacity, np.int64) for _ in range(count))


def _related(packets: RtpColumns, ssrc: int, sequence: int) -> bool:
    step = _signed16(packets.sequence - sequence)
    near: Bools = (packets.ssrc == ssrc) & (np.abs(step) <= NEAR) & (step != 0)
    return bool(near.any())


def _at_row(packets: RtpColumns, row: int) -> RtpColumns:
    """One packet, pointed at a row of another array of datagrams."""
    return RtpColumns(
        np.array([row]), *(getattr(packets, name) for name in RtpColumns.__slots__ if name != "rows")
    )


def _signed16(steps: Ints) -> Ints:
    return (steps + 0x8000 & 0xFFFF) - 0x8000


def _signed32(steps: Ints) -> Ints:
    return (steps + 0x8000_0000 & 0xFFFF_FFFF) - 0x8000_0000
