"""What the user agent server asks for and tells: plain facts, acted on in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.sip.message import Request


@dataclass(frozen=True, slots=True)
class Flow:
    """Where a message came from and how to answer: a UDP socket and peer, or one TCP or TLS connection."""

    transport: str  # "udp", "tcp" or "tls"
    peer: tuple[str, int]
    local: tuple[str, int]  # our address, for Contact and the SDP answer
    connection: int = 0  # the shell's number of a connection, 0 for UDP

    @property
    def reliable(self) -> bool:
        return self.transport != "udp"


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes = field(repr=False)
    flow: Flow


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message was bad or refused."""

    kind: str  # few and fixed: a metric label


@dataclass(frozen=True, slots=True)
class Invited:
    """An INVITE of a new dialog waits for `respond`."""

    dialog: int
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Modified:
    """A re-INVITE or UPDATE waits for `respond`."""

    dialog: int
    request: Request
    flow: Flow


@dataclass(frozen=True, slots=True)
class Informed:
    """An INFO of a dialog, answered already: what its body says changes nothing of the answer."""

    dialog: int
    request: Request


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The ACK to a 2xx is here."""

    dialog: int
    request: Request
    first: bool  # it completes the dialog's first INVITE


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe."""

    dialog: int
    alive: bool


@dataclass(frozen=True, slots=True)
class HungUp:
    """The dialog is over; told once, whatever is still exchanged."""

    dialog: int
    cause: str


Effect = Send | Rejected | Invited | Modified | Informed | Acknowledged | Probed | HungUp
