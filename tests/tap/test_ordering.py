"""Times that can be gone by come out of any times."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.frames import FrameBatch, merged
from gateway.tap.ordering import UNTIDY_NS, Ordering
from gateway.tap.records import LATEST_NS
from tests.tap.building import batch

SECOND = 1_000_000_000


def frames(times: list[int], first: int = 1) -> FrameBatch:
    return batch([b"%d" % time for time in times], arrivals=times, first=first)


def ordered(*batches: list[int]) -> list[int]:
    ordering = Ordering()
    return [int(at) for times in batches for at in ordering.feed(frames(times)).arrivals]


def test_good_times_stay() -> None:
    times = [5 * SECOND, 5 * SECOND + 7, 900 * SECOND]
    assert ordered(times, [901 * SECOND]) == [*times, 901 * SECOND]


def test_what_is_a_little_untidy_is_put_in_order() -> None:
    found = Ordering().feed(frames([10, 30, 20, 40]))
    assert found.arrivals.tolist() == [10, 20, 30, 40]
    assert found.numbers.tolist() == [1, 3, 2, 4]


def test_one_wild_time_is_put_right() -> None:
    assert ordered([SECOND, 4000 * SECOND, SECOND + 5]) == [SECOND, SECOND + 5, SECOND + 5]
    assert ordered([9 * SECOND, 0, 9 * SECOND + 5]) == [9 * SECOND, 9 * SECOND, 9 * SECOND + 5]


def test_a_clock_that_was_set_back_goes_on() -> None:
    before, after = [100 * SECOND, 101 * SECOND], [40 * SECOND, 41 * SECOND, 45 * SECOND]
    expected = [100 * SECOND, 101 * SECOND, 101 * SECOND, 102 * SECOND, 106 * SECOND]
    assert ordered(before, after) == expected
    assert ordered(before + after) == expected


@given(st.lists(st.lists(st.integers(0, LATEST_NS), max_size=9), max_size=4))
def test_times_never_go_back_by_more_than_a_second(batches: list[list[int]]) -> None:
    times = np.array(ordered(*batches), np.int64)
    assert len(times) == sum(map(len, batches))
    assert (times >= np.maximum.accumulate(times) - UNTIDY_NS).all() if len(times) else True
    assert ((times >= 0) & (times <= LATEST_NS)).all()


def test_several_captures_become_one() -> None:
    one, other = frames([10, 30, 50]), frames([20, 30, 60])
    found = merged([one, other])
    assert found.arrivals.tolist() == [10, 20, 30, 30, 50, 60]
    assert [bytes(found.octets[at : at + size]) for at, size in zip(found.offsets, found.sizes, strict=True)] == [
        b"10", b"20", b"30", b"30", b"50", b"60",
    ]  # fmt: skip
    assert merged([one]) is one
