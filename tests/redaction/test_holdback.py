from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redaction.holdback import MARGIN_CELLS, STEP_CELLS, WIDTHS, Rings, Shape

SECOND = 1_000_000_000


@given(st.integers(0, 4000), st.integers(0, SECOND), st.integers(SECOND, 60 * SECOND))
def test_a_fitting_shape_holds_its_span(payload: int, packet_ns: int, span_ns: int) -> None:
    shape = Shape.fitting(payload, packet_ns, span_ns)
    assert shape.width >= min(payload, WIDTHS[-1])
    assert (shape.cells - MARGIN_CELLS) * max(packet_ns, 5_000_000) >= span_ns
    assert shape.cells % STEP_CELLS == 0


def fill(rings: Rings, base: int, slots: np.typing.NDArray[np.int64]) -> None:
    cells = base + slots % rings.shape.cells
    rings.slot[cells] = slots + 1
    rings.media[cells], rings.arrival[cells] = slots * 160, slots * 7
    rings.size[cells], rings.kind[cells] = rings.shape.width, 3
    rings.payload[cells] = slots[:, None] % 251 + 1


def test_a_released_ring_is_wiped_and_others_are_not() -> None:
    rings = Rings(Shape(64, 96), 3)
    mine, other = rings.claim(), rings.claim()
    slots = np.arange(100, 164)
    fill(rings, mine, slots)
    fill(rings, other, slots)
    rings.release(mine)
    assert not rings.payload[mine : mine + 64].any()
    assert not rings.slot[mine : mine + 64].any()
    assert rings.holds(other + slots % 64, slots).all()
    assert rings.claim() == mine


def test_no_two_legs_share_a_ring() -> None:
    rings = Rings(Shape(64, 96), 4)
    bases = [rings.claim() for _ in range(4)]
    assert sorted(bases) == [0, 64, 128, 192]
    with pytest.raises(IndexError):
        rings.claim()


@given(st.integers(0, 10_000), st.integers(1, 64), st.sampled_from([96, 176]))
def test_moving_keeps_each_packet(first: int, count: int, width: int) -> None:
    small, large = Rings(Shape(64, 96), 2), Rings(Shape(256, width), 2)
    small.claim()
    large.claim()
    base, target = small.claim(), large.claim()
    held = np.arange(first, first + count)[::2]
    fill(small, base, held)
    small.move(base, large, target, np.arange(first, first + count))
    cells = target + held % 256
    assert large.holds(cells, held).all()
    assert np.count_nonzero(large.slot) == len(held)
    assert large.media[cells].tolist() == (held * 160).tolist()
    assert large.arrival[cells].tolist() == (held * 7).tolist()
    assert (large.payload[cells, :96] == held[:, None] % 251 + 1).all()
    assert set(large.size[cells].tolist()) == {96}
    assert set(large.kind[cells].tolist()) == {3}
