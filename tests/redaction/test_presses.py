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


Told = tuple[int, Heard]  # and when, ms


@st.composite
def tellings(draw: st.DrawFn, loss: float) -> tuple[Counter[Digit], list[Told]]:
    """The keys pressed, and what some ways tell of them: each way in order, between ways in none."""
    keyed = draw(
        st.lists(st.tuples(st.integers(0, 11), st.integers(80, 2500), st.integers(40, 400)), max_size=40)
    )
    ways = draw(st.sets(st.sampled_from(sorted(WAYS, key=str)), min_size=1))
    random, at = Random(draw(st.integers())), 1000
    lags = {way: random.randint(*WAYS[way]) for way in ways}
    latest = dict.fromkeys(ways, 0)
    told: list[Told] = []
    for digit, rest, lasts in keyed:
        for way, lag in lags.items():
            start = at + lag + random.randint(-20, 20)
            latest[way] = max(latest[way], start + random.randint(0, 300))
            if random.random() >= loss:
                told.append((latest[way], heard(*way, digit, start, lasts)))
        at += lasts + rest
    return Counter(Digit(digit) for digit, _, _ in keyed), sorted(told, key=lambda pair: pair[0])


def counted(told: list[Told]) -> Counter[Digit]:
    presses = Presses()
    return Counter(found.digit for _, each in told if (found := presses.heard(each)))


@given(tellings(loss=0.0))
def test_presses_are_counted_once_by_all_ways_in_any_order(drawn: tuple[Counter[Digit], list[Told]]) -> None:
    keyed, told = drawn
    assert counted(told) == keyed


@given(tellings(loss=0.3))
def test_what_some_ways_miss_is_never_counted_twice_nor_less_than_any_one_heard(
    drawn: tuple[Counter[Digit], list[Told]],
) -> None:
    keyed, told = drawn
    by_way = {(each.way, each.role) for _, each in told}
    assert counted(told) <= keyed
    for way in by_way:
        assert Counter(each.digit for _, each in told if (each.way, each.role) == way) <= counted(told)


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
