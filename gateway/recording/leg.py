"""One leg between the hold-back and the container: packets that have waited become blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, LegReport, Role
from gateway.recording.pieces import Pieces, by_kind
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

    def __init__(
        self, table: LegTable, number: int, role: Role, codec: Codec, started_ns: int, guard_ns: int
    ) -> None:
        self.role = role
        self.number = number
        self.cut = Timeline()  # call times of which nothing is kept, besides tones; an open span ends FOREVER
        self.shut = Timeline()  # call times at which packets that arrive are not kept
        self.mask = Timeline()  # tones, with their guards
        self.reached = 0  # call time up to which audio has been committed
        self.borders: tuple[int, ...] = ()  # call times that no block lies across
        self.event_rates: dict[int, int] = {}  # Hz, by payload type; those not named have the audio's
        self.paused = Timeline()
        self.paused_since: int | None = None  # of a pause that is open
        self._table = table
        self._started_ns = started_ns
        self._guard = -(-guard_ns // UNIT_NS)
        self._clock = LegClock(started_ns)
        self._codec = codec
        self._rate = codec.clock_rate  # of the packets last placed
        self._tones: list[Tone] = []
        self._shift_ns: int | None = None  # from RTP time to call time, as last committed
        self._begun = False  # whether the present stream has a first packet, before which nothing is lost
        self._last: tuple[int, bool] | None = (
            None  # of the last packet: its call time, whether it was shut out
        )
        self._units = 0

    def hear(self, tone: Tone) -> None:
        self._tones.append(tone)

    def pause(self, at: int) -> None:
        """Keep nothing from a call time on."""
        if self.paused_since is None:
            self.paused_since = at
        self.cut = self.shut = self._paused(FOREVER)

    def resume(self, at: int) -> None:
        self.paused, self.paused_since = self._paused(at), None
        self.cut = self.shut = self.paused

    def redactions(self, until: int) -> Iterator[tuple[Span, str]]:
        """What is not kept, and why; a pause that is open ends at `until`."""
        yield from ((span, "dtmf") for span in self.mask.spans)
        yield from ((span, "src") for span in self._paused(until).spans)

    def _paused(self, until: int) -> Timeline:
        if self.paused_since is None or self.paused_since >= until:
            return self.paused
        return self.paused | Timeline((Span(self.paused_since, until),))

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
        for kind, mine in by_kind(kinds):
            rates[mine] = self._codec_of(kind).clock_rate
        return rates

    def _mask(self, limit: int) -> None:
        """Redact the tones told of so far by packets of the present stream, whose slots end at `limit`."""
        if self._shift_ns is None or not self._tones:
            return
        mine = [tone for tone in self._tones if tone.slot < limit]
        self.mask |= Timeline.of(self._span(tone, self._shift_ns) for tone in mine)
        committed = int(self._table.committed[self.number])
        self._tones = [tone for tone in self._tones if tone.slot >= committed]

    def _span(self, tone: Tone, shift_ns: int) -> Span:
        """A tone with its guards: its timestamps follow the audio's clock, its duration perhaps that of its format."""
        begins = tone.start * NS_PER_SECOND // self._rate + shift_ns
        lasts = tone.ticks * NS_PER_SECOND // self.event_rates.get(tone.payload_type, self._rate)
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
        self._units += int(kept.lengths.sum())
        self.reached = max(self.reached, int((kept.times + kept.lengths).max()))
        self._codec = self._codec_of(int(kept.kinds[-1]))
        octets = kept.octets(rings)
        ends = np.cumsum(kept.sizes)
        starts = _block_starts(kept, self.borders)
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
        for kind, mine in by_kind(packets.kinds):
            if self._codec_of(kind).linked:  # the first packet after one that is not kept falls, too
                keep[mine] &= ~(gone.touches(since, stops) | shut_before)[mine]
        if not keep.all():
            packets = packets.take(keep)
        return packets.outside(gone, self._codec_of) if gone.spans else packets

    def _codec_of(self, kind: int) -> Codec:
        return self._table.codec(self.number, kind)

    def _lengths(self, rings: Rings, cells: Ints) -> tuple[Ints, Ints]:
        """How long packets last, in units and at least one, and how they join to what follows.

        A joint is by how many units the next packet may be off to stand in the same block: 0, or 1 where the
        codec's clock has no whole units; ALONE where none may.
        """
        kinds, sizes = rings.kind[cells], rings.size[cells].astype(np.int64)
        lengths, joints = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
        for kind, mine in by_kind(kinds):
            codec = self._codec_of(kind)
            heads = rings.payload[cells[mine], : codec.heads] if codec.heads else NO_HEADS
            ticks = codec.durations(sizes[mine], heads)
            lengths[mine] = np.maximum(1, -(-ticks * UNITS_PER_SECOND // codec.clock_rate))
            joints[mine] = ALONE
            if len(codec.frames) == 1:
                cut_short = sizes[mine] % codec.frames[0][0] > 0
                joints[mine] = np.where(cut_short, ALONE, int(codec.clock_rate != UNITS_PER_SECOND))
        return lengths, joints


def _block_starts(pieces: Pieces, borders: Sequence[int]) -> Ints:
    """Where blocks begin: at each break of time or codec, at each border, and as often as 100 ms ask for between."""
    times, lengths, kinds = pieces.times, pieces.lengths, pieces.kinds
    broken = pieces.offsets > 0
    broken[0] = True
    off = np.abs(times[1:] - times[:-1] - lengths[:-1])
    broken[1:] |= (off > pieces.joints[:-1]) | (kinds[1:] != kinds[:-1])
    for border in borders:
        broken[1:] |= (times[:-1] < border) & (times[1:] >= border)
    runs = np.flatnonzero(broken)
    into = np.arange(len(times)) - np.repeat(runs, np.diff(np.append(runs, len(times))))
    broken |= into % max(1, BLOCK_UNITS // int(lengths.max())) == 0
    return np.flatnonzero(broken)
