"""Calls that go on in another dialog: REFER (RFC 3515), Replaces (RFC 3891), and both together (RFC 5589)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr
from gateway.sip.message import Request
from gateway.siprec.metadata import user_of
from gateway.tap.effects import Side
from gateway.tap.exchange import other
from gateway.tap.hearing import DialogName, Heard, referred_dialog, replaced
from gateway.tap.invitation import Invitation
from gateway.tap.progress import FOLLOW_NS

MAX_USER = 256  # characters of whom somebody is to call
MAX_REFERRALS = 1024  # remembered: transfers of half a minute


@dataclass(frozen=True, slots=True)
class Place:
    """A call's place in a new dialog: who `stays` in the old one is the side `as_` of the new."""

    old: Invitation
    stays: Side
    as_: Side


@dataclass(frozen=True, slots=True)
class Joining:
    """What an INVITE asks for, to be had when it is answered: the first call of these that still goes on, goes on there."""

    places: tuple[Place, ...]

    @property
    def old(self) -> tuple[Invitation, ...]:
        return tuple(place.old for place in self.places)


@dataclass(frozen=True, slots=True)
class _Referral:
    invitation: Invitation
    side: Side  # who refers; the other one is to call somebody
    host: str  # to which that was said
    at_ns: int

    def stands(self, now_ns: int) -> bool:
        running = not self.invitation.course.over and self.invitation.course.referred is self.side
        return running and now_ns - self.at_ns <= FOLLOW_NS

    @property
    def place(self) -> Place:
        """Whoever was referred sends the new INVITE."""
        return Place(self.invitation, other(self.side), Side.CALLER)


class Referrals:
    """Who was told to call whom, or to ask for which dialog's place."""

    def __init__(self) -> None:
        self._told: OrderedDict[DialogName | tuple[str, str], _Referral] = OrderedDict()

    def refer(self, invitation: Invitation, heard: Heard) -> None:
        """A REFER in a call."""
        side = invitation.course.referred
        if side is None:
            return
        referral = _Referral(invitation, side, heard.destination[0], heard.at_ns)
        name, user = referred_dialog(heard.headers), _user(heard.headers.get("Refer-To"))
        if name is None and user is None:
            return
        key = name or (referral.host, user or "")
        self._told.pop(key, None)
        self._told[key] = referral
        if len(self._told) > MAX_REFERRALS:
            self._told.popitem(last=False)

    def joining(self, heard: Heard, alike: Callable[[str], Sequence[Invitation]]) -> Joining | None:
        """Whose place an INVITE asks for; `alike` gives the calls of a Call-ID."""
        name = replaced(heard.headers)
        if name is None:
            referral = self._blind(heard)
            return Joining((referral.place,)) if referral else None
        places = []
        if (referral := self._told.get(name)) and referral.stands(heard.at_ns):
            places.append(referral.place)
        for target in alike(name.call_id):
            if recipient := target.has_tags(name):
                places.append(Place(target, recipient, Side.CALLEE))
        return Joining(tuple(places)) if places else None

    def _blind(self, heard: Heard) -> _Referral | None:
        """The call in which somebody at the host where this INVITE comes from was told to call whom it calls."""
        uri = heard.message.uri if isinstance(heard.message, Request) else None
        for text in (uri and f"<{uri}>", heard.headers.get("To")):
            referral = self._told.get((heard.source[0], _user(text) or ""))
            if referral and referral.stands(heard.at_ns):
                return referral
        return None


def _user(value: str | None) -> str | None:
    try:
        user = user_of(NameAddr.parse(value or "").uri.partition("?")[0])
    except BadMessage:
        return None
    return user if user and len(user) <= MAX_USER else None
