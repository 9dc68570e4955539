"""When more of the calls are paused than usual."""

from __future__ import annotations

import pytest

from gateway.recording.usual import BUCKET_NS, LEAST_CALLS, PauseShare, Unusual

HOUR = 6 * BUCKET_NS


def filled(calls: int, paused: int, hours: int = 1) -> PauseShare:
    """So many calls of each hour, of which so many were paused."""
    share = PauseShare()
    for hour in range(hours):
        for number in range(calls):
            share.began(hour * HOUR + number)
            if number < paused:
                share.paused(hour * HOUR + number)
    return share


def busy(share: PauseShare, at: int, calls: int, paused: int) -> Unusual | None:
    """What is told after some calls more."""
    for number in range(calls):
        share.began(at)
        if number < paused:
            share.paused(at)
    return share.look(at)


@pytest.mark.parametrize(
    ("paused", "told"), [(9, None), (20, None), (21, Unusual(0.21, 0.1)), (100, Unusual(1.0, 0.1))]
)
def test_twice_the_usual_share_is_unusual(paused: int, told: Unusual | None) -> None:
    assert busy(filled(100, 10), 2 * HOUR, 100, paused) == told


def test_it_is_told_once_until_it_has_been_as_usual() -> None:
    share = filled(100, 10)
    assert busy(share, 2 * HOUR, 100, 30)
    assert busy(share, 2 * HOUR + BUCKET_NS, 1, 1) is None
    assert busy(share, 4 * HOUR, 100, 10) is None
    assert busy(share, 6 * HOUR, 100, 60)


def test_without_a_day_before_nothing_is_known() -> None:
    assert busy(PauseShare(), 0, 100, 100) is None
    assert busy(filled(LEAST_CALLS - 1, 0), 2 * HOUR, 100, 100) is None


def test_a_day_is_remembered_and_no_more() -> None:
    share = filled(100, 100, hours=2)
    assert busy(share, 20 * HOUR, 100, 100) is None
    assert len(filled(1, 1, hours=60)._buckets) <= 150
