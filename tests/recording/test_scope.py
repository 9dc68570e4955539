"""Which calls are recorded, and what is said of the others."""

from __future__ import annotations

import pytest

from gateway.config.scope import ScopeSettings
from gateway.config.settings import Settings
from gateway.io.scope_rules import scope_of
from gateway.recording.messages import OpenRedaction
from gateway.recording.model import Cause, Direction, Participant, Personal, Role
from gateway.recording.policy import Ground, Unrecorded, decide, unrecorded

CALLER = Participant(Role.EXTERNAL, Personal("+441632960123"))
AGENT = Participant(Role.AGENT, Personal("1001"), extension=Personal("1001"))
OTHER = Participant(Role.EXTERNAL, Personal("2002"), extension=Personal("2002"))
TRUNK = ("198.51.100.1", "192.0.2.5")


def outside(
    people: tuple[Participant, ...] = (CALLER, AGENT),
    direction: Direction = Direction.INBOUND,
    peers: tuple[str, ...] = TRUNK,
    **settings: object,
) -> str | None:
    return scope_of(ScopeSettings.model_validate(settings)).excludes(direction, people, peers)


@pytest.mark.parametrize("direction", list(Direction))
def test_everything_is_recorded_unless_it_is_said_otherwise(direction: Direction) -> None:
    assert outside(direction=direction) is None
    assert outside((), direction, ()) is None
    assert scope_of(Settings().scope).excludes(direction, (CALLER,), ("a name",)) is None


def test_directions() -> None:
    assert outside(directions=["inbound"]) is None
    assert outside(direction=Direction.OUTBOUND, directions=["inbound"]) == "direction outbound"
    assert outside(direction=Direction.UNKNOWN, directions=["inbound"]) is None


def test_extensions() -> None:
    assert outside(extensions=[r"1\d\d\d"]) is None
    assert outside(extensions=[r"3\d\d\d"]) == "no extension of it takes part"
    assert outside((CALLER,), extensions=[r"1\d\d\d"]) == "no extension of it takes part"
    assert outside((), extensions=[r"1\d\d\d"]) is None  # nobody is known yet
    assert outside((OTHER, AGENT), extensions=[r"2\d\d\d"]) is None
    assert outside((OTHER, AGENT), except_extensions=[r"2\d\d\d"]) == "an extension that takes part"
    assert outside(extensions=[r"100"]) == "no extension of it takes part"  # in full


def test_numbers_are_those_of_external_parties() -> None:
    assert outside(numbers=[r"\+44.*"]) is None
    assert outside(numbers=[r"\+49.*"]) == "no number of it takes part"
    assert outside((OTHER, AGENT), numbers=[r"\+49.*"]) is None
    assert outside(except_numbers=[r"\+44.*"]) == "a number that takes part"
    assert outside(except_numbers=["1001"]) is None


def test_trunks() -> None:
    assert outside(trunks=["198.51.100.0/24"]) is None
    assert outside(trunks=["203.0.113.0/24"]) == "the trunk"
    assert outside(except_trunks=["192.0.2.5"]) == "the trunk"
    assert outside(peers=("::ffff:198.51.100.1",), trunks=["198.51.100.0/24"]) is None
    assert outside(peers=(), trunks=["203.0.113.0/24"]) is None
    assert outside(peers=("2001:db8::1",), except_trunks=["2001:db8::/32"]) == "the trunk"


def test_what_is_wrong_is_refused() -> None:
    for wrong in ({"trunks": ["198.51.100.1/24"]}, {"extensions": ["("]}, {"directions": ["sideways"]}):
        with pytest.raises(ValueError, match=r"not a|Input should be"):
            ScopeSettings.model_validate(wrong)


def test_a_call_out_of_scope_is_told_of_and_a_list_says_more() -> None:
    def nobody(number: Personal) -> None:
        """A list with no number."""

    def everybody(number: Personal) -> str:
        return "distress"

    found = decide((CALLER, AGENT), (), nobody, outside="direction outbound")
    assert found == Unrecorded(Ground.SCOPE, "direction outbound")
    assert decide((CALLER, AGENT), (), everybody, outside="direction outbound") == Unrecorded(
        Ground.NUMBER, "distress"
    )
    now = OpenRedaction(Cause.NEVER_RECORD, (Role.EXTERNAL,), 0, reason=found.reason)
    assert unrecorded((), now, 0) == ["the call is out of scope: direction outbound"]
