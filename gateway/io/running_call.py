"""A running call with what it holds of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.recording.call import Call
from gateway.recording.control import CallStatus
from gateway.recording.messages import (
    Answered,
    Command,
    LegPlan,
    OpenRedaction,
    PayloadFormat,
    RecordingNow,
    SrtpKey,
    Status,
)
from gateway.recording.model import UNIT_NS, Cause, Participant, Personal, Role, Wish
from gateway.recording.policy import Unrecorded
from gateway.sip.sdp import Format
from gateway.siprec.effects import SessionId, Stream
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment

MAX_LEGS = 2  # of a call: the external party's and the agent's


@dataclass(slots=True)
class Line:
    """An m-line that is recorded."""

    index: int | None  # among the session's m-lines; None while the client has dropped it
    leg: int  # among the call's legs
    label: str | None
    paused: bool = False


@dataclass(slots=True)
class Branch:
    """One recording session of a call; nearly always there is one. Of a call that a tap overhears it stands for that."""

    session: SessionId  # negative: overheard
    lines: list[Line]
    address: str  # written into answers


@dataclass(frozen=True, slots=True)
class Ending:
    """How and when the last session of a call ended."""

    cause: str
    utc_ns: int
    at_ns: int  # monotonic


@dataclass(frozen=True, slots=True)
class Requested:
    """A command that is to be answered."""

    command: Command
    answer: asyncio.Future[Answered]


@dataclass(slots=True)
class Live:
    """A call, its sessions and its sockets."""

    call: Call
    parties: Parties
    keys: dict[str, str]  # data keys by recording
    sockets: list[socket.socket]  # of the legs, in their order; none of a call that a tap overhears
    worker: int = 0  # the media worker that has it, from its start to its end
    branches: dict[SessionId, Branch] = field(default_factory=dict)
    pauses: dict[int, int] = field(default_factory=dict)  # since when (monotonic ns) a leg is paused
    asked: dict[str, Requested] = field(default_factory=dict)  # what is not answered, in its order
    overdue: set[str] = field(default_factory=set)  # those of them that nobody waits for any more
    status: Status = field(init=False)  # as the media worker last told it
    shown: tuple[tuple[object, ...], CallStatus] | None = None  # how it stands, and what that was made of
    # Who is on it, and the extensions by which their telephones know it.
    reached_at: tuple[tuple[Participant, ...], frozenset[Personal]] | None = None
    counted: bool = False  # among the calls of which the share that is paused is told
    paused_before: bool = False  # by an agent or the card rule, at least once
    forgotten: set[tuple[Cause, tuple[str, ...], int]] = field(default_factory=set)  # pauses told of as such
    heard_ns: dict[Role, int] = field(default_factory=dict)  # when a leg last carried a packet, as reported
    pair: str | None = None
    group: str | None = None
    peers: tuple[str, ...] = ()  # addresses that its signalling comes from or goes between
    ending: Ending | None = None  # while it waits for another session of its group
    waiting: asyncio.TimerHandle | None = None
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    turning: asyncio.Lock = field(default_factory=asyncio.Lock)
    settling: bool = False
    header: Wish | None = None  # what the client last asked for by a header
    recordpref: Wish | None = None  # and in its description
    unrecorded: Unrecorded | None = None  # why it is not recorded now
    intended: bool = False  # the record on disk asks that nothing of it be kept
    unsaid: Status | None = None  # waits for that
    destroying: bool = False

    def __post_init__(self) -> None:
        self.status = Status(self.call.id, RecordingNow.UNKNOWN, self.call.opening.started_ns)

    @property
    def key(self) -> str:
        """Of the recording that is being written."""
        return self.keys[self.call.segment.recording_id]

    @property
    def held(self) -> bool:
        """Whether the client says of every leg that no media will come."""
        some = False
        for branch in self.branches.values():
            for line in branch.lines:
                if not line.paused and line.index is not None:
                    return False
                some = True
        return some

    def redactions(self) -> tuple[OpenRedaction, ...]:
        """What another worker goes on not to keep: what the last one said, and what the client itself wants."""
        started_ns = self.call.opening.started_ns
        clients = (
            OpenRedaction(Cause.SRC, (self.role(leg),), since, start=max(0, since - started_ns) // UNIT_NS)
            for leg, since in self.pauses.items()
        )
        return (*(each for each in self.status.open if each.cause is not Cause.SRC), *clients)

    def handles(self) -> list[int]:
        return [each.fileno() for each in self.sockets]

    def role(self, leg: int) -> Role:
        """The role by which the engine knows a leg."""
        return self.call.legs[leg].role

    def sole_role(self, session: SessionId) -> Role | None:
        """The role of the leg that a session carries, where it carries one alone."""
        legs = [line.leg for line in self.branches[session].lines if line.index is not None]
        return self.role(legs[0]) if len(legs) == 1 else None

    def labels(self, branch: Branch) -> list[str | None]:
        """Of a branch's lines, in the order of their legs."""
        return [line.label for line in sorted(branch.lines, key=lambda line: line.leg)]

    def know(self, assigned: Assignment, branch: Branch) -> bool:
        """Take what metadata says of the parties; True when another agent took over."""
        if len(branch.lines) != len(self.call.legs):  # it tells of one side only
            self.parties.participants = assigned.participants or self.parties.participants
            transfer = False
        else:
            transfer = self.parties.update(assigned)
        if not transfer:
            self.call.segment.participants = self.parties.participants
        self.call.direction, self.call.swapped = self.parties.direction, self.parties.swapped
        return transfer


def leg_plan(stream: Stream, role: Role) -> LegPlan:
    formats, besides = _payload_formats(stream.formats), _payload_formats(stream.besides)
    keys = tuple(SrtpKey(key.suite, key.secret.hex(), key.mki.hex()) for key in stream.keys)
    return LegPlan(
        role, formats, stream.events, keys, stream.event_rates, stream.noise, stream.flow, besides, stream.redundant
    )  # fmt: skip


def _payload_formats(formats: Sequence[Format]) -> tuple[PayloadFormat, ...]:
    return tuple(
        PayloadFormat(f.payload_type, f.name, f.clock_rate, f.channels, f.fmtp or "") for f in formats
    )


def voices(streams: Sequence[Stream]) -> list[Stream]:
    """The streams that are recorded; a call has two legs."""
    return [stream for stream in streams if stream.acceptable][:MAX_LEGS]
