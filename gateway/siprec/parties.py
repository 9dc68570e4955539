"""Who speaks on a call's legs while what is known of it changes: corrections, transfers, better grounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.recording.model import Direction, Participant, Role
from gateway.siprec.roles import Assignment, Ground, takes_over


class Parties:
    """Legs are told apart by the role each was given when it was opened; `swapped` says that these are the wrong way
    round. A call has one external and one agent leg, so nothing else can be wrong about them."""

    def __init__(self, assigned: Assignment, legs: Sequence[Role]) -> None:
        self.legs = list(legs)
        self.swapped = False
        self.direction: Direction = assigned.direction
        self.participants: tuple[Participant, ...] = assigned.participants
        self._last = assigned
        self._ground = assigned.ground

    def update(self, assigned: Assignment) -> bool:
        """Take what is known now, of the same legs; True when another agent took over.

        Roles change only on grounds as good as those they rest on, and never because of a transfer: the caller stays
        external when an outsider takes the agent's place.
        """
        if not assigned.participants:
            return False
        roles = [self.role(leg) for leg in self.legs]
        transfer = takes_over(self._last, assigned, roles)
        found = [assigned.roles.get(place, role) for place, role in enumerate(roles)]
        contrary = bool(roles) and all(new is not old for new, old in zip(found, roles, strict=True))
        better = assigned.ground > self._ground or (assigned.ground == self._ground and not transfer)
        if contrary and better:
            self.swapped = not self.swapped
        self.participants = assigned.participants
        if contrary and not better:
            self.participants = tuple(replace(p, role=p.role.other) for p in assigned.participants)
        if better:
            self.direction = assigned.direction
        self._last, self._ground = assigned, max(self._ground, assigned.ground)
        return transfer

    def role(self, opened: Role) -> Role:
        """Whose voice is on the leg that was opened for this role."""
        return opened.other if self.swapped else opened

    def join(self, assigned: Assignment, opened: Role) -> None:
        """A further leg, of which this is known."""
        self.legs.append(opened)
        if assigned.ground >= self._ground and assigned.participants:
            self.participants = assigned.participants
        speakers = (*self._last.speakers, *assigned.speakers)
        self._ground = max(self._ground, assigned.ground)
        self._last = replace(self._last, speakers=speakers)

    def begin_segment(self, assigned: Assignment) -> None:
        """The call goes on in another session; a leg keeps its role."""
        self.participants = assigned.participants or self.participants
        self._last = assigned
        self._ground = max(Ground.ORDER, assigned.ground)
