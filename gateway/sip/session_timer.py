"""Session timers (RFC 4028) as the answering side agrees on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.sip.answers import Fields
from gateway.sip.message import Headers, Request

LEAST_SECONDS = 90  # section 5: no Min-SE may be below
LATEST_BYE = 32.0  # seconds before the session expires, section 10
OPTION = "timer"

_SECONDS = re.compile(r"\s*(\d{1,9})\s*(?:;(.*))?", re.DOTALL)
_REFRESHER = re.compile(r"(?:^|;)\s*refresher\s*=\s*(ua[cs])\s*(?:;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Policy:
    """What we ask for and take; seconds."""

    wanted: int = 1800  # the RFC's recommendation; 0: we ask for no timer where the client asks for none
    least: int = LEAST_SECONDS


@dataclass(frozen=True, slots=True)
class Asked:
    """A Session-Expires of a peer."""

    seconds: int
    refresher: str | None  # uac or uas, of the request that carries it


@dataclass(frozen=True, slots=True)
class Agreed:
    """How long the session lives without a refresh, and who refreshes it."""

    seconds: int
    ours: bool  # we are the refresher
    supported: bool = True  # the peer knows session timers; else a proxy asked for it

    def answer(self) -> Fields:
        """For the 2xx, section 9."""
        refresher = "uas" if self.ours else "uac"
        fields: Fields = (("Session-Expires", f"{self.seconds};refresher={refresher}"),)
        return (("Require", OPTION), *fields) if self.supported else fields

    def request(self, least: int) -> Fields:
        """For a refresh of ours, section 7.1: we stay the refresher."""
        expires = ("Session-Expires", f"{self.seconds};refresher=uac")
        return (("Supported", OPTION), expires, ("Min-SE", str(least)))

    def next_step(self) -> float:
        """Seconds from the last refresh until we refresh, or until we give the session up."""
        return self.seconds / 2 if self.ours else self.seconds - self._margin()

    def last_chance(self) -> float:
        """Seconds between a refresh of ours that nobody answered and giving the session up."""
        return max(0.0, self.seconds / 2 - self._margin())

    def _margin(self) -> float:
        return min(LATEST_BYE, self.seconds / 3)


def asked(headers: Headers) -> Asked | None:
    """None when nothing readable is asked for."""
    found = _SECONDS.fullmatch(headers.get("Session-Expires") or "")
    if not found:
        return None
    refresher = _REFRESHER.search(found[2] or "")
    return Asked(int(found[1]), refresher[1].lower() if refresher else None)


def minimum(headers: Headers) -> int:
    """The Min-SE of a message."""
    found = _SECONDS.fullmatch(headers.get("Min-SE") or "")
    return max(LEAST_SECONDS, int(found[1])) if found else LEAST_SECONDS


def too_short(request: Request, policy: Policy) -> bool:
    """Whether 422 is due: only to a client that can raise it, section 9."""
    wish = asked(request.headers)
    return wish is not None and wish.seconds < policy.least and _supports(request.headers)


def agree(request: Request, policy: Policy) -> Agreed | None:
    """What the 2xx to an INVITE or UPDATE says; None when the session has no timer."""
    wish, supported = asked(request.headers), _supports(request.headers)
    if wish is None:
        if not supported or not policy.wanted:
            return None
        return Agreed(max(policy.wanted, policy.least, minimum(request.headers)), ours=False)
    # Table 2: whoever cannot refresh need not; a client that can and says nothing is left with it.
    ours = not supported or wish.refresher == "uas"
    return Agreed(max(wish.seconds, policy.least), ours, supported)


def _supports(headers: Headers) -> bool:
    tags = (*headers.all("Supported"), *headers.all("Require"))
    return any(tag.lower() == OPTION for tag in tags)
