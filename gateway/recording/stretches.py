"""What is due of many steady legs at once: packets that have waited become blocks, by array operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from gateway.recording.model import UNIT_NS
from gateway.recording.pieces import block_starts, by_kind, pacing
from gateway.redaction.holdback import Rings
from gateway.rtp.clock import quiet
from gateway.rtp.packets import Bools, Ints
from gateway.rtp.sequence import Due, LegTable
from gateway.rtp.steady import NS_PER_SECOND, first_of_each


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

    stretches: list[Stretch]
    legs: Ints  # places of the stretches' legs
    passed: Ints  # of each stretch, the slot after its last
    packets: Ints  # in each stretch
    rings: Rings
    places: Ints  # of each packet's leg
    cells: Ints  # of each packet
    sizes: Ints  # of each packet, octets
    blocks: Ints  # first packet of each block
    times: Ints  # of each block, call units

    def payloads(self, chosen: Bools) -> tuple[Ints, Ints, list[bytes]]:
        """Place, call time and payload of each block of the legs chosen, a mask over all places."""
        places, times = self.places[self.blocks], self.times
        sizes = np.add.reduceat(self.sizes, self.blocks)
        packets, blocks = chosen[self.places], chosen[places]
        if not blocks.all():
            places, times, sizes = places[blocks], times[blocks], sizes[blocks]
        cells, lengths = (
            (self.cells, self.sizes) if packets.all() else (self.cells[packets], self.sizes[packets])
        )
        octets = self.rings.gather(cells, np.zeros_like(cells), lengths) if len(cells) else b""
        ends = np.cumsum(sizes)
        begins = ends - sizes
        cut = [octets[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]
        return places, times, cut


def stretches(table: LegTable, legs: Ints, arrived_by: int) -> tuple[Bools, list[Batch]]:
    """What is due of some legs; with it, which of them must be looked at by themselves."""
    steady = table.steady
    waiting = table.highest[legs] >= table.committed[legs]
    odd = waiting & ~steady.is_so[legs]
    asked = np.flatnonzero(waiting & ~odd)
    batches = []
    for due in table.due(legs[asked], table.committed[legs[asked]], arrived_by):
        places = asked[due.legs]
        fit = _fit(table, legs[places], due)
        odd[places[~fit]] = True
        if fit[due.rows].any():
            batches.append(_batch(table, legs, places, due, fit))
    return odd, batches


def _fit(table: LegTable, legs: Ints, due: Due) -> Bools:
    """Which of the legs of a Due go on just as they did, in kind and in time; legs that have nothing due do."""
    steady, rings = table.steady, due.rings
    starts = first_of_each(due.rows)
    which = due.rows[starts]
    of = legs[due.rows]
    alike = (rings.kind[due.cells] == steady.kind[of]) & (rings.size[due.cells] > 0)
    delays = rings.arrival[due.cells] - rings.media[due.cells] * NS_PER_SECOND // steady.rate[of]
    mine = legs[which]
    near = np.minimum.reduceat(delays, starts)
    fit = np.ones(len(legs), np.bool_)
    fit[which] = np.logical_and.reduceat(alike, starts) & quiet(
        steady.anchor[mine], steady.least[mine], steady.most[mine], near
    )
    return fit


def _batch(table: LegTable, legs: Ints, places: Ints, due: Due, fit: Bools) -> Batch:
    steady, rings = table.steady, due.rings
    rows, cells = due.rows, due.cells
    if not fit.all():
        kept = fit[rows]
        rows, cells = rows[kept], cells[kept]
    starts = first_of_each(rows)
    of = legs[places][rows]
    sizes, arrivals = rings.size[cells].astype(np.int64), rings.arrival[cells]
    media = rings.media[cells] * NS_PER_SECOND // steady.rate[of]
    lengths, joints = _pacing(table, rings, of, cells, sizes)
    times = (media + steady.anchor[of] - steady.zero[of]) // UNIT_NS
    blocks = block_starts(starts, np.zeros(len(rows), np.bool_), times, lengths, joints)
    which = rows[starts]
    lasts = np.append(starts[1:], len(rows)) - 1
    columns = (
        places[which],
        np.minimum.reduceat(times, starts),
        times[lasts],
        np.maximum.reduceat(times + lengths, starts),
        np.minimum.reduceat(times - lengths, starts),
        np.minimum.reduceat(arrivals, starts),
        np.maximum.reduceat(arrivals, starts),
        arrivals[starts],
        arrivals[lasts],
        np.minimum.reduceat(arrivals - media, starts),
        media[lasts] + lengths[lasts] * UNIT_NS,
        np.add.reduceat(lengths, starts),
    )
    found = list(map(Stretch._make, zip(*(column.tolist() for column in columns), strict=True)))
    return Batch(
        stretches=found,
        legs=places[which],
        passed=due.passed[which],
        packets=lasts + 1 - starts,
        rings=rings,
        places=places[rows],
        cells=cells,
        sizes=sizes,
        blocks=blocks,
        times=times[blocks],
    )


def _pacing(table: LegTable, rings: Rings, legs: Ints, cells: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """How long packets last and how they join, codec by codec."""
    lengths, joints = np.empty(len(cells), np.int64), np.empty(len(cells), np.int64)
    for number, mine in by_kind(table.steady.codec[legs]):
        codec = table.steady.codecs[number]
        lengths[mine], joints[mine] = pacing(codec, sizes[mine], rings.payload, cells[mine])
    return lengths, joints
