"""What is due of many steady legs at once: packets that have waited become blocks, by array operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gateway.recording.model import UNIT_NS
from gateway.recording.pieces import block_starts, pacing
from gateway.redaction.holdback import Rings
from gateway.redaction.homes import Due
from gateway.rtp.clock import quiet
from gateway.rtp.packets import Bools, Ints, by_value, first_of_each
from gateway.rtp.sequence import LegTable
from gateway.storage.clusters import Clusters


class Stretch(NamedTuple):
    """The packets of one leg that are due. Call times in units; arrivals and delays in ns."""

    place: int  # of the leg among those that were asked for
    start: int  # least call time
    last: int  # call time of the last packet
    stop: int  # greatest end
    since: int  # least call time less the packet's length
    came: int  # least arrival
    came_last: int  # greatest arrival
    first_arrival: int  # of the first packet
    last_arrival: int  # of the last
    least: int  # delay
    end: int  # RTP time at which the last packet ends
    units: int  # all their lengths


@dataclass(frozen=True, slots=True)
class Batch:
    """Stretches of legs whose rings have one shape, and the blocks they make."""

    columns: tuple[Ints, ...]  # of the stretches, in the order of the fields of a Stretch
    legs: Ints  # places of the stretches' legs
    passed: Ints  # of each stretch, the slot after its last
    packets: Ints  # in each stretch
    rings: Rings
    cells: Ints  # of each packet
    sizes: Ints  # of each packet, octets
    firsts: Ints  # first packet of each block
    places: Ints  # of each block's leg
    times: Ints  # of each block, call units

    @property
    def starts(self) -> Ints:
        """Least call time of each stretch."""
        return self.columns[1]

    @property
    def stops(self) -> Ints:
        return self.columns[3]

    @property
    def units(self) -> Ints:
        return self.columns[-1]

    def block_sizes(self) -> Ints:
        """Octets of each block."""
        sizes: Ints = np.add.reduceat(self.sizes, self.firsts)
        return sizes

    def stretches(self, which: Bools) -> list[Stretch]:
        """Those that a mask picks."""
        if not which.any():
            return []
        columns = (column[which].tolist() for column in self.columns)
        return list(map(Stretch._make, zip(*columns, strict=True)))

    def fill(self, clusters: Clusters, blocks: Bools, at: Ints) -> None:
        """Put the payloads of some blocks, picked by a mask, to where each begins."""
        counts = np.diff(np.append(self.firsts, len(self.cells)))
        before = np.cumsum(self.sizes) - self.sizes
        starts = np.zeros(len(self.firsts), np.int64)
        starts[blocks] = at
        places = np.repeat(starts - before[self.firsts], counts) + before
        cells, sizes = self.cells, self.sizes
        if not blocks.all():
            mine = np.repeat(blocks, counts)
            places, cells, sizes = places[mine], cells[mine], sizes[mine]
        for size, those in by_value(sizes):
            clusters.put(places[those], self.rings.payload[cells[those], :size])


def stretches(table: LegTable, legs: Ints, arrived_by: int) -> tuple[Bools, list[Batch]]:
    """What is due of some legs; with it, which of them must be looked at by themselves."""
    waiting = table.highest[legs] >= table.committed[legs]
    begins = (table.committed[legs] == 0) & (table.began[legs] > arrived_by)  # nothing of it is due
    waiting &= ~begins
    odd = waiting & ~table.steady.is_so[legs]
    asked = np.flatnonzero(waiting & ~odd)
    batches = []
    for due in table.due(legs[asked], table.committed[legs[asked]], arrived_by):
        places = asked[due.legs]
        batch = _Packets(table, legs[places], due)
        fit = batch.fit()
        odd[places[~fit]] = True
        if fit[due.rows].any():
            batches.append(batch.batch(places, fit))
    return odd, batches


class _Packets:
    """The packets of a Due, in columns."""

    def __init__(self, table: LegTable, legs: Ints, due: Due) -> None:
        self._table, self._legs, self._due = table, legs, due
        rings, cells = due.rings, due.cells
        self._sizes, self._arrivals = rings.size[cells].astype(np.int64), rings.arrival[cells]
        self._media = table.steady.rtp_ns(legs, due.rows, rings.media[cells])
        self._starts = first_of_each(due.rows)
        self._lengths, self._joints = _pacing(table, rings, legs[due.rows], cells, self._sizes)

    def fit(self) -> Bools:
        """Which of the legs go on just as they did, in kind and in time, with what their codecs can read; those that have
        nothing due do."""
        steady, due = self._table.steady, self._due
        which = due.rows[self._starts]
        legs = self._legs[which]
        alike = due.rings.kind[due.cells] == steady.kind[self._legs][due.rows]
        alike &= (self._sizes > 0) & (self._lengths > 0)
        near = np.minimum.reduceat(self._arrivals - self._media, self._starts)
        fit = np.ones(len(self._legs), np.bool_)
        fit[which] = np.logical_and.reduceat(alike, self._starts) & quiet(
            steady.anchor[legs], steady.least[legs], steady.last[legs], near
        )
        return fit

    def batch(self, places: Ints, fit: Bools) -> Batch:
        """The stretches of those legs that are fit; `places` are of all."""
        steady, due = self._table.steady, self._due
        rows, cells, sizes, arrivals, media = due.rows, due.cells, self._sizes, self._arrivals, self._media
        starts, lengths, joints = self._starts, self._lengths, self._joints
        if not fit.all():
            kept = fit[rows]
            rows, cells, sizes, arrivals, media, lengths, joints = (
                column[kept] for column in (rows, cells, sizes, arrivals, media, lengths, joints)
            )
            starts = first_of_each(rows)
        lasts = np.append(starts[1:], len(rows)) - 1
        which = rows[starts]
        times = (media + (steady.anchor - steady.zero)[self._legs][rows]) // UNIT_NS
        stops = times + lengths
        firsts = block_starts(starts, np.zeros(len(rows), np.bool_), times, lengths, joints)
        columns = (
            places[which],
            np.minimum.reduceat(times, starts),
            times[lasts],
            np.maximum.reduceat(stops, starts),
            np.minimum.reduceat(times - lengths, starts),
            np.minimum.reduceat(arrivals, starts),
            np.maximum.reduceat(arrivals, starts),
            arrivals[starts],
            arrivals[lasts],
            np.minimum.reduceat(arrivals - media, starts),
            media[lasts] + lengths[lasts] * UNIT_NS,
            np.add.reduceat(lengths, starts),
        )
        return Batch(
            columns=columns,
            legs=places[which],
            passed=due.passed[which],
            packets=lasts + 1 - starts,
            rings=due.rings,
            cells=cells,
            sizes=sizes,
            firsts=firsts,
            places=places[rows[firsts]],
            times=times[firsts],
        )


def _pacing(table: LegTable, rings: Rings, legs: Ints, cells: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """How long packets last and how they join, codec by codec."""
    lengths, joints = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
    for number, mine in by_value(table.steady.codec[legs]):
        codec = table.steady.codecs[number]
        lengths[mine], joints[mine] = pacing(codec, sizes[mine], rings.payload, cells[mine])
    return lengths, joints
