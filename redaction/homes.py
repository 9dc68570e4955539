"""Which ring of the hold-back each leg of a worker has, and what has waited there long enough, leg by leg or of many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.redaction.holdback import MARGIN_CELLS, Rings, Shape

Ints = npt.NDArray[np.int64]

SHARE = (
    12  # part of a ring that nearly always holds all that is due: what comes in a slice, and a little more
)


@dataclass(frozen=True, slots=True)
class Due:
    """Packets of many legs whose rings have one shape, leg by leg in the order of their slots."""

    rings: Rings
    legs: Ints  # which of the legs that were asked for
    passed: Ints  # of each of these, the slot after the last that is due
    rows: Ints  # of each packet: which of `legs` it is of
    cells: Ints  # of each packet


class Homes:
    """One row a leg; a leg has no ring until it claims one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._rings: list[Rings] = []
        self._number, self._base = np.zeros(capacity, np.int64), np.zeros(capacity, np.int64)
        self.cells, self.width = (
            np.zeros(capacity, np.int64),
            np.zeros(capacity, np.int64),
        )  # of its ring; or 0

    def claim(self, leg: int, shape: Shape) -> None:
        """Give a leg that has none a ring of a shape, empty."""
        number = next((n for n, rings in enumerate(self._rings) if rings.shape == shape), len(self._rings))
        if number == len(self._rings):
            self._rings.append(Rings(shape, self._capacity))
        self._number[leg], self._base[leg] = number, self._rings[number].claim()
        self.cells[leg], self.width[leg] = shape.cells, shape.width

    def grow(self, leg: int, shape: Shape) -> None:
        """Move a leg to a larger ring, with what waits in it."""
        rings, base = self.rings(leg), int(self._base[leg])
        held = rings.held(base)
        self.claim(leg, shape)
        # What waits lies within as many slots as the old ring has cells; older ones could collide in the new one.
        recent = held[held > held.max(initial=0) - rings.shape.cells]
        rings.move(base, self.rings(leg), int(self._base[leg]), recent)
        rings.release(base)

    def release(self, leg: int) -> None:
        """Take a leg's ring back, wiped."""
        if self.cells[leg]:
            self.rings(leg).release(int(self._base[leg]))
        self.cells[leg] = self.width[leg] = 0

    def wipe(self, leg: int) -> None:
        """Forget what a leg's packets carried, not that they came."""
        if cells := int(self.cells[leg]):
            base = int(self._base[leg])
            self.rings(leg).payload[base : base + cells] = 0

    def rings(self, leg: int) -> Rings:
        """Those that a leg's is one of."""
        return self._rings[int(self._number[leg])]

    def place(self, legs: int | Ints, slots: Ints) -> Ints:
        """The cells of slots, in the rings of their legs, which must have one."""
        cells: Ints = self._base[legs] + slots % self.cells[legs]
        return cells

    def by_shape(self, legs: Ints) -> Iterator[tuple[Rings, npt.NDArray[np.bool_]]]:
        """Rings, and which of some legs, at least one, have one of these; legs without are of none."""
        numbers = np.where(self.cells[legs] > 0, self._number[legs], -1)
        alike = bool((numbers == numbers[0]).all())
        for number in numbers[:1].tolist() if alike else np.unique(numbers).tolist():
            if number >= 0:
                yield self._rings[number], numbers == number

    def due(self, legs: Ints, first: Ints, highest: Ints, straight: Ints, arrived_by: int) -> Iterator[Due]:
        """What has waited since `arrived_by` (ns): of each leg all from a slot on, up to the last that had arrived by then.

        `first` and `highest` are the slots of each leg to begin and to end with; from `straight` on its packets came in
        order.
        """
        asked = np.flatnonzero(highest >= first)
        if not len(asked):
            return
        for rings, alike in self.by_shape(legs[asked]):
            mine = asked[alike]
            in_order = first[mine] >= straight[mine]
            some = (rings.shape.cells - MARGIN_CELLS) // SHARE + 2
            for group, width in ((mine[in_order], some), (mine[~in_order], rings.shape.cells)):
                if len(group):
                    yield from self._window(rings, legs, group, first, highest, arrived_by, width)

    def _window(
        self, rings: Rings, legs: Ints, group: Ints, first: Ints, highest: Ints, arrived_by: int, width: int
    ) -> Iterator[Due]:
        """Look at so many slots of each leg in a group; those that have more to give are looked at again."""
        starts, count = first[group], rings.shape.cells
        whole = min(count, int((highest[group] - starts).max()) + 1)
        width = min(width, whole)
        across = np.arange(width)
        cells = (starts % count)[:, None] + across
        cells -= count * (cells >= count)
        cells += self._base[legs[group]][:, None]
        held = rings.slot[cells] == starts[:, None] + (across + 1)
        aged = held & (rings.arrival[cells] <= arrived_by)
        passed = np.where(aged.any(axis=1), width - np.argmax(aged[:, ::-1], axis=1), 0)
        if width < whole:
            more = ~(held & ~aged).any(axis=1) & (highest[group] >= starts + width)
            if more.any():
                yield from self._window(rings, legs, group[more], first, highest, arrived_by, count)
                passed[more] = 0
        held &= across < passed[:, None]
        rows, columns = np.nonzero(held)
        if len(rows):
            yield Due(rings, group, starts + passed, rows, cells[rows, columns])
