"""What opens a pause by itself, what does not, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.recording.model import Cause
from gateway.redaction.card import SLOW_NS, CardWatch
from gateway.redaction.rules import SECOND, CardRule
from tests.redaction.numbers import CARDS, card, check_digit, digits, keys, telephone

RULE = CardRule()
MS = SECOND // 1000


def opens(text: str, gaps: Iterator[float], rule: CardRule = RULE) -> tuple[int, int] | None:
    """After how many keys of a text a pause opens, and at which key (from 0) what it covers begins."""
    watch, now, times = CardWatch(rule), 0, []
    for count, key in enumerate(keys(text), 1):
        now += int(next(gaps) * SECOND)
        times.append(now)
        began = watch.key(key, now)
        if began is not None:
            return count, times.index(began)
    return None


def every(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def by_hand(random: Random) -> Iterator[float]:
    """As people key what they read: some digits quickly, then a look at the card."""
    while True:
        yield from (random.uniform(0.12, 0.9) for _ in range(random.randint(2, 5)))
        yield random.uniform(0.5, 9.5)


@pytest.mark.parametrize("scheme", CARDS)
def test_a_card_opens_by_its_thirteenth_digit_whatever_was_keyed_before(scheme: str) -> None:
    random = Random(scheme)
    for _ in range(300):
        before = random.choice(("", "1", "3", "12", "9*", digits(random, 5) + "#", telephone(random) + "#"))
        number = card(random, scheme)
        opened = opens(before + number + "#1227#123", by_hand(random))
        assert opened is not None
        count, place = opened
        assert place <= len(before)
        assert count <= len(before) + 13
        assert count - place == 13


def test_every_number_people_key_but_cards_opens_nothing() -> None:
    random = Random(4)
    telephones = partial(telephone, random)
    makers: list[Callable[[], str]] = [
        lambda: digits(random, random.randint(1, 6)),  # menus, extensions, PINs
        lambda: digits(random, 8),  # dates, sort codes with two menus, meter readings
        lambda: digits(random, 10),  # NHS numbers
        lambda: random.choice("0123456789") + telephone(random)[-11:],  # a menu, then a telephone number
        lambda: digits(random, 12),
        lambda: "*".join(digits(random, random.randint(1, 6)) for _ in range(6)),
    ]
    for maker in [telephones] * 5 + makers:
        for _ in range(4000):
            assert opens(maker() + random.choice(("", "#")), every(0.4)) is None


def test_longer_numbers_open_only_from_a_prefix_on() -> None:
    random = Random(5)
    for _ in range(500):
        number = digits(random, 14)
        starts = [place for place in (0, 1) if looks_issued(number[place:])]
        opened = opens(number, every(0.4))
        assert opened == ((13 + starts[0], starts[0]) if starts else None)
    assert opens("1" * 40, every(0.4)) is None
    assert opens("1" * 13, every(0.4), replace(RULE, schemes_only=False)) == (13, 0)


def looks_issued(number: str) -> bool:
    two, four = int(number[:2]), int(number[:4])
    return (
        number[0] == "4" or 50 <= two <= 69 or 2221 <= four <= 2720 or 3528 <= four <= 3589
        or two in (30, 34, 36, 37, 38, 39)
    )  # fmt: skip


def test_a_gap_or_another_key_ends_a_run() -> None:
    assert opens("4" * 16, every(10)) == (13, 0)
    assert opens("4" * 40, every(10.1)) == opens("4", every(1)) is None
    assert opens("444444444444" + "#" + "444444444444", every(0.4)) is None
    assert opens("444444444444" + "A" + "4", every(0.4)) is None


def in_pieces(number: str, rest: float, spaces: tuple[int, ...] = (4, 8, 12)) -> tuple[str, Iterator[float]]:
    """With a rest before some digits."""
    return number, (rest if place in spaces else 0.5 for place in range(100))


@example("mastercard", 634)
@given(st.sampled_from(["visa", "mastercard", "amex", "discover"]), st.integers())
def test_a_number_keyed_slowly_opens_where_its_check_digit_proves_it(scheme: str, seed: int) -> None:
    number = card(Random(seed), scheme)[:16]
    number = number[:-1] + check_digit(number[:-1])
    spaces = (4, 10) if scheme == "amex" else (4, 8, 12)
    assert opens(*in_pieces(number, 25, spaces)) == (len(number), 0)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    for keyed, rests in ((wrong, spaces), (number, (5,))):
        found = opens(*in_pieces(keyed, 25, rests))
        assert found is None or found[1] > 0  # by chance another number begins at a later digit, and is right


def plainly(text: str, times: list[int]) -> tuple[int, int] | None:
    """The rule as it is written down, by one who keeps every digit."""
    for end in range(len(text)):
        for start in range(max(0, end - 18), end + 1):
            number = text[start : end + 1]
            gaps = {at - start for at in range(start + 1, end + 1) if times[at] - times[at - 1] > RULE.gap_ns}
            lengths = lengths_of(number) if number.isdigit() and len(number) >= 13 else set()
            spaces = {4, 8, 12, 16} if max(lengths, default=0) >= 16 else {4, 10}
            proven = len(number) in lengths and gaps <= spaces and check_digit(number[:-1]) == number[-1]
            quick = times[end] - times[start] <= SLOW_NS
            if lengths and quick and (proven or not gaps):
                return end + 1, start
    return None


def lengths_of(number: str) -> set[int]:
    two = int(number[:2])
    found = {16} if looks_issued(number) and two not in (30, 34, 36, 37, 38, 39) else set()
    found |= {15} if two in (34, 37) else {14} if two in (30, 36, 38, 39) else set()
    found |= {18, 19} if two == 50 or 56 <= two <= 69 else set()
    return found | ({17} if two == 62 else set())


@given(
    st.lists(st.one_of(st.sampled_from("0123456789*#"), st.sampled_from(sorted(CARDS))), max_size=12),
    st.integers(),
    st.sampled_from([2.0, 9.0, 11.0, 30.0]),
)
def test_the_rule_that_keeps_no_digits_is_the_rule_as_written(
    parts: list[str], seed: int, rest: float
) -> None:
    random = Random(seed)
    text = "".join(card(random, part)[: random.randint(1, 19)] if part in CARDS else part for part in parts)
    gaps = [rest if random.random() < 0.15 else 0.5 for _ in text]
    times = list(accumulate(int(gap * SECOND) for gap in gaps))
    assert opens(text, iter(gaps)) == plainly(text, times)


def test_the_check_is_the_one_of_card_numbers() -> None:
    assert check_digit("7992739871") == "3"  # the worked example of the formula
    assert opens(*in_pieces("4111111111111111", rest=11)) == (16, 0)  # a test number, known everywhere
    assert opens(*in_pieces("4111111111111111", rest=37)) == (16, 0)
    assert opens(*in_pieces("4111111111111111", rest=39)) is None  # more than two minutes


def opened_at(now: int, rule: CardRule = RULE) -> CardWatch:
    watch = CardWatch(rule)
    for place in range(13):
        watch.key(keys("4")[0], now - (12 - place) * 400 * MS)
    assert watch.open
    return watch


def test_it_ends_when_no_key_came_for_the_quiet_time() -> None:
    watch = opened_at(100 * SECOND)
    assert watch.ends() == (120 * SECOND, Cause.QUIET)
    assert watch.key(keys("#")[0], 115 * SECOND) is None
    assert watch.ends() == (135 * SECOND, Cause.QUIET)
    watch.close()
    assert not watch.open
    assert watch.ends() is None


def test_the_ceiling_waits_for_the_last_key() -> None:
    watch = opened_at(100 * SECOND)
    for now in range(109 * SECOND, 500 * SECOND, 9 * SECOND):
        watch.key(keys("1")[0], now)
        ends = watch.ends()
        assert ends is not None
        assert ends[0] >= now + 10 * SECOND
    assert ends == (now + 10 * SECOND, Cause.CEILING)


def test_a_short_quiet_time_does_not_end_a_run_that_goes_on() -> None:
    watch = opened_at(100 * SECOND, replace(RULE, quiet_ns=SECOND))
    assert watch.ends() == (110 * SECOND, Cause.QUIET)


def test_a_pause_goes_on_with_another_who_listens() -> None:
    watch = CardWatch(RULE)
    watch.reopen(100 * SECOND, 150 * SECOND)
    assert watch.ends() == (170 * SECOND, Cause.QUIET)
    assert watch.key(keys("1")[0], 160 * SECOND) is None
    assert watch.ends() == (180 * SECOND, Cause.QUIET)


def test_after_it_was_closed_the_same_number_opens_nothing_more_a_new_one_does() -> None:
    watch = opened_at(100 * SECOND)
    watch.close()
    assert [watch.key(key, 101 * SECOND) for key in keys("4441227123")] == [None] * 10
    opened = [watch.key(key, 200 * SECOND) for key in keys("4" * 13)]
    assert opened == [None] * 12 + [200 * SECOND]


def test_no_rule_no_pause() -> None:
    assert opens("4" * 30, every(0.4), replace(RULE, active=False)) is None


def test_no_digit_is_kept() -> None:
    """Two runs that agree in form leave the same state, whatever was keyed."""
    left = []
    for text in ("4000100020", "4111011101"):
        watch = CardWatch(RULE)
        for place, key in enumerate(keys(text)):
            watch.key(key, place * SECOND)
        (candidate,) = watch._candidates[:1]
        left.append((candidate.state, candidate.length, candidate.began_ns))
        assert not any(isinstance(value, str) for value in vars(watch).values())
    assert left[0] == left[1]
