"""Where the audio of known calls goes: what is heard there belongs to them, whether it is recorded or not."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from gateway.tap.effects import Place, TappedStream
from gateway.tap.frames import address_octets

MAX_PLACES = 8_192  # the oldest are forgotten; a thousand calls have two each, and are over some time
FOREVER_NS = 1 << 62
_Spot = tuple[bytes, int]


class Announced:
    """Feed it what calls agree on and when they are over; ask it whether audio is that of one of them."""

    def __init__(self) -> None:
        self._until: dict[_Spot, int] = {}  # ns; when the call was over
        self._of: dict[Hashable, set[_Spot]] = {}  # by call, while it goes on

    def told(self, call: Hashable, streams: Iterable[TappedStream], places: Iterable[Place] = ()) -> None:
        """A call that goes on has its audio there from now on, too, and at these places whatever else it has."""
        spoken = (place for each in streams for place in (each.to, each.source))
        spots = {spot for place in (*spoken, *places) if (spot := _spot(place))}
        self._of.setdefault(call, set()).update(spots)
        for spot in spots:
            self._until.pop(spot, None)
            self._until[spot] = FOREVER_NS
        while len(self._until) > MAX_PLACES:
            del self._until[next(iter(self._until))]

    def over(self, call: Hashable, at_ns: int) -> None:
        for spot in self._of.pop(call, ()):
            if spot in self._until:
                self._until[spot] = at_ns

    def known(self, places: Iterable[Place], began_ns: int) -> bool:
        """Whether audio that began at this time between these places is that of a call."""
        return any((spot := _spot(place)) and began_ns <= self._until.get(spot, 0) for place in places)


def _spot(place: Place | None) -> _Spot | None:
    try:
        return (address_octets(place[0]), place[1]) if place else None
    except ValueError:
        return None  # a name
