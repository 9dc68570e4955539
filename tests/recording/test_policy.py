"""Who is recorded, and how it is told that somebody is not."""

from __future__ import annotations

import re

import pytest

from gateway.recording.messages import OpenRedaction
from gateway.recording.model import Cause, Cut, Participant, Personal, Redaction, Role, Wish
from gateway.recording.policy import Ground, Unrecorded, decide, unrecorded, wish_of, with_cuts

BOTH = (Role.EXTERNAL, Role.AGENT)
CALLER = Participant(Role.EXTERNAL, Personal("+441632960123"))
AGENT = Participant(Role.AGENT, Personal("1901"), extension=Personal("1901"))
OTHER = Participant(Role.AGENT, Personal("1001"), extension=Personal("1001"))
NEVER = [re.compile(r"19\d\d")]


def nobody(number: Personal) -> None:
    """A list with no number."""


def caller(number: Personal) -> str | None:
    return "distress" if number == CALLER.number else None


def test_parties_and_lists() -> None:
    assert decide((CALLER, OTHER), NEVER, nobody) is None
    assert decide((CALLER, AGENT), NEVER, nobody) == Unrecorded(Ground.EXTENSION)
    assert decide((CALLER, OTHER), NEVER, caller) == Unrecorded(Ground.NUMBER, "distress")
    assert decide((), NEVER, caller) is None


def test_the_clients_wish_comes_first_and_overrules_no_list() -> None:
    assert decide((CALLER, AGENT), NEVER, caller, Wish.OFF) == Unrecorded(Ground.HEADER)
    assert decide((CALLER, OTHER), [], nobody, recordpref=Wish.OFF) == Unrecorded(Ground.RECORDPREF)
    assert decide((CALLER, OTHER), [], nobody, Wish.ON, Wish.OFF) == Unrecorded(Ground.RECORDPREF)
    assert decide((CALLER, AGENT), NEVER, nobody, Wish.ON, Wish.ON) == Unrecorded(Ground.EXTENSION)


@pytest.mark.parametrize(
    ("preferences", "wish"),
    [
        (("off", "off"), Wish.OFF),
        (("off", None), None),
        (("on", "pause"), Wish.ON),
        (("pause", "pause"), None),
        (("nopreference", "nopreference"), None),
        ((None, None), None),
        ((), None),
    ],
)
def test_what_the_lines_of_an_offer_ask_together(
    preferences: tuple[str | None, ...], wish: Wish | None
) -> None:
    assert wish_of(preferences) is wish


def never(start: int, end: int, reason: str, end_cause: str = "never_record") -> Redaction:
    return Redaction(start, end, BOTH, Cause.NEVER_RECORD, None, reason, end_cause)


def test_from_the_start_the_ground_is_the_whole_sentence() -> None:
    now = OpenRedaction(Cause.NEVER_RECORD, (), 0, reason="number: distress")
    told = ["the number is on the never-record list: distress"]
    assert unrecorded([], now, 0) == told
    assert unrecorded([never(0, 80_000, "number: distress", "ended")], now, 0) == told


def test_of_a_stretch_is_told_when_it_was() -> None:
    assert unrecorded([never(8_000, 20_000, "extension")], None, 0) == [
        "not recorded from 1.0 s to 2.5 s: the extension is never recorded"
    ]
    now = OpenRedaction(Cause.NEVER_RECORD, (), 0, reason="extension", start=24_000)
    assert unrecorded(
        [never(8_000, 20_000, "extension"), never(24_000, 32_000, "extension", "")], now, 0
    ) == [
        "not recorded from 1.0 s to 2.5 s: the extension is never recorded",
        "not recorded from 3.0 s on: the extension is never recorded",
    ]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("", "by the agent"),
        ("distress", "by the agent: distress"),
        ("recordpref", ": the recording client asked by recordpref that nothing be recorded"),
    ],
)
def test_an_opt_out_is_told_with_the_moment_it_was_asked_for(reason: str, told: str) -> None:
    now = OpenRedaction(Cause.OPT_OUT, (), 93_200_000_000, "t1", reason, start=80_200 * 8)
    (sentence,) = unrecorded(
        [Redaction(80_200 * 8, 90_000 * 8, BOTH, "opt_out", "t1", reason)], now, 10_000_000_000
    )
    assert sentence == f"opted out at 83.2 s{'' if told.startswith(':') else ' '}{told}"


def test_nothing_else_is_told() -> None:
    assert unrecorded([Redaction(0, 8, BOTH, "agent"), Redaction(9, 10, BOTH, "dtmf")], None, 0) == []


def test_what_is_to_be_cut_counts_as_redacted() -> None:
    cut = Cut(100, 200, (Role.AGENT,), "agent", 0)
    wide, other = Redaction(0, 300, BOTH, "agent"), Redaction(150, 300, BOTH, "agent")
    assert with_cuts([wide], [cut]) == (wide,)
    assert with_cuts([other], [cut]) == (other, Redaction(100, 200, (Role.AGENT,), "agent"))
