"""Roles and transfers while what is known of a call's parties changes."""

from __future__ import annotations

import re

import pytest

from gateway.recording.model import Direction, Personal, Role
from gateway.siprec.metadata import Metadata, MetadataParticipant, MetadataStream
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment, assign

E, A = Role.EXTERNAL, Role.AGENT
STREAMS = (MetadataStream("s1", "1"), MetadataStream("s2", "2"))
EXTENSIONS = [re.compile(r"\d{4}")]


def told(*users: tuple[str, str | None], linked: bool = True) -> Assignment:
    """Parties by id and number, who send the streams in their order."""
    people = tuple(MetadataParticipant(i, user=Personal(u) if u else None) for i, u in users)
    sends = {p.id: (s.id,) for p, s in zip(people, STREAMS, strict=False)} if linked else {}
    found = Metadata(participants=people, streams=STREAMS if linked else (), sends=sends)
    return assign(found, ["1", "2"], EXTENSIONS, "first")


NOTHING = assign(None, ["1", "2"], EXTENSIONS, "first")
CALLER, DESK, OTHER, OUTSIDE = ("c", "+15550100"), ("a", "1001"), ("b", "1002"), ("x", "+15550199")


def test_the_agent_turns_out_to_be_the_first() -> None:
    parties = Parties(NOTHING, [E, A])
    assert not parties.update(told(DESK, CALLER))
    assert (parties.swapped, parties.direction) == (True, Direction.OUTBOUND)
    assert [parties.role(leg) for leg in parties.legs] == [A, E]


def test_worse_grounds_change_no_roles() -> None:
    parties = Parties(told(CALLER, DESK), [E, A])
    parties.update(told(DESK, CALLER, linked=False))
    assert not parties.swapped


@pytest.mark.parametrize(
    ("before", "after", "transfer"),
    [
        ((CALLER, DESK), (CALLER, OTHER), True),
        ((CALLER, DESK), (CALLER, OUTSIDE), True),  # to somebody outside, who takes the agent's place
        ((CALLER, DESK), (OUTSIDE, DESK), False),  # another caller is the same agent's segment
        ((CALLER, DESK), (CALLER, ("a", "1002")), False),  # the same party, corrected
        ((CALLER, DESK), (CALLER, ("z", "1001")), False),  # the same number under a new id
        ((CALLER, ("a", None)), (CALLER, OTHER), False),  # a stand-in that becomes known
    ],
)
def test_transfers(
    before: tuple[tuple[str, str | None], ...], after: tuple[tuple[str, str | None], ...], transfer: bool
) -> None:
    parties = Parties(told(*before), [E, A])
    assert parties.update(told(*after)) is transfer
    assert not parties.swapped
    assert [p.role for p in parties.participants] == [E, A]


def test_the_caller_of_an_internal_call_stays_external_when_an_outsider_takes_over() -> None:
    parties = Parties(told(OTHER, DESK), [E, A])
    assert parties.direction is Direction.INTERNAL
    assert parties.update(told(OTHER, OUTSIDE))
    assert not parties.swapped
    assert {(p.role, p.number.reveal()) for p in parties.participants if p.number} == {
        (E, "1002"),
        (A, "+15550199"),
    }
