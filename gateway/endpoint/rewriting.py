"""Small changes that the forwarder makes in the heads of messages. Pure."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

from gateway.sip.answers import METHODS
from gateway.sip.headers import NameAddr, SipUri
from gateway.sip.message import Headers, Message

FORWARDED = frozenset({*METHODS, "PRACK"})
MAX_FORWARDS = 70  # of a request that says nothing, RFC 3261 section 16.6
WITHHELD = frozenset({"replaces", "norefersub", "outbound", "path", "gruu"})  # option tags
_FLOW = re.compile(
    r';(?:reg-id=\d+|\+sip\.instance="[^"]*")'
)  # RFC 5626: we are no flow of the process's own


def forwards(message: Message) -> int:
    """Max-Forwards, as good as it is told."""
    text = message.headers.get("Max-Forwards") or ""
    return int(text) if text.isdecimal() and len(text) <= 3 else MAX_FORWARDS


def with_forwards(headers: Headers, left: int) -> Headers:
    """With another Max-Forwards."""
    kept = tuple(each for each in headers.fields if each[0].lower() != "max-forwards")
    return Headers((*kept, ("Max-Forwards", str(left))))


def with_list(headers: Headers, name: str, values: tuple[str, ...]) -> Headers:
    """All values of a list exchanged; they come first, in their order."""
    kept = tuple(each for each in headers.fields if each[0].lower() != name.lower())
    return Headers((*((name, value) for value in values), *kept))


def honest(headers: Headers, refer: bool = False) -> Headers:
    """pjsip says that it can be transferred and replaced, which would take a call out of our hands; `refer`: we can."""
    if headers.get("Allow"):
        taken = {*FORWARDED, "REFER"} if refer else FORWARDED
        headers = with_list(headers, "Allow", (", ".join(sorted(taken)),))
    options = tuple(each for each in headers.all("Supported") if each.lower() not in WITHHELD)
    return with_list(headers, "Supported", options)


def plain(contact: str) -> str:
    """A Contact without the parameters of a flow."""
    return _FLOW.sub("", contact)


def without_own_route(headers: Headers, host: str, port: int | None) -> Headers:
    """A peer that was told of us as a route (RFC 3608, or by its own setting) names us first. Raises BadMessage."""
    routes = headers.all("Route")
    if not routes:
        return headers
    uri = SipUri.parse(NameAddr.parse(routes[0]).uri)
    ours = uri.host.strip("[]") == host and (uri.port or 5060) == port
    return with_list(headers, "Route", routes[1:]) if ours else headers


def packed(vias: tuple[str, ...]) -> str:
    """As one token: who reads it takes no offence at them."""
    return urlsafe_b64encode("\n".join(vias).encode("utf-8", "surrogateescape")).decode().rstrip("=")


def unpacked(text: str) -> tuple[str, ...]:
    """What was packed; nothing where it was not."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return ()
    return tuple(filter(None, data.decode("utf-8", "surrogateescape").split("\n")))
