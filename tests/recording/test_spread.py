from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.overload import SILENCE_NS, Limits, Reading
from gateway.recording.spread import Spread, calls_each, worker_count

SECOND = 1_000_000_000
LIMITS = Limits(busy=0.8, late_ns=SECOND)
FINE, BUSY, LATE = Reading(0.1, 0), Reading(0.9, 0), Reading(0.1, 2 * SECOND)


def spread(workers: int, calls: int = 1000) -> Spread:
    return Spread(LIMITS, workers, calls, 0)


def troubled(which: Spread, worker: int, reading: Reading) -> None:
    for _ in range(2):
        which.hear(worker, reading, 0)


def test_a_core_is_left_for_the_control_process() -> None:
    assert [worker_count(0, cores) for cores in (1, 2, 3, 64)] == [1, 1, 2, 63]
    assert worker_count(5, 2) == 5


def test_one_worker_has_room_for_all_and_two_for_all_each() -> None:
    assert [calls_each(1000, workers) for workers in (1, 2, 3, 4, 2000)] == [1000, 1000, 668, 500, 2]


@given(st.integers(1, 12), st.integers(1, 200))
def test_calls_are_dealt_evenly(workers: int, calls: int) -> None:
    workers_of = spread(workers, calls)
    taken = [0] * workers
    for _ in range(calls):
        taken[workers_of.choose(taken, 0)] += 1
    assert max(taken) - min(taken) <= 1


def test_one_that_is_clearly_busier_is_spared() -> None:
    both = spread(2)
    both.hear(0, Reading(0.3, 0), 0)
    both.hear(1, Reading(0.25, 0), 0)
    assert both.choose([5, 6], 0) == 0
    both.hear(0, Reading(0.4, 0), 0)
    assert both.choose([5, 6], 0) == 1


def test_none_is_refused_while_one_can_take_it() -> None:
    both = spread(2)
    troubled(both, 0, BUSY)
    assert both.reason([5, 5], 0) == ""
    assert both.choose([0, 9], 0) == 1
    troubled(both, 1, LATE)
    assert both.reason([5, 5], 0) == (
        "the media worker was busy 90% of its time; the media worker was 2.0 s late"
    )
    assert both.reason([5, 5], SILENCE_NS + SECOND) == "the media worker has said nothing for 6 s"


def test_one_that_is_being_replaced_is_given_nothing_that_another_can_take() -> None:
    both = spread(2)
    both.lost(0)
    assert Counter(both.choose([0, taken], 0) for taken in range(9)) == {1: 9}
    troubled(both, 1, BUSY)
    assert both.reason([0, 9], 0) == ""
    assert both.choose([0, 9], 0) == 0
    both.begun(0, 0)
    both.hear(1, FINE, 0)
    assert both.choose([0, 9], 0) == 0


@given(st.integers(1, 6), st.integers(1, 60), st.data())
def test_no_worker_is_ever_given_more_than_it_has_room_for(
    workers: int, calls: int, data: st.DataObject
) -> None:
    workers_of = spread(workers, calls)
    for worker in data.draw(st.sets(st.integers(0, workers - 1))):
        troubled(workers_of, worker, BUSY)
    for worker in data.draw(st.sets(st.integers(0, workers - 1))):
        workers_of.lost(worker)
    taken = [0] * workers
    for _ in range(calls):
        taken[workers_of.choose(taken, 0)] += 1
    assert max(taken) <= calls_each(calls, workers)


def test_one_that_is_full_takes_nothing() -> None:
    three = spread(3, 6)
    troubled(three, 1, BUSY)
    troubled(three, 2, BUSY)
    assert three.reason([3, 0, 0], 0) == ""
    assert three.reason([4, 0, 0], 0) == "the media worker was busy 90% of its time"
    assert three.choose([4, 1, 0], 0) == 2
