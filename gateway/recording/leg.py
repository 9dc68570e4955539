"""One leg between the hold-back and the container: packets that have waited become blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.codecs.registry import Codec
from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, LegReport, Role
from gateway.redaction.holdback import Rings
from gateway.redaction.timeline import Span, Timeline
from gateway.rtp.clock import LegClock
from gateway.rtp.packets import Ints, Octets
from gateway.rtp.sequence import AUDIO, LegTable, Tone

BLOCK_UNITS = UNITS_PER_SECOND // 10  # a block holds up to 100 ms, or one packet that is longer
NS_PER_SECOND = 1_000_000_000
FOREVER = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class Placed:
    """Payload of one codec at its place on the call clock."""

    codec: Codec
    time: int
    payload: bytes


class LiveLeg:
    """Takes a leg's packets out of the hold-back, in order, once they may be kept."""

    def __init__(self, table: LegTable, number: int, role: Role, codec: Codec, started_ns: int) -> None:
        self.role = role
        self.number = number
        self.redacted = Timeline()
        self._table = table
        self._started_ns = started_ns
        self._clock = LegClock(started_ns)
        self._codec = codec
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
        arrivals = rings.arrival[cells]
        delays = self._clock.follow(arrivals - media, arrivals, wanted)
        self._shift_ns = int(delays[-1]) - self._started_ns
        self._mask(limit)
        times = (media[:wanted] + delays - self._started_ns) // UNIT_NS
        return self._blocks(rings, cells[:wanted], times, end)

    def _rates(self, kinds: Octets) -> Ints:
        rates = np.zeros(256, np.int64)
        for kind in np.unique(kinds).tolist():
            rates[kind] = self._table.codec(self.number, kind).clock_rate
        return rates[kinds]

    def _mask(self, limit: int) -> None:
        """Redact the tones told of so far by packets of the present stream, whose slots end at `limit`."""
        if self._shift_ns is None or not self._tones:
            return
        mine = [tone for tone in self._tones if tone.slot < limit]
        self.redacted |= Timeline.of(self._span(tone, self._shift_ns) for tone in mine)
        committed = int(self._table.committed[self.number])
        self._tones = [tone for tone in self._tones if tone.slot >= committed]

    def _span(self, tone: Tone, shift_ns: int) -> Span:
        rate = self._codec.clock_rate
        start, stop = (
            max(0, (ticks * NS_PER_SECOND // rate + shift_ns) // UNIT_NS) for ticks in (tone.start, tone.stop)
        )
        return Span(start, max(stop, start + 1))

    def _blocks(self, rings: Rings, cells: Ints, times: Ints, end: int) -> list[Placed]:
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        lengths = np.empty(len(cells), np.int64)
        for kind in np.unique(kinds).tolist():
            codec = self._table.codec(self.number, kind)
            ticks = codec.durations(sizes[kinds == kind])
            lengths[kinds == kind] = ticks * UNITS_PER_SECOND // codec.clock_rate
        keep = (
            ~self.redacted.touches(times, times + lengths)
            & (times >= 0)
            & (times + lengths <= end)
            & (sizes > 0)
        )
        cells, times, lengths, sizes, kinds = (
            cells[keep],
            times[keep],
            lengths[keep],
            sizes[keep],
            kinds[keep],
        )
        if not len(cells):
            return []
        self._units += int(lengths.sum())
        self._codec = self._table.codec(self.number, int(kinds[-1]))
        octets = _gather(rings, cells, sizes)
        ends = np.cumsum(sizes)
        starts = _block_starts(times, lengths, kinds)
        stops = np.append(starts[1:], len(cells)) - 1
        begins = ends[starts] - sizes[starts]
        return [
            Placed(self._table.codec(self.number, kind), time, octets[begin:stop])
            for kind, time, begin, stop in zip(
                kinds[starts].tolist(),
                times[starts].tolist(),
                begins.tolist(),
                ends[stops].tolist(),
                strict=True,
            )
        ]


def _gather(rings: Rings, cells: Ints, sizes: Ints) -> bytes:
    """The payloads of some cells, one after the other."""
    if (sizes == sizes[0]).all():
        return rings.payload[cells, : int(sizes[0])].tobytes()
    wide = rings.payload[cells]
    return wide[np.arange(wide.shape[1]) < sizes[:, None]].tobytes()


def _block_starts(times: Ints, lengths: Ints, kinds: Octets) -> Ints:
    """Where blocks begin: at each break of time or codec, and as often as 100 ms ask for between."""
    broken = np.ones(len(times), np.bool_)
    broken[1:] = (times[1:] != times[:-1] + lengths[:-1]) | (kinds[1:] != kinds[:-1])
    runs = np.flatnonzero(broken)
    into = np.arange(len(times)) - np.repeat(runs, np.diff(np.append(runs, len(times))))
    broken |= into % max(1, BLOCK_UNITS // int(lengths.max())) == 0
    return np.flatnonzero(broken)
