from __future__ import annotations

from collections.abc import Iterable

import pytest

from gateway.recording.overload import CALM, SILENCE_NS, Limits, Overload, Reading

SECOND = 1_000_000_000
LIMITS = Limits(busy=0.8, late_ns=SECOND)
FINE, BUSY, LATE, SO_SO = Reading(0.1, 0), Reading(0.8, 0), Reading(0.1, SECOND), Reading(0.7, 0)


def heard(readings: Iterable[Reading]) -> list[bool]:
    """Whether calls are refused after each reading, one a second."""
    overload = Overload(LIMITS, 0)
    refusing = []
    for second, reading in enumerate(readings, 1):
        overload.hear(reading, second * SECOND)
        refusing.append(bool(overload.reason(second * SECOND)))
    return refusing


@pytest.mark.parametrize("trouble", [BUSY, LATE])
def test_two_bad_seconds_refuse_and_five_good_ones_end_it(trouble: Reading) -> None:
    assert heard([trouble, trouble]) == [False, True]
    assert heard([trouble, trouble, *[FINE] * CALM]) == [False, *[True] * CALM, False]


def test_a_hiccup_refuses_nobody() -> None:
    assert not any(heard([FINE, LATE, FINE, BUSY, FINE, LATE, FINE]))


def test_just_below_the_limit_neither_begins_nor_ends_it() -> None:
    assert not any(heard([SO_SO] * 20))
    assert heard([BUSY, BUSY, *[SO_SO] * 20])[-1]


def test_relapse_begins_the_calm_anew() -> None:
    assert heard([BUSY, BUSY, *[FINE] * (CALM - 1), BUSY, *[FINE] * (CALM - 1)])[-1]


def test_a_silent_worker_gets_no_calls() -> None:
    overload = Overload(LIMITS, 0)
    assert overload.reason(SILENCE_NS) == ""
    assert "said nothing for 6 s" in overload.reason(SILENCE_NS + SECOND)
    overload.hear(FINE, SILENCE_NS + SECOND)
    assert overload.reason(SILENCE_NS + SECOND) == ""


def test_the_reason_says_what_was_found() -> None:
    overload = Overload(LIMITS, 0)
    for _ in range(2):
        overload.hear(Reading(0.93, 0), 0)
    assert overload.reason(0) == "the media worker was busy 93% of its time"
