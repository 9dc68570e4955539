"""Which calls are recorded at all, by who takes part, over what trunk, and which way they go.

What is not known of a call keeps it in scope, until it is known. Sentences name no person and no network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.recording.model import Direction, Participant, Personal

Patterns = Sequence[re.Pattern[str]]
Networks = Sequence[IPv4Network | IPv6Network]

EXTENSION = "an extension that takes part"
NO_EXTENSION = "no extension of it takes part"
NUMBER = "a number that takes part"
NO_NUMBER = "no number of it takes part"
TRUNK = "the trunk"


@dataclass(frozen=True, slots=True)
class Scope:
    """An empty list of what is recorded stands for everything; what is excepted is never recorded."""

    directions: frozenset[Direction] = frozenset(Direction)
    extensions: Patterns = ()
    except_extensions: Patterns = ()
    numbers: Patterns = ()
    except_numbers: Patterns = ()
    trunks: Networks = ()
    except_trunks: Networks = ()

    def excludes(
        self, direction: Direction, people: Iterable[Participant], peers: Iterable[str]
    ) -> str | None:
        """What of a call is out of scope; None: it is to be recorded. `peers` are addresses its signalling goes between."""
        if direction is not Direction.UNKNOWN and direction not in self.directions:
            return f"direction {direction}"
        people = tuple(people)
        extensions = [person.extension for person in people if person.extension]
        numbers = [person.number for person in people if person.number and not person.extension]
        return (
            _outside(
                extensions, self.extensions, self.except_extensions, NO_EXTENSION, EXTENSION, bool(people)
            )
            or _outside(numbers, self.numbers, self.except_numbers, NO_NUMBER, NUMBER, bool(numbers))
            or self._trunk(peers)
        )

    def _trunk(self, peers: Iterable[str]) -> str | None:
        addresses = [address for peer in peers if (address := _address(peer))]
        if any(_within(address, self.except_trunks) for address in addresses):
            return TRUNK
        if self.trunks and addresses and not any(_within(address, self.trunks) for address in addresses):
            return TRUNK
        return None


def _outside(
    found: Sequence[Personal], taken: Patterns, excepted: Patterns, none: str, some: str, known: bool
) -> str | None:
    """`known` says that who is not among those found does not take part."""
    if any(_matches(each, excepted) for each in found):
        return some
    if taken and known and not any(_matches(each, taken) for each in found):
        return none
    return None


def _matches(user: Personal, patterns: Patterns) -> bool:
    return any(pattern.fullmatch(user.reveal()) for pattern in patterns)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """IPv4 mapped into IPv6 is IPv4; a name is nothing."""
    try:
        address = ip_address(text.strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _within(address: IPv4Address | IPv6Address, networks: Networks) -> bool:
    return any(address in network for network in networks)
