"""Transfers that the practice's telephone asks for by REFER (RFC 3515): whom to call instead, and what it is told. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr, SipUri, bracketed
from gateway.sip.message import Headers, Request

_USER = re.compile(r"[\w.+*~-]{1,64}", re.ASCII)
_REPLACES = re.compile(
    r"[\w.%@~!*'()+-]{1,400}", re.ASCII
)  # with its separators escaped, RFC 3891 section 6.1


@dataclass(frozen=True, slots=True)
class Referring:
    """`place` is the telephone system's, host or host:port, `ours` the place by which it knows us; `may` says of another host
    whether calls may be handed to it."""

    place: str
    ours: tuple[str, int | None]
    tail: str  # parameters of its URI
    may: Callable[[str], bool]

    def target(self, refer: Request) -> str:
        """The URI to call: by the telephone system's place where the REFER names none of its own. Raises BadMessage."""
        named = refer.headers.all("Refer-To")
        if len(named) != 1:
            raise BadMessage(400, "a REFER has one Refer-To", "bad_refer")
        uri, _, fields = NameAddr.parse(named[0]).uri.partition("?")
        if uri.lower().startswith("tel:"):
            uri = f"sip:{uri[4:].partition(';')[0]}@{bracketed(self.ours[0])}"
        found = SipUri.parse(uri)
        user = (found.user or "").replace("%23", "#").partition(";")[0]
        if (
            found.scheme != "sip"
            or not _USER.fullmatch(user.replace("#", ""))
            or dict(found.params).get("method", "INVITE") != "INVITE"
        ):
            raise BadMessage(400, "a Refer-To names nobody who can be called", "bad_refer")
        return f"sip:{user.replace('#', '%23')}@{self._place(found)}{_replaces(fields)}"

    def _place(self, named: SipUri) -> str:
        host, system = named.host.strip("[]"), _host(self.place)
        if host == self.ours[0] and named.port in (None, self.ours[1]):  # its telephones know no other place
            return self.place + self.tail
        if host == system and named.port is None:
            return self.place + self.tail
        if host != system and not self.may(host):
            raise BadMessage(403, "calls are handed on within the telephone system only", "bad_refer")
        return f"{named.host}:{named.port}" if named.port else named.host


def notify(leave: Request, number: int, contact: str) -> Request:
    """Tells who referred that it is done; `leave` is the BYE that would end its dialog, `number` the CSeq (section 2.4.4)."""
    kept = tuple(field for field in leave.headers.fields if field[0] != "CSeq")
    fields = (
        ("CSeq", f"{number} NOTIFY"),
        ("Contact", contact),
        ("Event", "refer"),
        ("Subscription-State", "terminated;reason=noresource"),
        ("Content-Type", "message/sipfrag;version=2.0"),
    )
    return replace(leave, method="NOTIFY", headers=Headers((*kept, *fields)), body=b"SIP/2.0 200 OK\r\n")


def _replaces(fields: str) -> str:
    """The call that is taken over, where one is: whom the telephone spoke with before (RFC 5589 section 7)."""
    for field in fields.split("&"):
        name, _, value = field.partition("=")
        if name.lower() == "replaces":
            if not _REPLACES.fullmatch(value):
                raise BadMessage(400, "a Refer-To names a call that cannot be read", "bad_refer")
            return f"?Replaces={value}"
    return ""


def _host(place: str) -> str:
    return place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
