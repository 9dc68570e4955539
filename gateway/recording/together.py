"""Committing many calls at once: those that go on as they did, in columns over all their legs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from gateway.recording.leg import FOREVER, LiveLeg
from gateway.recording.live import LiveCall
from gateway.recording.messages import Write
from gateway.recording.output import Output
from gateway.recording.stretches import Batch, Stretch, stretches
from gateway.rtp.packets import Bools, Ints, first_of_each
from gateway.rtp.sequence import LegTable
from gateway.storage.clusters import Clusters
from gateway.storage.container import MAX_CLUSTER_UNITS


class Lane(NamedTuple):
    """Where all of a call goes, of which every stretch is kept, as long as nothing of it changes."""

    output: Output
    version: int  # of the call
    tracks: list[int]  # of its legs


class Share:
    """Calls that are committed in the same tick."""

    def __init__(self, table: LegTable) -> None:
        self._table = table
        self._calls: dict[str, LiveCall] = {}
        self._legs: Ints | None = None  # numbers of all legs, call by call; None: to be found anew
        self._owners: Ints = np.zeros(0, np.int64)  # of each leg, the place of its call
        self._firsts: list[int] = []  # of each call, the place of its first leg
        self._by_place: list[LiveLeg] = []
        self._placed: list[LiveCall] = []
        self._lanes: list[Lane | None] = []  # of each of these
        self._tracks: Ints = np.zeros(0, np.int64)  # of each leg whose call has a lane
        # Of each call, whether something of it was to be looked at, and whether it was last committed by itself.
        self._watched: Bools = np.zeros(0, np.bool_)
        self._apart: Bools = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: LiveCall) -> None:
        self._calls[call.plan.call_id] = call
        self._legs = None

    def changed(self) -> None:
        """One of the calls has another leg."""
        self._legs = None

    def drop(self, call: LiveCall) -> None:
        del self._calls[call.plan.call_id]
        self._legs = None

    def calls(self) -> list[LiveCall]:
        return list(self._calls.values())

    def remarkable(self, since: int) -> list[tuple[LiveCall, int, int]]:
        """With when a packet last came (ns) and the most that were unreadable of a leg, the calls of which something may be
        to tell: no packet has come since a time (ns), or some were unreadable, now or when last looked at; or the call was
        just committed by itself.
        """
        table, legs = self._table, self._numbers()
        arrivals, unreadable = (np.zeros(len(self._calls), np.int64) for _ in range(2))
        np.maximum.at(arrivals, self._owners, table.last_arrival[legs])
        np.maximum.at(unreadable, self._owners, table.unreadable[legs])
        before, self._watched = self._watched, (arrivals < since) | (unreadable > 0)
        some = np.flatnonzero(before | self._watched | self._apart).tolist()
        calls = self.calls()
        return [(calls[place], int(arrivals[place]), int(unreadable[place])) for place in some]

    def commit(self, arrived_by: int, now: int) -> list[Write]:
        """Append what has waited since `arrived_by` (ns) of all the share's calls."""
        legs = self._numbers()
        odd, batches = stretches(self._table, legs, arrived_by)
        calls, writes = self.calls(), list[Write]()
        apart = np.zeros(len(calls), np.bool_)
        apart[self._owners[odd]] = True
        plain = self._plain(calls, batches, apart)
        due: list[Stretch | None] = [None] * len(legs)
        for batch in batches:
            for stretch in batch.stretches(~plain[self._owners[batch.legs]]):
                due[stretch.place] = stretch
        tracks = np.where(plain[self._owners], self._tracks, 0)  # of each leg; 0 where nothing is kept
        outputs = [
            lane.output if lane else None for lane in self._lanes
        ]  # of each call that is committed here
        for place in np.flatnonzero(~plain).tolist():
            call, at = calls[place], self._firsts[place]
            call.touch()
            stop = at + len(call.legs)
            output = None if apart[place] else call.sole_output
            found = _tracks(call, output, due[at:stop]) if output else None
            if output and found:
                _go_on(call, output, due[at:stop], found)
                tracks[at:stop] = found
                self._settle(place, call, output)
            else:
                output, apart[place], self._lanes[place] = None, True, None
                writes += call.commit(arrived_by, now)
            outputs[place] = output
        self._apart = apart
        self._pass(legs, batches, np.array([output is not None for output in outputs], np.bool_))
        return writes + list(self._written(batches, tracks, outputs, now))

    def _plain(self, calls: Sequence[LiveCall], batches: Sequence[Batch], apart: Bools) -> Bools:
        """Which calls go on as they did in every way: their stretches are noted, to be looked at when anything changes."""
        starts, stops = np.full(len(calls), FOREVER), np.zeros(len(calls), np.int64)
        for batch in batches:
            owners = self._owners[batch.legs]
            np.minimum.at(starts, owners, batch.starts)
            np.maximum.at(stops, owners, batch.stops)
        known = [
            lane is not None and lane.version == call.version
            for lane, call in zip(self._lanes, calls, strict=True)
        ]
        plain: Bools = (
            np.array(known, np.bool_) & ~apart & (starts >= 0) & (stops <= starts + MAX_CLUSTER_UNITS)
        )
        for batch in batches:
            mine = plain[self._owners[batch.legs]]
            self._table.units[self._numbers()[batch.legs[mine]]] += batch.units[mine]
            for place, row in zip(batch.legs[mine].tolist(), np.flatnonzero(mine).tolist(), strict=True):
                self._by_place[place].ahead.append((batch.columns, row))
        return plain

    def _settle(self, place: int, call: LiveCall, output: Output) -> None:
        """A call was committed with others; if every stretch of it is kept, it is one that goes on like that."""
        tracks = [output.track(leg.number, leg.role, leg.going) for leg in call.legs if leg.plain]
        whole = [track for track in tracks if track]
        self._lanes[place] = None
        if call.end == FOREVER and len(whole) == len(call.legs):
            at = self._firsts[place]
            self._tracks[at : at + len(whole)] = whole
            self._lanes[place] = Lane(output, call.version, whole)

    def _pass(self, legs: Ints, batches: Sequence[Batch], taken: Bools) -> None:
        """Count the stretches of the calls that are taken as committed."""
        table = self._table
        for batch in batches:
            mine = taken[self._owners[batch.legs]]
            which, passed = legs[batch.legs[mine]], batch.passed[mine]
            table.lost[which] += passed - table.committed[which] - batch.packets[mine]
            table.committed[which] = passed

    def _written(
        self, batches: Sequence[Batch], tracks: Ints, outputs: Sequence[Output | None], now: int
    ) -> Iterator[Write]:
        """Clusters of the legs that have a track, to their calls' outputs."""
        for owner, cluster in self._clusters(batches, tracks):
            output = outputs[owner]
            assert output is not None
            yield output.add(cluster, now)
        for output in outputs:
            if output is not None:
                yield from output.push(now)

    def _clusters(self, batches: Sequence[Batch], tracks: Ints) -> Iterator[tuple[int, memoryview]]:
        """One for each call that has a leg with a track, and the place of the call."""
        chosen = [tracks[batch.places] > 0 for batch in batches]
        places, times, sizes = (
            np.concatenate([column[mine] for column, mine in zip(columns, chosen, strict=True)])
            if chosen
            else np.zeros(0, np.int64)
            for columns in (
                [batch.places for batch in batches],
                [batch.times for batch in batches],
                [batch.block_sizes() for batch in batches],
            )
        )
        if not len(places):
            return
        order = np.lexsort((places, times, self._owners[places]))
        owners = self._owners[places[order]]
        firsts = first_of_each(owners)
        made = Clusters(firsts, tracks[places[order]], times[order], sizes[order])
        at = np.empty(len(order), np.int64)
        at[order] = made.payloads
        for batch, mine in zip(batches, chosen, strict=True):
            here, at = np.split(at, [int(np.count_nonzero(mine))])
            batch.fill(made, mine, here)
        yield from zip(owners[firsts].tolist(), made, strict=True)

    def _numbers(self) -> Ints:
        if self._legs is None:
            counts = [len(call.legs) for call in self._calls.values()]
            self._legs = np.array(
                [leg.number for call in self._calls.values() for leg in call.legs], np.int64
            )
            self._owners = np.repeat(np.arange(len(counts)), counts)
            self._firsts = (np.cumsum(counts, dtype=np.int64) - counts).tolist()
            self._by_place = [leg for call in self._calls.values() for leg in call.legs]
            before, self._placed = dict(zip(self._placed, self._lanes, strict=True)), self.calls()
            self._lanes = [before.get(call) for call in self._placed]
            self._tracks = np.zeros(len(self._legs), np.int64)
            for at, lane in zip(self._firsts, self._lanes, strict=True):
                if lane:
                    self._tracks[at : at + len(lane.tracks)] = lane.tracks
            self._watched = self._apart = np.ones(len(counts), np.bool_)  # looked at, all of them
        return self._legs


def _tracks(call: LiveCall, output: Output, due: Sequence[Stretch | None]) -> list[int] | None:
    """The track of each leg of which all is kept, 0 for one of which nothing is; None where that is not all."""
    found = []
    start, stop = FOREVER, 0
    for leg, stretch in zip(call.legs, due, strict=True):
        whole = stretch is not None and leg.whole(stretch)
        if whole is None:
            return None
        track = output.track(leg.number, leg.role, leg.going) if whole else 0
        if track is None:
            return None
        if stretch is not None and track:
            start, stop = min(start, stretch.start), max(stop, stretch.stop)
        found.append(track)
    return found if start >= 0 and stop <= min(call.end, start + MAX_CLUSTER_UNITS) else None


def _go_on(call: LiveCall, output: Output, due: Sequence[Stretch | None], tracks: Sequence[int]) -> None:
    for leg, stretch, track in zip(call.legs, due, tracks, strict=True):
        if stretch is not None:
            leg.go_on(stretch, kept=track > 0)
            if track:
                output.units[leg.role] += stretch.units
