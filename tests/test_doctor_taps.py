"""What the doctor makes of what was seen at taps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from gateway.doctor import Level
from gateway.doctor_taps import examine_taps
from gateway.io.listening_in import Seen

GOOD = Seen("tap", "eth1", frames=1000, requests=3, responses=3, streams=2, paired=2)


def levels(seen: Seen) -> dict[str, Level]:
    return {finding.check: finding.level for finding in examine_taps([seen], 15.0)}


def test_a_tap_that_hears_both_sides_of_calls_is_well() -> None:
    assert set(levels(GOOD).values()) == {Level.OK}


@pytest.mark.parametrize(
    ("seen", "check", "level"),
    [
        (replace(GOOD, fault="this machine has no such interface"), "tap tap, eth1", Level.FAULT),
        (replace(GOOD, frames=0), "tap tap, eth1", Level.FAULT),
        (replace(GOOD, requests=0, responses=0), "SIP", Level.FAULT),
        (replace(GOOD, responses=0), "SIP", Level.FAULT),
        (replace(GOOD, requests=0, unfollowed=Counter(sip_tls=1)), "SIP", Level.FAULT),
        (replace(GOOD, unfollowed=Counter(sip_tls=1)), "SIP", Level.WARNING),
        (replace(GOOD, paired=0), "both directions", Level.FAULT),
        (replace(GOOD, streams=0, paired=0), "both directions", Level.WARNING),
        (replace(GOOD, dropped=1), "dropped frames", Level.FAULT),
        (replace(GOOD, cut=1), "cut frames", Level.WARNING),
        (replace(GOOD, astray=1), "frames' clock", Level.WARNING),
    ],
)
def test_what_is_amiss_is_told_with_what_to_do(seen: Seen, check: str, level: Level) -> None:
    (found,) = [finding for finding in examine_taps([seen], 15.0) if finding.check == check]
    assert found.level is level
    assert found.action


def test_without_a_tap_there_is_nothing_to_hear() -> None:
    (found,) = examine_taps([], 15.0)
    assert found.level is Level.FAULT
    assert "docs/attach.md" in found.action
