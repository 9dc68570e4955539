"""Sequencing: which stream a leg listens to, and each packet's place in it (RFC 3550 appendix A.1).

A packet's place is its slot, the extended sequence number counted from where the leg's first stream
began. A stream becomes the leg's stream once two of its packets with near sequence numbers have come
and the one before it has fallen silent, so that stray datagrams never take a leg over. All steps work
on a whole batch; only a leg whose stream starts, changes or outgrows its ring is looked at by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import Codec
from gateway.redaction.holdback import WIDTHS, Rings, Shape
from gateway.redaction.homes import Due, Homes
from gateway.rtp.formats import AUDIO, EVENT, UNKNOWN, Formats
from gateway.rtp.opening import Openers
from gateway.rtp.packets import Bools, Ints, Octets, PacketBatch, RtpColumns, by_value, first_of_each, parse
from gateway.rtp.probation import Probation
from gateway.rtp.redundancy import Redundancy
from gateway.rtp.steady import Steady
from gateway.rtp.strays import Strays, signed16, signed32
from gateway.rtp.suites import MasterKey
from gateway.rtp.tones import Events, Tone

MAX_DROPOUT = 3000  # RFC 3550 appendix A.1: a longer jump forward is a restart
RESTART_SLOTS = 64  # left free before a stream that starts, for its packets that come out of order
VARYING_OCTETS = 8  # a millisecond, as of G.711: more than speech in a codec whose packets vary in size
MAX_CELLS = 4096  # ring size at which a leg's packets are refused: 40 s of 10 ms packets
SHARE = (
    12  # part of a ring that nearly always holds all that is due: what comes in a slice, and a little more
)
FAR = 1 << 32  # RTP time a stream may cover; what a sender that leaps on could reach overflows in ns
NO_STREAM = -1


@dataclass(frozen=True, slots=True)
class Restart:
    """From this slot on a leg carries another stream: its time and its losses are counted anew."""

    slot: int


class LegTable:
    """The legs of all calls of a worker, in columns; a leg is a row number from `open` to `close`."""

    def __init__(self, capacity: int, span_ns: int) -> None:
        self.capacity = capacity
        self._span_ns = span_ns
        self._homes = Homes(capacity)
        self._free = list(reversed(range(capacity)))
        self._restarts: dict[int, list[Restart]] = {}  # of legs that are open
        self.ssrc = np.full(capacity, NO_STREAM, np.int64)
        self.highest = np.full(capacity, -1, np.int64)  # slot
        self.committed, self.last_arrival = _columns(capacity, 2)  # the next slot to commit; ns
        self.began = np.zeros(capacity, np.int64)  # ns, arrival of the first packet
        # As in a LegReport: packets lost and so on, and how much audio was committed (call units).
        self.counts = np.zeros((capacity, 5), np.int64)
        self.packets, self.lost, self.late, self.duplicated, self.units = self.counts.T
        self.first, self._base_slot = _columns(capacity, 2)  # of the stream: first committed, least possible
        self._sequence, self._timestamp, self._media = _columns(capacity, 3)  # of `highest`
        self._formats = Formats(capacity)
        self._kinds = self._formats.kinds
        self._redundancy = Redundancy(capacity)
        self._openers = Openers(capacity)
        self.unreadable = self._openers.unreadable
        # Packets that were committed and are none of their codec, since this was last taken.
        self.senseless = 0
        self._events = Events()
        self._probation = Probation(self._formats)
        self.steady = Steady(capacity)

    def secure(self, leg: int, keys: Sequence[MasterKey]) -> None:
        """The leg carries SRTP under these keys from now on; without any, RTP, and what is under way as it was."""
        self._openers.secure(leg, keys)

    def open(
        self,
        codecs: Mapping[int, Codec],
        events: frozenset[int],
        noise: frozenset[int] = frozenset(),
        redundant: frozenset[int] = frozenset(),
        *,
        aside: bool = False,
    ) -> int:
        """Claim a leg; `codecs` by payload type. Raises IndexError when all are taken.

        With `aside` keys count that come under another SSRC than the audio: where nobody could send the leg anything.
        """
        leg = self._free.pop()
        self.ssrc[leg], self.highest[leg], self.committed[leg] = NO_STREAM, -1, 0
        for column in (self.counts, self.last_arrival, self.first, self._base_slot, self.unreadable):
            column[leg] = 0
        self.steady.clear(leg)
        self._restarts[leg] = []
        self._probation.open(leg, aside)
        self._formats.clear(leg)
        self._redundancy.clear(leg)
        self.formats(leg, codecs, events, noise, redundant)
        return leg

    def formats(
        self,
        leg: int,
        codecs: Mapping[int, Codec],
        events: frozenset[int],
        noise: frozenset[int] = frozenset(),
        redundant: frozenset[int] = frozenset(),
    ) -> None:
        """What payload types mean from now on; codecs keep their numbers for as long as the leg is open.

        Types that are not named any more mean what they did: such packets may be under way (RFC 3264 section 8.3.2).
        """
        self._formats.add(leg, codecs, events, noise)
        self._redundancy.add(leg, redundant)

    def codec(self, leg: int, kind: int) -> Codec:
        return self._formats.codec(leg, kind)

    def close(self, leg: int) -> int:
        """Give a leg back, wiped; returns how many packets of other streams it still kept."""
        self._homes.release(leg)
        self.ssrc[leg] = NO_STREAM
        self._openers.release(leg)
        self._events.close(leg)
        del self._restarts[leg]
        self._free.append(leg)
        return self._probation.close(leg)

    def wipe(self, leg: int) -> None:
        """Forget what a leg's packets carried; that they came stays counted."""
        self._homes.wipe(leg)

    def ring(self, leg: int) -> Rings:
        return self._homes.rings(leg)

    def restarts(self, leg: int) -> list[Restart]:
        """Where streams began that are not wholly committed, in order; the caller removes what it passed."""
        return self._restarts[leg]

    def waiting(self, leg: int) -> tuple[Ints, Ints]:
        """Slots not yet committed that hold a packet, and their cells in the leg's rings."""
        return self._held(leg, np.arange(self.committed[leg], self.highest[leg] + 1))

    def due(self, legs: Ints, first: Ints, arrived_by: int) -> Iterator[Due]:
        """What of many legs has waited since `arrived_by` (ns): of each all from its slot `first` on, up to the last
        packet that had arrived by then. One Due, or some, a ring shape.

        Whoever goes on from `passed` with slots of its own misses what comes out of order by more than it waits.
        """
        straight = self.steady.straight[legs]
        return self._homes.due(legs, first, self.highest[legs], straight, arrived_by)

    def between(self, leg: int, first: int, stop: int) -> tuple[Ints, Ints]:
        """The slots from `first` up to `stop` whose packets are held, committed or not, and their cells."""
        count = int(self._homes.cells[leg])
        return self._held(leg, np.arange(max(first, stop - count, 0), max(stop, 0)))

    def has_events(self, legs: Ints) -> Bools:
        """Which legs may carry telephone-events."""
        return self._formats.has_events(legs)

    def arrived(self, leg: int, slot: int) -> int | None:
        """When a packet came (ns), while it is held."""
        _, cells = self._held(leg, np.array([slot]))
        return int(self.ring(leg).arrival[cells[0]]) if len(cells) else None

    def _held(self, leg: int, slots: Ints) -> tuple[Ints, Ints]:
        """Those of some slots that hold a packet, and their cells."""
        if not len(slots) or not self._homes.cells[leg]:
            return slots[:0], slots[:0]
        cells = self._homes.place(leg, slots)
        held = self.ring(leg).holds(cells, slots)
        return slots[held], cells[held]

    def receive(self, batch: PacketBatch) -> tuple[list[Tone], Counter[str]]:
        """Put a batch's packets in their places; returns tones seen and datagrams refused, by kind."""
        refused: Counter[str] = Counter()
        self._openers.open(batch, refused)
        packets, faults = parse(batch)
        packets, repeated = self._redundancy.unpack(packets, batch.slots, faults)
        if len(packets) and packets.size.max() > WIDTHS[-1]:
            faults["length"] += int(np.count_nonzero(packets.size > WIDTHS[-1]))
            packets = packets.take(packets.size <= WIDTHS[-1])
        faults += refused
        legs = packets.legs
        step = signed16(packets.sequence - self._sequence[legs])
        current = packets.ssrc == self.ssrc[legs]
        current &= (step < MAX_DROPOUT) & (step > -self._homes.cells[legs])
        current &= self.highest[legs] + step >= self._base_slot[legs]
        tones = self._hear_again(repeated, batch.slots) if repeated is not None else []
        tones += self._put(packets.where(current), batch.slots, faults)
        if repeated is not None:
            tones.sort(
                key=lambda tone: tone.start
            )  # a key of which only a later packet told is the older one
        if not current.all():
            strange = packets.take(~current)
            for leg in np.unique(strange.legs).tolist():
                tones += self._consider(leg, strange.take(strange.legs == leg), batch.slots, faults)
        return tones, +faults

    def _hear_again(self, repeated: RtpColumns, slots: Octets) -> list[Tone]:
        """The keys that later packets of their legs' streams tell of: their own may all be lost."""
        legs = repeated.legs
        events = self._kinds[legs, repeated.payload_type] == EVENT
        told = repeated.take(events & (repeated.ssrc == self.ssrc[legs]))
        legs = told.legs
        slot = self.highest[legs] + signed16(told.sequence - self._sequence[legs])
        media = self._media[legs] + signed32(told.timestamp - self._timestamp[legs])
        return self._events.tones(told, slots, slot, media, np.arange(len(told)))

    def _consider(self, leg: int, packets: RtpColumns, slots: Octets, faults: Counter[str]) -> list[Tone]:
        """Packets that are not of the leg's stream: keep them until their stream may be the leg's."""
        known = self._kinds[leg, packets.payload_type] != UNKNOWN
        known &= leg in self._restarts
        faults["stray"] += int(np.count_nonzero(~known))
        if not known.any():
            return []
        self._probation.add(leg, Strays(packets, slots).take(known))
        tones: list[Tone] = []
        while stream := self._probation.next_stream(leg, self._last_heard(leg)):
            self._start(leg, stream.packets, stream.slots)
            tones += self._put(stream.packets, stream.slots, faults)
        if self.ssrc[leg] != NO_STREAM:
            stands = (self.ssrc, self.highest, self._media, self.last_arrival)
            tones += self._probation.keys(leg, *(int(column[leg]) for column in stands))
        faults["stray"] += self._probation.bound(leg)
        return tones

    def _last_heard(self, leg: int) -> int | None:
        """When the leg's stream was heard last (ns), if it has one."""
        return int(self.last_arrival[leg]) if self.ssrc[leg] != NO_STREAM else None

    def _start(self, leg: int, packets: RtpColumns, slots: Octets) -> None:
        """Make the stream of these packets the leg's own, behind all that came before."""
        first = int(np.argmin(signed16(packets.sequence - packets.sequence[-1])))
        start = int(self.highest[leg]) + 1
        if not start:
            self.began[leg] = packets.arrivals.min()
        self._restarts[leg].append(Restart(start))
        self.steady.unsettle(leg)
        self._events.restart(leg)
        self._base_slot[leg], self.highest[leg] = start, start + RESTART_SLOTS
        self.ssrc[leg] = packets.ssrc[first]
        self._sequence[leg], self._timestamp[leg] = packets.sequence[first], packets.timestamp[first]
        self._media[leg] = 0
        if not self._homes.cells[leg]:
            kinds = self._kinds[leg, packets.payload_type]
            audio = packets.take(kinds >= AUDIO)
            codec = self.codec(leg, int(kinds[kinds >= AUDIO][0]))
            row, offset = int(audio.rows[0]), int(audio.offset[0])
            heads = slots[row : row + 1, offset : offset + codec.heads]
            ticks = int(codec.durations(audio.size[:1], heads)[0])
            packet_ns = max(ticks, 1) * 1_000_000_000 // codec.clock_rate
            size = int(audio.size.max())
            if (
                not codec.frames
            ):  # sizes vary, and a stream may begin with its least: a ring outgrown is memory taken twice
                size = max(size, VARYING_OCTETS * packet_ns // 1_000_000)
            self._homes.claim(leg, Shape.fitting(size, packet_ns, self._span_ns))

    def _put(self, packets: RtpColumns, slots: Octets, faults: Counter[str]) -> list[Tone]:
        """Packets of their legs' streams into their cells."""
        if not len(packets):
            return []
        legs = packets.legs
        slot = self.highest[legs] + signed16(packets.sequence - self._sequence[legs])
        media = self._media[legs] + signed32(packets.timestamp - self._timestamp[legs])
        self._make_room(packets, slot)
        fits = slot < self.committed[legs] + self._homes.cells[legs]
        if not fits.all():
            faults["overrun"] += int(np.count_nonzero(~fits))
            packets, slot, media = packets.take(fits), slot[fits], media[fits]
            legs = packets.legs
            if not len(legs):
                return []
        kinds = self._kinds[legs, packets.payload_type]
        faults["unknown_payload"] += int(np.count_nonzero(kinds == UNKNOWN))
        again = self._put_shapes(packets, slots, slot, media, kinds)
        self.steady.see(legs, slot, packets.arrivals, media, kinds >= AUDIO, self.highest)
        self._advance(packets, slot, media)
        if not (told := kinds == EVENT).any():
            return []
        return self._events.tones(packets, slots, slot, media, np.flatnonzero(told & ~again))

    def _put_shapes(
        self, packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, kinds: Octets
    ) -> Bools:
        """Packets into the rings of their shapes; which of them had come before?"""
        legs = packets.legs
        again = np.zeros(len(legs), np.bool_)
        strange = self.steady.astray(
            legs, slot, packets.arrivals, self.highest[legs], self.last_arrival[legs]
        )
        orderly = not strange.any()
        if not orderly:
            which = np.zeros(self.capacity, np.bool_)
            which[legs[strange]] = True
            for leg in np.flatnonzero(which).tolist():
                self.steady.disorder(leg, max(int(self.highest[leg]), int(slot[legs == leg].max())))
            strange = which[legs]
        for rings, mine in self._homes.by_shape(legs):
            for out_of_order in (False,) if orderly else (False, True):
                these = mine & (strange == out_of_order)
                some, place, at, kind = packets, slot, media, kinds
                if not these.all():
                    some, place, at, kind = packets.take(these), slot[these], media[these], kinds[these]
                if out_of_order and len(some):
                    again[these] = self._put_shape(rings, some, slots, place, at, kind)
                elif len(some):
                    cells = self._homes.place(some.legs, place)
                    self._store(rings, some, slots, place, at, kind, cells)
        return again

    def _put_shape(
        self, rings: Rings, packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, kinds: Octets
    ) -> Bools:
        """Packets into rings of one shape; which of them had come before?"""
        legs = packets.legs
        cells = self._homes.place(legs, slot)
        again = rings.holds(cells, slot)
        late = ~again & (slot < self.committed[legs])
        new = np.flatnonzero(~(again | late))
        # Of several packets for one cell in this batch the last one written, which came first, names itself here.
        rings.arrival[cells[new[::-1]]] = new[::-1]
        twice = rings.arrival[cells[new]] != new
        again[new[twice]] = True
        new = new[~twice]
        if late.any():
            again |= self._take_late(rings, legs, slot, cells, late)
        self._store(rings, packets.take(new), slots, slot[new], media[new], kinds[new], cells[new])
        np.add.at(self.duplicated, legs[again], 1)
        return again

    def _store(
        self,
        rings: Rings,
        packets: RtpColumns,
        slots: Octets,
        slot: Ints,
        media: Ints,
        kinds: Octets,
        cells: Ints,
    ) -> None:
        """Packets that are new into cells that are theirs alone."""
        if not len(packets):
            return
        rings.slot[cells] = slot + 1
        rings.media[cells] = media
        rings.arrival[cells] = packets.arrivals
        rings.size[cells] = packets.size
        rings.kind[cells] = kinds
        audio = kinds >= AUDIO
        heard = packets.where(audio)
        cells = cells if audio.all() else cells[audio]
        for offset, these in by_value(heard.offset):
            rings.store(cells[these], slots, heard.rows[these], offset, int(heard.size[these].max()))
        starts = first_of_each(packets.legs)
        np.add.at(self.packets, packets.legs[starts], np.diff(starts, append=len(packets)))

    def _take_late(self, rings: Rings, legs: Ints, slot: Ints, cells: Ints, late: Bools) -> Bools:
        """Count packets whose place was committed and remember that they came; which of them came twice?"""
        where = np.flatnonzero(late)
        once = where[np.unique(cells[where], return_index=True)[1]]
        twice = late.copy()
        twice[once] = False
        rings.slot[cells[once]] = slot[once] + 1
        rings.kind[cells[once]] = UNKNOWN
        np.add.at(self.late, legs[once], 1)
        known_lost = once[slot[once] >= self.first[legs[once]]]  # counted when their place was committed
        np.add.at(self.lost, legs[known_lost], -1)
        return twice

    def _make_room(self, packets: RtpColumns, slot: Ints) -> None:
        """Let rings hold what is about to come; looks closer only at legs that would overflow."""
        legs = packets.legs
        over = (slot >= self.committed[legs] + self._homes.cells[legs]) | (
            packets.size > self._homes.width[legs]
        )
        if not over.any():
            return
        for leg in np.unique(legs[over]).tolist():
            of_leg = legs == leg
            lowest, highest = int(slot[of_leg].min()), int(slot[of_leg].max())
            if highest >= self.committed[leg] + self._homes.cells[leg]:
                self._pass_unused(leg, lowest)
            if self.committed[leg] > self.highest[leg]:  # nothing waits: what was missed is known to be lost
                passed = max(0, lowest - RESTART_SLOTS - int(self.committed[leg]))
                self.committed[leg] += passed
                self.lost[leg] += passed
            need = highest + 1 - int(self.committed[leg])
            shape = self.ring(leg).shape
            cells = shape.cells
            while cells < min(need, MAX_CELLS):
                cells = min(2 * cells, MAX_CELLS)
            wide = Shape.fitting(int(packets.size[of_leg].max()), 1, 0).width
            grown = Shape(cells, max(shape.width, wide))
            if grown != shape:
                self._homes.grow(leg, grown)

    def _pass_unused(self, leg: int, slot: int) -> None:
        """Of a stream of which nothing is committed yet, keep no place before its first packet, which is in this slot or waits:
        what would come there is later than a ring's span.
        """
        if self.committed[leg] == self._base_slot[leg]:
            first = min([slot, *self.waiting(leg)[0][:1].tolist()])
            self.committed[leg] = self.first[leg] = first

    def _advance(self, packets: RtpColumns, slot: Ints, media: Ints) -> None:
        """Remember each leg's highest packet, from which the next ones are counted."""
        legs = packets.legs
        if not len(legs):
            return
        starts = first_of_each(legs)
        last = np.append(starts[1:], len(legs)) - 1
        which = legs[starts]
        top = np.maximum.reduceat(slot, starts)
        if not (slot[last] == top).all():  # somewhere the highest packet did not come last
            order, width = np.arange(len(legs)), len(legs).bit_length()
            last = np.maximum.reduceat(slot << width | order, starts) & (1 << width) - 1
        self.last_arrival[which] = np.maximum(
            self.last_arrival[which], np.maximum.reduceat(packets.arrivals, starts)
        )
        ahead = last[top > self.highest[which]]
        which = legs[ahead]
        self.highest[which] = slot[ahead]
        self._sequence[which] = packets.sequence[ahead]
        self._timestamp[which] = packets.timestamp[ahead]
        self._media[which] = media[ahead]
        self.ssrc[which[np.abs(media[ahead]) > FAR]] = NO_STREAM  # begun anew with its next packets


def _columns(capacity: int, count: int) -> Iterator[Ints]:
    return (np.zeros(capacity, np.int64) for _ in range(count))
