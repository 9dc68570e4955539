from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.redaction.holdback import Shape
from gateway.redaction.homes import Homes

SHAPES = (Shape(128, 96), Shape(448, 176))


@given(
    st.lists(
        st.tuples(st.sampled_from((None, *SHAPES)), st.integers(0, 2000), st.integers(0, 120), st.booleans()),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 130),
    st.integers(0, 1 << 32),
)
def test_what_is_due_of_many_legs_is_what_is_due_of_each(
    found: list[tuple[Shape | None, int, int, bool]], arrived_by: int, seed: int
) -> None:
    random, homes = Random(seed), Homes(len(found))
    first, highest, straight = (np.zeros(len(found), np.int64) for _ in range(3))
    expected: dict[int, tuple[int, list[int]]] = {}
    for leg, (shape, start, count, in_order) in enumerate(found):
        first[leg], highest[leg] = start, start + count - 1
        straight[leg] = start if in_order else start + count
        if shape is None:
            continue
        homes.claim(leg, shape)
        rings, slots = (
            homes.rings(leg),
            np.array([s for s in range(start, start + count) if random.random() < 0.8]),
        )
        if not slots.size:
            continue
        cells = homes.place(leg, slots)
        came = np.sort([random.randrange(150) for _ in slots])
        came = came if in_order else np.array(random.sample(came.tolist(), len(came)))
        rings.slot[cells], rings.arrival[cells] = slots + 1, came
        aged = np.flatnonzero(came <= arrived_by)
        if aged.size:
            expected[leg] = int(slots[aged[-1]]) + 1, cells[: aged[-1] + 1].tolist()
    legs = np.arange(len(found))
    for due in homes.due(legs, first, highest, straight, arrived_by):
        for row, leg in enumerate(due.legs.tolist()):
            if (due.rows == row).any():
                assert due.rings is homes.rings(leg)
                assert (int(due.passed[row]), due.cells[due.rows == row].tolist()) == expected.pop(leg)
    assert not expected
