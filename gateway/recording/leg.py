"""One leg between the hold-back and the container: packets that have waited become blocks."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNIT_NS, LegReport, Role
from gateway.recording.pieces import Pieces, block_starts, pacing
from gateway.recording.stretches import Stretch
from gateway.redaction.holdback import Rings
from gateway.redaction.timeline import Span, Timeline
from gateway.rtp.clock import LegClock
from gateway.rtp.formats import AUDIO
from gateway.rtp.packets import Bools, Ints, Octets, by_value
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import Tone

NS_PER_SECOND = 1_000_000_000
FOREVER = (1 << 62) - 1
FIRST = np.zeros(1, np.int64)
# Tones of a leg that are told apart: more than anybody keys in a call. Of a flood of them the closest become one, with
# what lies between, so that looking through them takes no tick.
MAX_MASKS = 1024
MAX_AHEAD = 16  # stretches: more than come, two a second, in the history of a leg's clock


@dataclass(frozen=True, slots=True)
class Placed:
    """Payload of one codec at its place on the call clock."""

    codec: Codec
    time: int
    payload: bytes
    units: int  # how long it lasts


class LiveLeg:
    """Takes a leg's packets out of the hold-back, in order, once they may be kept."""

    def __init__(
        self, table: LegTable, number: int, role: Role, codec: Codec, started_ns: int, guard_ns: int
    ) -> None:
        self.role = role
        self.number = number
        self.cut = Timeline()  # call times of which nothing is kept, besides tones; an open span ends FOREVER
        self.shut = Timeline()  # call times at which packets that arrive are not kept
        self.mask = Timeline()  # tones, with their guards
        self.reached = 0  # call time up to which audio has been committed
        # Stretches that were committed and are not looked at yet, as rows of columns; what is older than the clock's history
        # tells nothing.
        self.ahead: deque[tuple[tuple[Ints, ...], int]] = deque(maxlen=MAX_AHEAD)
        self.borders: tuple[int, ...] = ()  # call times that no block lies across
        self.event_rates: dict[int, int] = {}  # Hz, by payload type; those not named have the audio's
        self._table = table
        self._started_ns = started_ns
        self._guard = -(-guard_ns // UNIT_NS)
        self._clock = LegClock(started_ns)
        self._codec = self.going = codec  # the one last kept; the one of all packets of a stretch
        self._rate = codec.clock_rate  # of the packets last placed
        self._tones: list[Tone] = []
        self._shift_ns: int | None = None  # from RTP time to call time, as last committed
        self._begun = False  # whether the present stream has a first packet, before which nothing is lost
        self._last: tuple[int, bool] | None = (
            None  # of the last packet: its call time, whether it was shut out
        )
        self._noted = 0  # units of what was committed, as far as it is looked at

    def hear(self, tone: Tone) -> None:
        """Mask a tone when it is committed."""
        self._tones.append(replace(tone, digit=None))  # it is acted on elsewhere, now, and kept nowhere
        self._table.steady.unsettle(self.number)

    def lasts_ns(self, tone: Tone) -> int:
        """How long a tone has sounded; its duration is told by the clock of its format, or the audio's."""
        return tone.ticks * NS_PER_SECOND // self.event_rates.get(tone.payload_type, self._rate)

    @property
    def codec(self) -> Codec:
        """The one last committed; until then the one preferred."""
        return self._codec

    def report(self) -> LegReport:
        return LegReport(self.role, self._codec.name, *self._table.counts[self.number].tolist())

    def commit(self, arrived_by: int, end: int) -> list[Placed]:
        """Blocks of all that arrived by a time (ns), in order; nothing after `end` (call units) is kept."""
        table, leg = self._table, self.number
        restarts = table.restarts(leg)
        blocks: list[Placed] = []
        while True:
            while restarts and restarts[0].slot <= table.committed[leg]:
                restarts.pop(0)
                self._clock.restart()
                self._begun = False
            limit = restarts[0].slot if restarts else FOREVER
            slots, cells = table.waiting(leg)
            stream = slots < limit
            slots, cells = slots[stream], cells[stream]
            count = self._aged(cells, arrived_by)
            if count:
                blocks += self._commit(slots, cells, count, limit, end)
            if not restarts or count < len(slots):
                return blocks
            table.committed[leg] = limit

    def _aged(self, cells: Ints, arrived_by: int) -> int:
        """How many packets to commit: all up to the last that has waited long enough."""
        if not len(cells):
            return 0
        aged = np.flatnonzero(self._table.ring(self.number).arrival[cells] <= arrived_by)
        return int(aged[-1]) + 1 if len(aged) else 0

    def _commit(self, slots: Ints, cells: Ints, count: int, limit: int, end: int) -> list[Placed]:
        """Commit the first `count` of the packets that wait on one stream, whose slots end at `limit`."""
        table, leg = self._table, self.number
        table.steady.unsettle(leg)
        if not self._begun:
            table.first[leg] = table.committed[leg] = slots[0]
        first = int(table.committed[leg])
        passed = int(slots[count - 1]) + 1
        table.lost[leg] += passed - first - count
        table.committed[leg] = passed
        self._begun = True
        rings = table.ring(leg)
        audio = rings.kind[cells] >= AUDIO
        wanted = int(np.count_nonzero(audio[:count]))
        cells = cells[audio]
        if not wanted:
            self._mask(limit)
            return []
        rates = self._rates(rings.kind[cells])
        media = rings.media[cells] * NS_PER_SECOND // rates
        lengths, joints = self._pacing(rings, cells[:wanted])
        delays = self._delays(rings.arrival[cells], media, rates, lengths * UNIT_NS)
        self._shift_ns = int(delays[-1]) - self._started_ns
        self._mask(limit)
        times = (media[:wanted] + delays - self._started_ns) // UNIT_NS
        blocks = self._blocks(rings, cells[:wanted], times, lengths, joints, end)
        if limit == FOREVER and not self._tones and (rates == self._rate).all():
            self._settle(int(rings.kind[cells[wanted - 1]]), rings.arrival[cells] - media)
        return blocks

    def _settle(self, kind: int, delays: Ints) -> None:
        """Let the leg be committed with others as long as it goes on like this; `delays` are of all that waits."""
        if settled := self._clock.settled(delays):
            self.going = self._codec_of(kind)
            self._table.steady.settle(self.number, kind, self.going, self._started_ns, *settled)

    def whole(self, due: Stretch) -> bool | None:
        """Whether all of a stretch is kept, or none of it; None where that differs from packet to packet."""
        if not (self.cut.spans or self.mask.spans or self.shut.spans or self.borders):
            return True
        last_time, last_shut = self._last or (due.start, False)
        since = min(due.since, last_time)
        gone = self.cut.reaching(since, due.stop) | self.mask.reaching(since, due.stop)
        if any(span.start <= due.start and due.stop <= span.stop for span in gone.spans):
            return False
        if gone.spans or last_shut or self._shut_at(due.came, due.came_last):
            return None
        return None if any(due.start < border <= due.last for border in self.borders) else True

    def _shut_at(self, first: int, last: int) -> bool:
        """Whether what arrives between two times (ns) may not be kept."""
        came, came_last = ((ns - self._started_ns) // UNIT_NS for ns in (first, last))
        return bool(self.shut.reaching(came, came_last + 1).spans)

    def go_on(self, due: Stretch, kept: bool) -> None:
        """A stretch is committed with those of other legs."""
        self._clock.go_on(due.first_arrival, due.last_arrival, due.least, due.end)
        self._last = due.last, bool(self.shut.spans) and self._shut_at(due.last_arrival, due.last_arrival)
        if kept:
            self._codec = self.going
            self._count(due.units)
            self.reached = max(self.reached, due.stop)

    @property
    def plain(self) -> bool:
        """Whether every stretch is kept as it is, as long as nothing of the call is changed."""
        if self.cut.spans or self.mask.spans or self.shut.spans or self.borders:
            return False
        return self._codec is self.going and not (self._last and self._last[1])

    def catch_up(self) -> int:
        """Look at the stretches that were committed since; gives how long all they kept is (units)."""
        for columns, row in self.ahead:
            due = Stretch(*(int(column[row]) for column in columns))
            self._clock.go_on(due.first_arrival, due.last_arrival, due.least, due.end)
            self._last = due.last, False
            self.reached = max(self.reached, due.stop)
        self.ahead.clear()
        units = int(self._table.units[self.number])
        grown, self._noted = units - self._noted, units
        return grown

    def _count(self, units: int) -> None:
        self._table.units[self.number] += units
        self._noted += units

    def _delays(self, arrivals: Ints, media: Ints, rates: Ints, lengths: Ints) -> Ints:
        """By what (ns) to place the packets whose lengths are given; where the clock rate changes, time begins anew."""
        if (rates == self._rate).all():
            return self._clock.follow(arrivals - media, arrivals, lengths)
        runs = []
        changes = (np.flatnonzero(rates[1:] != rates[:-1]) + 1).tolist()
        for start, stop in pairwise([0, *changes, len(rates)]):
            if start >= len(lengths):
                break
            if rates[start] != self._rate:
                self._clock.restart()
                self._rate = int(rates[start])
            lags = arrivals[start:stop] - media[start:stop]
            runs.append(self._clock.follow(lags, arrivals[start:stop], lengths[start:stop]))
        return np.concatenate(runs)

    def _rates(self, kinds: Octets) -> Ints:
        rates = np.empty(len(kinds), np.int64)
        for kind, mine in by_value(kinds):
            rates[mine] = self._codec_of(kind).clock_rate
        return rates

    def _mask(self, limit: int) -> None:
        """Redact the tones told of so far by packets of the present stream, whose slots end at `limit`."""
        if self._shift_ns is None or not self._tones:
            return
        mine = [tone for tone in self._tones if tone.slot < limit]
        masked = self.mask | Timeline.of(self._span(tone, self._shift_ns) for tone in mine)
        self.mask = masked.bounded(MAX_MASKS)
        committed = int(self._table.committed[self.number])
        self._tones = [tone for tone in self._tones if tone.slot >= committed]

    def _span(self, tone: Tone, shift_ns: int) -> Span:
        """A tone with its guards; its timestamps follow the audio's clock."""
        begins = tone.start * NS_PER_SECOND // self._rate + shift_ns
        lasts = self.lasts_ns(tone)
        start = max(0, begins // UNIT_NS - self._guard)
        return Span(start, max(-(-(begins + lasts) // UNIT_NS) + self._guard, start + 1))

    def _blocks(
        self, rings: Rings, cells: Ints, times: Ints, lengths: Ints, joints: Ints, end: int
    ) -> list[Placed]:
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        packets = Pieces(cells, np.zeros_like(cells), sizes, times, lengths, joints, kinds)
        shut = np.zeros(len(cells), np.bool_)
        if self.shut.spans:
            came = (rings.arrival[cells] - self._started_ns) // UNIT_NS
            shut = self.shut.touches(came, came + 1)
        kept = self._kept(packets, shut, (times >= 0) & (times + lengths <= end) & (sizes > 0))
        if not len(kept):
            return []
        self._count(int(kept.lengths.sum()))
        self.reached = max(self.reached, int((kept.times + kept.lengths).max()))
        self._codec = self._codec_of(int(kept.kinds[-1]))
        octets = rings.gather(kept.cells, kept.offsets, kept.sizes)
        ends = np.cumsum(kept.sizes)
        starts = _starts(kept, self.borders)
        stops = np.append(starts[1:], len(kept)) - 1
        begins = ends[starts] - kept.sizes[starts]
        return [
            Placed(self._codec_of(kind), time, octets[begin:stop], units)
            for kind, time, begin, stop, units in zip(
                kept.kinds[starts].tolist(),
                kept.times[starts].tolist(),
                begins.tolist(),
                ends[stops].tolist(),
                np.add.reduceat(kept.lengths, starts).tolist(),
                strict=True,
            )
        ]

    def _kept(self, packets: Pieces, shut: Bools, keep: Bools) -> Pieces:
        """What is kept of the packets that `keep` picks, less those that came while the leg was `shut`."""
        times, stops = packets.times, packets.times + packets.lengths
        last_time, last_shut = self._last or (times[0], False)
        since = np.minimum(np.append(last_time, times[:-1]), times - packets.lengths)
        shut_before = np.append(last_shut, shut[:-1])
        self._last = int(times[-1]), bool(shut[-1])
        first, last = int(since.min()), int(stops.max())
        gone = self.cut.reaching(first, last) | self.mask.reaching(first, last)
        keep &= ~shut
        for kind, mine in by_value(packets.kinds):
            if self._codec_of(kind).linked:  # the first packet after one that is not kept falls, too
                keep[mine] &= ~(gone.touches(since, stops) | shut_before)[mine]
        if not keep.all():
            packets = packets.take(keep)
        return packets.outside(gone, self._codec_of) if gone.spans else packets

    def _codec_of(self, kind: int) -> Codec:
        return self._table.codec(self.number, kind)

    def _pacing(self, rings: Rings, cells: Ints) -> tuple[Ints, Ints]:
        """How long packets last, at least a unit, and how they join, kind by kind; what no codec can read is counted."""
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        lengths, joints = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
        for kind, mine in by_value(kinds):
            lengths[mine], joints[mine] = pacing(
                self._codec_of(kind), sizes[mine], rings.payload, cells[mine]
            )
        self._table.senseless += int(np.count_nonzero((lengths == 0) & (sizes > 0)))
        return np.maximum(1, lengths), joints


def _starts(pieces: Pieces, borders: Sequence[int]) -> Ints:
    """Where blocks begin: at changes of codec, too, after what is cut out of a packet, and at borders."""
    times, kinds = pieces.times, pieces.kinds
    broken = pieces.offsets > 0
    broken[1:] |= kinds[1:] != kinds[:-1]
    for border in borders:
        broken[1:] |= (times[:-1] < border) & (times[1:] >= border)
    return block_starts(FIRST, broken, times, pieces.lengths, pieces.joints)
