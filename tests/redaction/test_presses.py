"""A press is counted once, in whatever ways and order it is told of."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.model import Role
from gateway.redaction.digit import Digit
from gateway.redaction.presses import FORGET_NS, MAX_PRESSES, Heard, Presses

MS = 1_000_000
CALLER, AGENT = Role.EXTERNAL, Role.AGENT
# By which ways presses come, how much later each tells at least and at most, ms.
WAYS = {
    ("rfc4733", CALLER): (0, 100),
    ("rfc4733", AGENT): (0, 300),
    ("inband", CALLER): (0, 150),
    ("inband", AGENT): (20, 700),
    ("info", None): (0, 2000),
}


def heard(way: str, role: Role | None, digit: int, at: int, lasts: int = 100) -> Heard:
    return Heard(way, role, Digit(digit), at * MS, (at + lasts) * MS)


@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(80, 2500), st.integers(40, 400)), max_size=40),
    st.sets(st.sampled_from(sorted(WAYS, key=str)), min_size=1),
    st.integers(),
)
def test_presses_are_counted_once_by_all_ways_in_any_order(
    keyed: list[tuple[int, int, int]], ways: set[tuple[str, Role | None]], seed: int
) -> None:
    random, at = Random(seed), 1000
    told: list[tuple[int, Heard]] = []
    lags = {way: random.randint(*WAYS[way]) for way in ways}
    latest = dict.fromkeys(ways, 0)  # each way tells in order; between ways there is none
    for digit, rest, lasts in keyed:
        for way, lag in lags.items():
            start = at + lag + random.randint(-20, 20)
            latest[way] = max(latest[way], start + random.randint(0, 300))
            told.append((latest[way], heard(*way, digit, start, lasts)))
        at += lasts + rest
    told.sort(key=lambda pair: pair[0])
    presses = Presses()
    counted = Counter(found.digit for _, each in told if (found := presses.heard(each)))
    assert counted == Counter(Digit(digit) for digit, _, _ in keyed)


def test_one_key_pressed_twice_is_two_presses() -> None:
    presses = Presses()
    assert all(presses.heard(heard("rfc4733", CALLER, 4, at)) for at in (0, 160, 320))
    assert not any(presses.heard(heard("inband", AGENT, 4, at)) for at in (90, 250, 410))
    assert presses.heard(heard("inband", AGENT, 4, 570))


def test_other_digits_and_other_times_are_other_presses() -> None:
    presses = Presses()
    assert presses.heard(heard("rfc4733", CALLER, 4, 0))
    assert presses.heard(heard("inband", CALLER, 5, 0))
    assert presses.heard(heard("inband", AGENT, 4, 1200))
    assert presses.heard(heard("info", None, 4, 3900))


def test_info_may_come_first_or_when_the_key_is_released() -> None:
    for start in (900, 3000):
        presses = Presses()
        assert presses.heard(heard("info", None, 4, 1000, 250))
        assert not presses.heard(heard("inband", CALLER, 4, start))
    presses = Presses()
    assert presses.heard(heard("rfc4733", CALLER, 4, 0, 6000))
    assert not presses.heard(heard("info", None, 4, 6100, 0))


def test_digits_are_forgotten() -> None:
    presses = Presses()
    for at in range(0, 100_000, 10):
        presses.heard(heard("rfc4733", CALLER, at % 12, at, 5))
        assert len(presses._presses) <= MAX_PRESSES
    presses.forget(100_000 * MS + FORGET_NS)
    assert presses._presses == []
    assert "4" not in repr(heard("info", None, 4, 1000)).replace("rfc4733", "")
