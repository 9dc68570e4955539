"""Times that can be gone by come out of any times."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.frames import FrameBatch, merged
from gateway.tap.ordering import UNTIDY_NS, Ordering, in_order
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


def sorted_out(*batches: list[int]) -> list[int] | None:
    """The times of all frames, each frame having the one that its octets name; None where their order stays."""
    found = in_order([frames([at * SECOND for at in times]) for times in batches])
    if found is None:
        return None
    named = [
        int(found.octets[at : at + size].tobytes())
        for at, size in zip(found.offsets, found.sizes, strict=True)
    ]
    assert found.arrivals.tolist() == named
    return [at // SECOND for at in named]


def test_captures_behind_each_other_are_one_traffic() -> None:
    assert sorted_out([50, 52], [55, 10, 13], [20]) == [10, 13, 20, 50, 52, 55]
    assert sorted_out([10, 30, 50, 11, 29, 51]) == [10, 11, 29, 30, 50, 51]


def test_a_capture_from_its_end_is_turned_round() -> None:
    assert sorted_out(list(range(90, 40, -1)), list(range(40, 0, -1))) == list(range(1, 91))
    times = [at * SECOND // 50 for at in range(500, 0, -1)]
    found = in_order([frames(times[:200]), frames(times[200:])])
    assert found is not None
    assert found.arrivals.tolist() == times[::-1]
    assert found.numbers.tolist()[-1] == 1


def test_what_lies_in_the_order_of_a_clock_stays() -> None:
    assert sorted_out([]) is None
    assert sorted_out([7]) is None
    assert sorted_out([10, 11], [11, 90]) is None
    assert sorted_out([100, 150, 200, 140, 190, 260]) is None, "a clock that was set back"
    assert sorted_out([10, 11, 4000, 12, 13, 1, 14]) is None, "single wild times"


@given(st.lists(st.lists(st.integers(0, 99), max_size=9), min_size=1, max_size=4))
def test_nothing_is_lost_by_an_order(batches: list[list[int]]) -> None:
    found = in_order([frames([at * SECOND for at in times]) for times in batches])
    if found is not None:
        assert (np.diff(found.arrivals) >= 0).all()
        assert sorted(found.offsets.tolist()) == sorted(set(found.offsets.tolist())), (
            "each once, wherever it is put"
        )
        assert len(found) == sum(map(len, batches))
