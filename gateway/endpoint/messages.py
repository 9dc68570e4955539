"""What the control process and an endpoint process tell each other: one JSON text a line, over a socket pair.

A call is known by the Call-ID of its caller's leg. Times are ns of the monotonic clock, which both share.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum

from gateway.sip.message import Request, Response

BREATH_SECONDS = 2.0
MAX_LINE = 1 << 20  # octets; a description has 32,768 at most


class Side(StrEnum):
    """Whose leg."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


class Cause(StrEnum):
    """Why a call is over; a metric label."""

    CALLER_BYE = "caller_bye"
    CALLEE_BYE = "callee_bye"
    CANCELLED = "cancelled"  # the caller hung up before the practice's phone was answered
    REFUSED = "refused"  # the practice's phone is busy, or does not want the call
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"  # the practice's number could not be called
    NO_NOTICE = "no_notice"  # the notice could not be played, and is required
    FAILED = "failed"  # of the endpoint itself


@dataclass(frozen=True, slots=True)
class Configure:
    """The first line to a process."""

    front: str  # host:port of the forwarder, which all its SIP goes through
    contact: str  # URI under which the trunk reaches the forwarder
    identity: str = field(repr=False)  # SIP address of the account
    registrar: str  # URI; empty: this process does not register
    expires_seconds: int
    user: str = field(repr=False)
    password: str = field(repr=False)
    realm: str
    destination: str = field(repr=False)  # URI of the practice's number
    shown: str  # where the practice is shown who calls: name, number, nowhere
    media_address: str  # written into descriptions
    bound_address: str  # where RTP is received
    first_port: int  # of RTP
    ports: int
    notice: str  # file, 16 bit, mono; empty: none
    ringing: str  # file, played round and round
    busy: str
    ring_seconds: float
    busy_seconds: float
    answer_late: bool  # the caller is answered when the practice's phone is
    notice_required: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """The process takes calls."""

    port: int  # of SIP, on loopback


@dataclass(frozen=True, slots=True)
class Broken:
    """The process cannot take calls; it ends."""

    why: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The process does its work; said every BREATH_SECONDS."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the registrar answered: below 300, it knows us."""

    status: int
    expires_seconds: int


@dataclass(frozen=True, slots=True)
class Arrived:
    call: str
    at_ns: int
    # As it came from outside; the control process, which sees it go by, fills it in.
    invite: Request | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Described:
    """What is to come on a leg was agreed anew."""

    call: str
    at_ns: int
    side: Side
    leg: str  # its Call-ID
    held: bool = False  # nothing meant for the other side is sent
    sdp: str = field(default="", repr=False)  # of ours; the control process, which sees it go by, fills it in


@dataclass(frozen=True, slots=True)
class Dialling:
    """Somebody of the practice is called: the number that was set, or to whom a call was handed on."""

    call: str
    at_ns: int
    target: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Connected:
    """One leg was answered."""

    call: str
    at_ns: int
    side: Side
    leg: str = ""  # its Call-ID
    # Of the practice's phone; the control process, which sees it go by, fills it in.
    answer: Response | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Noticed:
    """The notice ended; `whole`: it was played to its last sample, into a stream that was open throughout."""

    call: str
    at_ns: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Bridged:
    """Caller and practice hear each other."""

    call: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key told of by INFO; those in RTP are not told, the recorder sees them there."""

    call: str
    at_ns: int
    side: Side
    key: str = field(repr=False)
    lasts_ms: int


@dataclass(frozen=True, slots=True)
class Relayed:
    """A key was passed on. Which, nobody is told."""

    call: str
    way: str  # rfc4733, info
    passed: bool


@dataclass(frozen=True, slots=True)
class Over:
    """Both legs are gone."""

    call: str
    at_ns: int
    cause: Cause
    status: int = 0  # of the response by which the practice's phone refused


@dataclass(frozen=True, slots=True)
class HangUp:
    """To a process: end a call, or with an empty name all of them."""

    call: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """To a process: hand a call to somebody else of the practice."""

    call: str
    target: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Renew:
    """To the process that registers: the connection to the registrar is lost, register anew."""


FromProcess = (
    Ready | Broken | Alive | Registered | Arrived | Described | Dialling | Connected | Noticed | Bridged | KeyPressed | Relayed | Over
)  # fmt: skip
ToProcess = Configure | HangUp | Transfer | Renew
Line = FromProcess | ToProcess
KINDS = {kind.__name__: kind for kind in Line.__args__}
_ENUMS = {"side": Side, "cause": Cause}


class BadLine(Exception):
    """A line is none of these messages: the other process is not the one we know."""


def write(message: Line) -> bytes:
    return json.dumps([type(message).__name__, asdict(message)], separators=(",", ":")).encode() + b"\n"


def read(line: bytes) -> Line:
    """Raises BadLine."""
    try:
        name, body = json.loads(line)
        kind = KINDS[name]
        known = {each.name for each in fields(kind)}
        if set(body) - known:
            raise ValueError
        message: Line = kind(**{k: _ENUMS[k](value) if k in _ENUMS else value for k, value in body.items()})
        return message
    except (ValueError, TypeError, KeyError) as error:
        raise BadLine(f"{len(line)} octets that are no message") from error


class Lines:
    """Cuts what comes from the other process into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Line]:
        """Raises BadLine."""
        self._buffer += data
        while (end := self._buffer.find(b"\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            yield read(line)
        if len(self._buffer) > MAX_LINE:
            raise BadLine(f"a line of more than {MAX_LINE} octets")
