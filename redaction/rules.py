"""When pauses begin and end by themselves, and which keys do what: a value, made from the settings.

Times are ns.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CardRule:
    """What a run of digits must be to look like the entry of a card."""

    active: bool = True
    least_digits: int = 13  # the shortest card numbers; telephone numbers with their country are 12
    schemes_only: bool = True  # a run counts from where a card scheme's prefix begins
    gap_ns: int = 10 * SECOND  # between two digits of one run
    quiet_ns: int = 20 * SECOND  # after the last digit, then the pause ends
    ceiling_ns: int = 300 * SECOND
    agent_may_resume: bool = True


@dataclass(frozen=True, slots=True)
class PauseRule:
    """An agent's pause."""

    ceiling_ns: int = 600 * SECOND  # 0: it never ends by itself
    warn_ns: int = 30 * SECOND  # before a pause ends by itself
    extend_ns: int = 300 * SECOND  # by how much an agent may put that off, at a time
    forgotten_ns: int = 180 * SECOND  # from then on a pause is told of as forgotten


@dataclass(frozen=True, slots=True)
class FeatureCodes:
    """What an agent keys, in the characters of a keypad; empty: none."""

    pause: str = "*7"
    resume: str = "*8"
    opt_out: str = "*9"


@dataclass(frozen=True, slots=True)
class Rules:
    look_back_ns: int = 3 * SECOND
    inband: str = "always"  # always, without_events, never: where tones in the audio are looked for
    guard_ns: int = 40_000_000  # masked before and after each tone
    discard: bool = False  # what an opt-out by feature code does with what came before
    card: CardRule = CardRule()
    pause: PauseRule = PauseRule()
    codes: FeatureCodes = FeatureCodes()
