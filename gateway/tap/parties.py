"""Whom the headers of a call's messages name."""

from __future__ import annotations

from gateway.recording.model import Personal
from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr, split
from gateway.sip.message import Headers, Request
from gateway.siprec.metadata import user_of
from gateway.tap.effects import Party

MAX_VALUES = 4  # identities of one header that are looked at; RFC 3325 section 9.1 allows two
MAX_ADDRESS = 1024  # characters of a URI and a name; no person has longer ones
LEAST_DIGITS = 6  # that two writings of one number have in common at their ends
_WITHHELD = frozenset({"anonymous", "private", "restricted", "unavailable", "unknown", "withheld"})

DIVERTED = "the call was diverted before it came here"
WITHHELD = "the caller withholds its number"
TRANSFERRED = "the call was placed because another one was transferred"


def caller_of(request: Request) -> Party:
    """Who calls: as the network asserts it (RFC 3325), unless the caller withholds it, else From."""
    stated = party(request.headers.get("From"))
    if withheld(request.headers):
        return Party()
    return asserted(request.headers) or stated


def callee_of(request: Request) -> Party:
    """Who is called: P-Called-Party-ID (RFC 7315 section 4.2), To, or else the request's own URI."""
    for text in (request.headers.get("P-Called-Party-ID"), request.headers.get("To"), f"<{request.uri}>"):
        if (found := party(text)).user:
            return found
    return Party()


def asserted(headers: Headers) -> Party | None:
    """The identity of a message's sender that the network, or its telephone system, vouches for."""
    if withheld(headers):
        return None
    for name in ("P-Asserted-Identity", "Remote-Party-ID"):
        for line in headers.all(name)[:MAX_VALUES]:
            for value in list(split(line, ","))[:MAX_VALUES]:
                if (found := party(value)).user:
                    return found
    return None


def withheld(headers: Headers) -> bool:
    """Whether the sender asks that its identity be not told on (RFC 3323 section 4.2, RFC 3325 section 9.3)."""
    asked = {value.strip().lower() for line in headers.all("Privacy") for value in line.split(";")}
    return bool(asked & {"id", "user", "header"}) or any(
        "privacy=full" in line.replace(" ", "").lower() for line in headers.all("Remote-Party-ID")
    )


def notes_of(request: Request) -> tuple[str, ...]:
    headers = request.headers
    notes = []
    diverted = headers.get("Diversion") or len(headers.all("History-Info")) > 1
    history = headers.get("History-Info") or ""
    if diverted or "cause%3d" in history.lower() or "," in history:
        notes.append(DIVERTED)
    if withheld(headers):
        notes.append(WITHHELD)
    if headers.get("Referred-By"):
        notes.append(TRANSFERRED)
    return tuple(notes)


def party(value: str | None) -> Party:
    """Of a header's address; nobody where it has none, or names nobody."""
    try:
        address = NameAddr.parse(value or "")
    except BadMessage:
        return Party()
    user = user_of(address.uri)
    if user is None or len(address.uri) + len(address.display) > MAX_ADDRESS:
        return Party()
    name = address.display if address.display.strip().lower() not in _WITHHELD else ""
    return Party(
        Personal(_text(user)), Personal(_text(address.uri)), Personal(_text(name)) if name.strip() else None
    )


def _text(value: str) -> str:
    """What is not UTF-8, as RFC 3261 section 25.1 has it, is nearly always ISO 8859-1."""
    octets = value.encode("utf-8", "surrogateescape")
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def same(one: Party, other: Party) -> bool:
    """Whether two parties may be one person: the same user, or one number with and without its prefixes."""
    if not one.user or not other.user:
        return one.user == other.user
    first, second = sorted((_bare(one.user), _bare(other.user)), key=len)
    return first == second or (len(first) >= LEAST_DIGITS and first.isdigit() and second.endswith(first))


def _bare(user: Personal) -> str:
    text = user.reveal().casefold()
    return text.lstrip("+0") or text
