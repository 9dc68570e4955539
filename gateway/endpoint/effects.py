"""What the forwarder asks for, in order; where to is a process or a place outside. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.sip.message import Request, Response


@dataclass(frozen=True, slots=True)
class Hop:
    """A place outside, and how it is reached."""

    transport: str  # udp, tcp
    host: str
    port: int | None = None  # none: what DNS or the default says


@dataclass(frozen=True, slots=True)
class ToSeat:
    """Send to a process, numbered from 0."""

    seat: int
    data: bytes


@dataclass(frozen=True, slots=True)
class ToOutside:
    """Send to the trunk or a phone; `back`: an answer, over the connection by which the request came."""

    hop: Hop
    data: bytes
    back: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something could not be forwarded: few fixed kinds, a metric label."""

    kind: str


@dataclass(frozen=True, slots=True)
class Description:
    """A session description of a process's went by: what it takes on that leg, as it was agreed."""

    call_id: str
    sdp: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """Somebody took a call of ours."""

    answer: Response = field(repr=False)  # as it came


@dataclass(frozen=True, slots=True)
class Referred:
    """The practice's telephone hands its call to somebody else."""

    call_id: str  # of its leg
    target: str = field(repr=False)  # URI to call


@dataclass(frozen=True, slots=True)
class Given:
    """A call was given to a process, which is soon to answer: else say `unanswered`."""

    call_id: str
    invite: Request = field(repr=False)  # as it came


Effect = ToSeat | ToOutside | Dropped | Description | Given | Answered | Referred
