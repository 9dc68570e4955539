"""Keys pressed together: once, in any order, and only together."""

from __future__ import annotations

import itertools

from gateway.hotkey.chord import STUCK_SECONDS, Chord

KEYS = frozenset({"ctrl", "alt", "p"})


def test_any_order_fires_with_the_last_key() -> None:
    for order in itertools.permutations(KEYS):
        chord = Chord(KEYS)
        assert [chord.press(key, 1.0) for key in order] == [False, False, True]


def test_repeats_of_a_held_key_do_nothing() -> None:
    for releases in (False, True):  # some systems repeat presses, others releases and presses
        chord = Chord(KEYS)
        for key in ("ctrl", "alt", "p"):
            chord.press(key, 1.0)
        for repeat in range(20):
            now = 1.5 + repeat / 30
            if releases:
                chord.release("p", now)
            assert not chord.press("p", now + 0.001)


def test_a_second_press_is_one() -> None:
    chord = Chord(KEYS)
    for key in ("ctrl", "alt", "p"):
        chord.press(key, 1.0)
    chord.release("p", 1.1)
    assert chord.press("p", 1.3)


def test_part_of_it_and_other_keys_are_nothing() -> None:
    chord = Chord(KEYS)
    assert not chord.press("ctrl", 1.0)
    chord.release("ctrl", 1.1)
    assert not any(chord.press(key, 1.2) for key in ("alt", "p", "o"))


def test_a_release_that_was_missed_does_not_arm_the_chord_for_ever() -> None:
    chord = Chord(KEYS)
    chord.press("ctrl", 1.0)
    chord.press("alt", 1.0)
    assert not chord.press("p", 1.0 + STUCK_SECONDS)
