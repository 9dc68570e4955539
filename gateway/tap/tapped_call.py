"""One overheard call: what has been told of it, and what is to be told when more is known."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from gateway.sip.sdp import Supported
from gateway.tap.agreeing import Agreement, other_media, places, streams
from gateway.tap.effects import (
    Answered,
    End,
    KeyPressed,
    MediaAgreed,
    Over,
    PartiesChanged,
    Party,
    Place,
    Seen,
    Side,
    TapEffect,
    TappedId,
    TappedStream,
    Wished,
)
from gateway.tap.exchange import other
from gateway.tap.invitation import Invitation


class TappedCall:
    """Its invitation is another one after a transfer; `_caller` is the side of it that is the call's caller."""

    def __init__(self, identity: TappedId, invitation: Invitation) -> None:
        self.id = identity
        self.invitation = invitation
        self.seen = False
        self.answered = False  # as told
        self.over = False
        self.agreements = 0  # told of, since the invitation is this one
        self.streams: tuple[TappedStream, ...] = ()
        self._other: tuple[str, ...] = ()
        self._places: tuple[Place, ...] = ()  # of everything
        self._agreement = Agreement()
        self._told: tuple[Party, Party] = (Party(), Party())
        self._caller = Side.CALLER
        self._kept: tuple[Side, Party, Party] | None = (
            None  # who stays on, as known before and in this invitation
        )
        self._handed = 0
        self._transferred = False
        self._wished = invitation.wished

    @property
    def places(self) -> frozenset[Place]:
        """Where its sides listen."""
        return frozenset(stream.to for stream in self.streams if stream.to)

    @property
    def held(self) -> bool:
        return bool(self.streams) and all(stream.paused for stream in self.streams)

    def side(self, of_invitation: Side) -> Side:
        """The call's side that a side of its present invitation is."""
        return of_invitation if self._caller is Side.CALLER else other(of_invitation)

    def goes_on(self, invitation: Invitation, stays: Side, as_: Side) -> None:
        """Another invitation takes this one's place: who `stays` (in the old one) is the side `as_` of the new one."""
        kept = self.side(stays)
        party = self._told[0 if kept is Side.CALLER else 1]
        self._caller = as_ if kept is Side.CALLER else other(as_)
        self._kept = (kept, party, invitation.people.parties[as_])
        self.invitation = invitation
        self._handed, self._transferred, self.agreements = invitation.people.handed, True, 0

    def replaced(self, at_ns: int) -> list[TapEffect]:
        """Another call takes its place."""
        if not self.seen or self.over:
            return []
        self.over = True
        return [Over(self.id, at_ns, End.REPLACED, self.answered)]

    def follow(self, supported: Supported, at_ns: int) -> list[TapEffect]:
        """What is new since the last time."""
        if self.over or not (self.seen or self._certain()):
            return []
        out: list[TapEffect] = []
        if not self.seen:
            out.append(self._see(supported))
        out += self._parties(at_ns)
        out += self._media(supported, at_ns)
        if self.invitation.course.answered and not self.answered:
            self.answered = True
            out.append(Answered(self.id, self.invitation.course.answered_ns))
        out += self._asked(at_ns)
        ending = self.invitation.course.ending
        if self.invitation.course.over and ending:
            self.over = True
            answered = self.answered or self.invitation.midway
            out.append(Over(self.id, ending.at_ns, ending.how, answered, ending.status))
        return out

    def _certain(self) -> bool:
        """Of a call that was running before, more than a request must be heard; one that hangs up is enough."""
        ending = self.invitation.course.ending
        hung_up = ending is not None and ending.how is End.BYE
        return not self.invitation.midway or self.invitation.course.answered or hung_up

    def _see(self, supported: Supported) -> Seen:
        invitation, self.seen = self.invitation, True
        self._told, self._wished = self._known(), invitation.wished
        call_id = hashlib.sha256(invitation.call_id.encode("utf-8", "surrogateescape"))
        return Seen(
            self.id,
            invitation.course.begun_ns,
            call_id.hexdigest()[:16],
            *self._told,
            invitation.peers,
            invitation.wished,
            invitation.people.notes,
            invitation.midway,
            () if invitation.midway else self._turned(streams(invitation.offered(), supported)),
        )

    def _parties(self, at_ns: int) -> list[TapEffect]:
        known, handed = self._known(), self.invitation.people.handed
        transfer = self._transferred or handed > self._handed
        if known == self._told and not transfer:
            return []
        self._told, self._handed, self._transferred = known, handed, False
        return [PartiesChanged(self.id, at_ns, *known, transfer)]

    def _known(self) -> tuple[Party, Party]:
        found = {self.side(side): party for side, party in self.invitation.people.parties.items()}
        if self._kept:
            side, before, base = self._kept
            found[side] = before if found[side] == base and before.user else found[side]
        return found[Side.CALLER], found[Side.CALLEE]

    def _media(self, supported: Supported, at_ns: int) -> list[TapEffect]:
        agreement = self.invitation.agreed()
        if agreement == self._agreement:
            return []
        self._agreement = agreement
        before = self.streams, self._other, self._places
        self.streams = self._turned(streams(agreement, supported))
        self._other, self._places = other_media(agreement), places(agreement)
        if (self.streams, self._other, self._places) == before and self.agreements:
            return []
        self.agreements += 1
        return [MediaAgreed(self.id, at_ns, self.streams, self._other, self._places)]

    def _turned(self, found: tuple[TappedStream, ...]) -> tuple[TappedStream, ...]:
        return tuple(replace(stream, side=self.side(stream.side)) for stream in found)

    def _asked(self, at_ns: int) -> list[TapEffect]:
        out: list[TapEffect] = []
        wished = self.invitation.wished
        if wished is not None and wished is not self._wished:
            self._wished = wished
            out.append(Wished(self.id, at_ns, wished))
        out += [
            KeyPressed(self.id, at_ns, self.side(key.side), key.digit, key.lasts_ms)
            for key in self.invitation.pressed
        ]
        self.invitation.pressed.clear()
        return out
