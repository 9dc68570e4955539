"""One leg between the hold-back and the container: packets that have waited become blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, LegReport, Role
from gateway.redaction.holdback import Rings
from gateway.redaction.timeline import Span, Timeline
from gateway.rtp.clock import LegClock
from gateway.rtp.packets import Bools, Ints, Octets
from gateway.rtp.sequence import AUDIO, LegTable
from gateway.rtp.tones import Tone

BLOCK_UNITS = UNITS_PER_SECOND // 10  # a block holds up to 100 ms, or one packet that is longer
NS_PER_SECOND = 1_000_000_000
FOREVER = (1 << 62) - 1
ALONE = -1
NO_HEADS = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Placed:
    """Payload of one codec at its place on the call clock."""

    codec: Codec
    time: int
    payload: bytes
    units: int  # how long it lasts


class LiveLeg:
    """Takes a leg's packets out of the hold-back, in order, once they may be kept."""

    def __init__(self, table: LegTable, number: int, role: Role, codec: Codec, started_ns: int) -> None:
        self.role = role
        self.number = number
        self.redacted = Timeline()  # tones
        self.event_rates: dict[int, int] = {}  # Hz, by payload type; those not named have the audio's
        self.cut = Timeline()  # by place on the call clock, what is not kept besides tones
        self.shut = Timeline()  # by arrival
        self.reached = 0  # call units: up to where it is committed
        self.cuts: tuple[int, ...] = ()  # call times that no block lies across
        self._table = table
        self._started_ns = started_ns
        self._clock = LegClock(started_ns)
        self._codec = codec
        self._rate = codec.clock_rate  # of the packets last placed
        self._tones: list[Tone] = []
        self._shift_ns: int | None = None  # from RTP time to call time, as last committed
        self._begun = False  # whether the present stream has a first packet, before which nothing is lost
        self._units = 0

    def hear(self, tone: Tone) -> None:
        self._tones.append(tone)

    @property
    def codec(self) -> Codec:
        """The one last committed; until then the one preferred."""
        return self._codec

    def report(self) -> LegReport:
        table, leg = self._table, self.number
        return LegReport(
            role=self.role,
            codec=self._codec.name,
            packets=int(table.packets[leg]),
            lost=int(table.lost[leg]),
            late=int(table.late[leg]),
            duplicated=int(table.duplicated[leg]),
            media_units=self._units,
        )

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
        lengths, joints = self._lengths(rings, cells[:wanted])
        delays = self._delays(rings.arrival[cells], media, rates, lengths * UNIT_NS)
        self._shift_ns = int(delays[-1]) - self._started_ns
        self._mask(limit)
        times = (media[:wanted] + delays - self._started_ns) // UNIT_NS
        self.reached = max(self.reached, int((times + lengths).max()))
        return self._blocks(rings, cells[:wanted], times, lengths, joints, end)

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
        for kind, mine in _by_kind(kinds):
            rates[mine] = self._table.codec(self.number, kind).clock_rate
        return rates

    def _mask(self, limit: int) -> None:
        """Redact the tones told of so far by packets of the present stream, whose slots end at `limit`."""
        if self._shift_ns is None or not self._tones:
            return
        mine = [tone for tone in self._tones if tone.slot < limit]
        self.redacted |= Timeline.of(self._span(tone, self._shift_ns) for tone in mine)
        committed = int(self._table.committed[self.number])
        self._tones = [tone for tone in self._tones if tone.slot >= committed]

    def _span(self, tone: Tone, shift_ns: int) -> Span:
        """An event's timestamps follow the audio's clock; its duration may be told in that of its own format."""
        begins = tone.start * NS_PER_SECOND // self._rate + shift_ns
        lasts = tone.ticks * NS_PER_SECOND // self.event_rates.get(tone.payload_type, self._rate)
        start = max(0, begins // UNIT_NS)
        return Span(start, max((begins + lasts) // UNIT_NS, start + 1))

    def _blocks(
        self, rings: Rings, cells: Ints, times: Ints, lengths: Ints, joints: Ints, end: int
    ) -> list[Placed]:
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        keep = (
            ~self.redacted.touches(times, times + lengths)
            & (times >= 0)
            & (times + lengths <= end)
            & (sizes > 0)
        )
        if self.cut.spans:
            keep &= ~self.cut.touches(times, times + lengths)
        if self.shut.spans:
            came = (rings.arrival[cells] - self._started_ns) // UNIT_NS
            keep &= ~self.shut.touches(came, came + 1)
        if not keep.any():
            return []
        if not keep.all():
            cells, times, lengths, joints = cells[keep], times[keep], lengths[keep], joints[keep]
            sizes, kinds = sizes[keep], kinds[keep]
        self._units += int(lengths.sum())
        self._codec = self._table.codec(self.number, int(kinds[-1]))
        octets = _gather(rings, cells, sizes)
        ends = np.cumsum(sizes)
        starts = _block_starts(times, lengths, kinds, joints, self.cuts)
        stops = np.append(starts[1:], len(cells)) - 1
        begins = ends[starts] - sizes[starts]
        return [
            Placed(self._table.codec(self.number, kind), time, octets[begin:stop], units)
            for kind, time, begin, stop, units in zip(
                kinds[starts].tolist(),
                times[starts].tolist(),
                begins.tolist(),
                ends[stops].tolist(),
                np.add.reduceat(lengths, starts).tolist(),
                strict=True,
            )
        ]

    def _lengths(self, rings: Rings, cells: Ints) -> tuple[Ints, Ints]:
        """How long packets last, in units and at least one, and how they join to what follows.

        A joint is by how many units the next packet may be off to stand in the same block: 0, or 1 where the
        codec's clock has no whole units; ALONE where none may.
        """
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        lengths, joints = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
        for kind, mine in _by_kind(kinds):
            codec = self._table.codec(self.number, kind)
            heads = rings.payload[cells[mine], : codec.heads] if codec.heads else NO_HEADS
            ticks = codec.durations(sizes[mine], heads)
            lengths[mine] = np.maximum(1, -(-ticks * UNITS_PER_SECOND // codec.clock_rate))
            joints[mine] = int(codec.clock_rate != UNITS_PER_SECOND) if codec.frame else ALONE
            if codec.frame > 1:
                joints[mine] = np.where(sizes[mine] % codec.frame, ALONE, joints[mine])
        return lengths, joints


def _by_kind(kinds: Octets) -> Iterator[tuple[int, slice | Bools]]:
    """Each kind among some packets, and which they are; nearly always there is one."""
    if (kinds == kinds[0]).all():
        yield int(kinds[0]), slice(None)
    else:
        yield from ((kind, kinds == kind) for kind in np.unique(kinds).tolist())


def _gather(rings: Rings, cells: Ints, sizes: Ints) -> bytes:
    """The payloads of some cells, one after the other."""
    if (sizes == sizes[0]).all():
        return rings.payload[cells, : int(sizes[0])].tobytes()
    wide = rings.payload[cells]
    return wide[np.arange(wide.shape[1]) < sizes[:, None]].tobytes()


def _block_starts(times: Ints, lengths: Ints, kinds: Octets, joints: Ints, cuts: Sequence[int]) -> Ints:
    """Where blocks begin: at each break of time or codec, at each cut, and as often as 100 ms ask for between."""
    broken = np.ones(len(times), np.bool_)
    off = np.abs(times[1:] - times[:-1] - lengths[:-1])
    broken[1:] = (off > joints[:-1]) | (kinds[1:] != kinds[:-1])
    for cut in cuts:
        broken[1:] |= (times[:-1] < cut) & (times[1:] >= cut)
    runs = np.flatnonzero(broken)
    into = np.arange(len(times)) - np.repeat(runs, np.diff(np.append(runs, len(times))))
    broken |= into % max(1, BLOCK_UNITS // int(lengths.max())) == 0
    return np.flatnonzero(broken)
