import re
from collections.abc import Sequence
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.model import Direction, Participant, Personal, Role
from gateway.siprec.metadata import Metadata, MetadataParticipant, MetadataStream
from gateway.siprec.roles import Assignment, assign

EXTENSIONS = (re.compile(r"\d{2,6}"),)
E, A = Role.EXTERNAL, Role.AGENT
OUTSIDE, OTHER, DESK, DESK2 = "+390612345678", "+12015550123", "1002", "2001"


def metadata(
    *users: str | None, sends: bool = True, labels: Sequence[str | None] = ("a", "b", "c")
) -> Metadata:
    """Participants in order, of whom each sends the stream labelled a, b, c."""
    people = tuple(MetadataParticipant(f"p{n}", user=Personal(u) if u else None) for n, u in enumerate(users))
    streams = tuple(MetadataStream(f"s{n}", labels[n]) for n in range(len(users)))
    return Metadata(
        participants=people,
        streams=streams,
        sends={f"p{n}": (f"s{n}",) for n in range(len(users))} if sends else {},
    )


def decide(
    known: Metadata | None,
    labels: Sequence[str | None] = ("a", "b"),
    caller: Literal["first", "last"] = "first",
) -> Assignment:
    return assign(known, labels, EXTENSIONS, caller)


@pytest.mark.parametrize(
    ("users", "direction", "roles"),
    [
        ((OUTSIDE, DESK), Direction.INBOUND, {0: E, 1: A}),
        ((DESK, OUTSIDE), Direction.OUTBOUND, {0: A, 1: E}),
        ((DESK, DESK2), Direction.INTERNAL, {0: E, 1: A}),
        ((OUTSIDE, OTHER), Direction.INBOUND, {0: E, 1: A}),
        ((None, DESK), Direction.INBOUND, {0: E, 1: A}),
        ((DESK, None), Direction.OUTBOUND, {0: A, 1: E}),
    ],
)
def test_two_parties(users: tuple[str | None, ...], direction: Direction, roles: dict[int, Role]) -> None:
    found = decide(metadata(*users))
    assert (found.direction, found.roles) == (direction, roles)
    assert bool(found.notes) == (users == (OUTSIDE, OTHER))


def test_lines_follow_labels_not_order() -> None:
    assert decide(metadata(OUTSIDE, DESK), ("b", "a")).roles == {0: A, 1: E}


def test_caller_may_be_the_last() -> None:
    assert decide(metadata(OUTSIDE, DESK), caller="last").direction is Direction.OUTBOUND
    assert decide(metadata(DESK, DESK2), caller="last").roles == {0: A, 1: E}


def test_participants_with_extension() -> None:
    found = decide(metadata(DESK, DESK2))
    assert found.participants == (
        Participant(E, Personal(DESK), None, Personal(DESK)),
        Participant(A, Personal(DESK2), None, Personal(DESK2)),
    )
    assert decide(metadata(DESK, OUTSIDE)).participants[0] == Participant(E, Personal(OUTSIDE))


def test_no_metadata() -> None:
    for known in (None, Metadata()):
        found = decide(known)
        assert (found.roles, found.direction, found.participants) == ({0: E, 1: A}, Direction.UNKNOWN, ())
        assert found.notes


def test_missing_labels_and_associations_fall_back_to_order() -> None:
    unlabelled = decide(metadata(DESK, OUTSIDE, labels=(None, None)), (None, None))
    assert unlabelled.roles == {0: A, 1: E}
    assert unlabelled.notes
    unassociated = decide(metadata(DESK, OUTSIDE, sends=False))
    assert unassociated.roles == {0: A, 1: E}
    assert unassociated.notes


def test_sender_known_only_by_who_receives() -> None:
    known = metadata(OUTSIDE, DESK, sends=False)
    known = Metadata(
        participants=known.participants, streams=known.streams, receives={"p0": ("s0",), "p1": ("s1",)}
    )
    assert decide(known).roles == {0: A, 1: E}


def test_one_known_line_decides_the_other() -> None:
    known = metadata(OUTSIDE, DESK)
    known = Metadata(participants=known.participants, streams=known.streams, sends={"p1": ("s0",)})
    assert decide(known).roles == {0: A, 1: E}


def test_both_lines_of_one_party_are_still_two_legs() -> None:
    known = metadata(OUTSIDE, DESK)
    known = Metadata(participants=known.participants, streams=known.streams, sends={"p1": ("s0", "s1")})
    found = decide(known)
    assert found.roles == {0: E, 1: A}
    assert found.notes


def test_single_line_and_single_party() -> None:
    assert decide(metadata(OUTSIDE, DESK), ("b",)).roles == {0: A}
    assert decide(metadata(DESK), ("a", "b")).roles == {0: A, 1: E}
    assert decide(metadata(OUTSIDE), ("a",)).direction is Direction.UNKNOWN


def test_a_third_party_that_does_not_speak() -> None:
    known = metadata("+4420", OUTSIDE, DESK)
    assert decide(known, ("b", "c")).roles == {0: E, 1: A}
    assert decide(known, ("a", "b", "c")).roles == {0: E, 1: E, 2: A}


users = st.sampled_from([OUTSIDE, OTHER, DESK, DESK2, None])
links = st.dictionaries(
    st.sampled_from(["p0", "p1", "p2"]), st.lists(st.sampled_from(["s0", "s1", "s2"])).map(tuple)
)


@given(
    st.lists(users, max_size=3),
    links,
    links,
    st.lists(st.sampled_from(["a", "b", None]), min_size=2, max_size=2),
)
def test_two_lines_are_always_two_roles(
    people: list[str | None],
    sends: dict[str, tuple[str, ...]],
    receives: dict[str, tuple[str, ...]],
    labels: list[str | None],
) -> None:
    known = metadata(*people)
    known = Metadata(participants=known.participants, streams=known.streams, sends=sends, receives=receives)
    for caller in ("first", "last"):
        assert set(assign(known, labels, EXTENSIONS, caller).roles.values()) == {E, A}
