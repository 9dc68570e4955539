"""The hold-back: audio waits here, in memory only, until it may be written.

Each leg has a ring of cells addressed by the packet's slot number (its sequence number, extended).
Reordering needs no work, a duplicate finds its cell taken, a loss leaves its cell empty. Rings of one
shape share arrays, so that a whole batch is put away by a few array operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Octets of payload a cell takes: just those of G.711 of 10, 20, 30, 40 and 60 ms, for most of a call is this; then up
# to what an Ethernet frame carries.
WIDTHS = (80, 160, 240, 320, 480, 992, 1504)
STEP_CELLS = 32  # sizes of rings are multiples, so that few shapes serve all
OCTETS_BESIDE = 3 * 8 + 2 + 1  # of a cell, besides the payload
MARGIN_CELLS = 48  # packets a ring takes beyond its span, for bursts and restarted streams


@dataclass(frozen=True, slots=True)
class Shape:
    """Form of a ring: how many cells and how wide each."""

    cells: int
    width: int

    @classmethod
    def fitting(cls, payload: int, packet_ns: int, span_ns: int) -> Shape:
        """The least shape for payloads of some octets, one every `packet_ns`, kept for `span_ns`."""
        width = next((w for w in WIDTHS if w >= payload), WIDTHS[-1])
        count = -(-span_ns // max(packet_ns, 5_000_000)) + MARGIN_CELLS
        return cls(-(-count // STEP_CELLS) * STEP_CELLS, width)


class Rings:
    """All rings of one shape. Columns are flat: cell `base + slot % cells` belongs to slot `slot`.

    `slot` is the slot number + 1, or 0 where a cell is empty; `media` the RTP time, extended; `arrival` ns.
    """

    def __init__(self, shape: Shape, legs: int) -> None:
        count = shape.cells * legs
        self.shape = shape
        # One array for all, zeroed by the system: so large a one has pages of its own, and those that no packet has
        # touched yet cost no memory.
        memory = np.zeros(count * (shape.width + OCTETS_BESIDE), np.uint8)
        columns = np.split(memory, [8 * count, 16 * count, 24 * count, 26 * count, 27 * count])
        self.slot, self.media, self.arrival = (column.view(np.int64) for column in columns[:3])
        self.size, self.kind = columns[3].view(np.uint16), columns[4]
        self.payload = columns[5].reshape(count, shape.width)
        self._free = [number * shape.cells for number in reversed(range(legs))]

    def claim(self) -> int:
        """The base of a ring nobody uses, all cells empty."""
        return self._free.pop()

    def release(self, base: int) -> None:
        """Give a ring back, wiped."""
        cells = slice(base, base + self.shape.cells)
        self.payload[cells] = 0
        self.slot[cells] = 0
        self._free.append(base)

    def holds(self, cells: Ints, slots: Ints) -> npt.NDArray[np.bool_]:
        """For each pair: is this slot's packet in this cell?"""
        held: npt.NDArray[np.bool_] = self.slot[cells] == slots + 1
        return held

    def held(self, base: int) -> Ints:
        """The slots whose packets a ring holds, in no order."""
        slots: Ints = self.slot[base : base + self.shape.cells]
        return slots[slots > 0] - 1

    def store(self, cells: Ints, slots: npt.NDArray[np.uint8], rows: Ints, offset: int, size: int) -> None:
        """Payloads of up to some octets, from an offset on in datagrams that are rows of `slots`, into cells."""
        stop = offset + min(size, self.shape.width)
        whole = slots[int(rows[0]) : int(rows[-1]) + 1, offset:stop]
        # A run of rows needs no copy of its own.
        in_a_row = len(whole) == len(rows) and (rows[1:] > rows[:-1]).all()
        self.payload[cells, : whole.shape[1]] = whole if in_a_row else slots[rows, offset:stop]

    def gather(self, cells: Ints, offsets: Ints, sizes: Ints) -> bytes:
        """Some octets of the payloads of at least one cell, from an offset on each, one after the other."""
        size = int(sizes[0])
        if (sizes == size).all() and not offsets.any():
            return self.payload[cells, :size].tobytes()
        wide, at = self.payload[cells], np.arange(self.shape.width)
        return wide[(at >= offsets[:, None]) & (at < (offsets + sizes)[:, None])].tobytes()

    def move(self, base: int, target: Rings, target_base: int, slots: Ints) -> None:
        """Copy the packets of some slots to a ring of another shape that is at least as wide."""
        source = base + slots % self.shape.cells
        held = self.holds(source, slots)
        source, cells = source[held], target_base + slots[held] % target.shape.cells
        target.payload[cells, : self.shape.width] = self.payload[source]
        for mine, theirs in (
            (self.slot, target.slot),
            (self.media, target.media),
            (self.arrival, target.arrival),
        ):
            theirs[cells] = mine[source]
        target.size[cells] = self.size[source]
        target.kind[cells] = self.kind[source]
