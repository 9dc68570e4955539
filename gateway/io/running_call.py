"""A running call with what it holds of this machine."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.recording.call import Call
from gateway.recording.messages import LegPlan, PayloadFormat, SrtpKey
from gateway.recording.model import Role
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment
from gateway.siprec.session import SessionId, Stream

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
    """One recording session of a call; nearly always there is one."""

    session: SessionId
    lines: list[Line]
    address: str  # written into answers


@dataclass(frozen=True, slots=True)
class Ending:
    """How and when the last session of a call ended."""

    cause: str
    utc_ns: int
    at_ns: int  # monotonic


@dataclass(slots=True)
class Live:
    """A call, its sessions and its sockets."""

    call: Call
    parties: Parties
    keys: dict[str, str]  # data keys by recording
    sockets: list[socket.socket]  # of the legs, in their order
    branches: dict[SessionId, Branch] = field(default_factory=dict)
    pauses: dict[int, int] = field(default_factory=dict)  # since when (monotonic ns) a leg is paused
    pair: str | None = None
    group: str | None = None
    ending: Ending | None = None  # while it waits for another session of its group
    waiting: asyncio.TimerHandle | None = None
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    turning: asyncio.Lock = field(default_factory=asyncio.Lock)
    settling: bool = False

    @property
    def key(self) -> str:
        """Of the recording that is being written."""
        return self.keys[self.call.segment.recording_id]

    @property
    def held(self) -> bool:
        """Whether the client says of every leg that no media will come."""
        lines = [line for branch in self.branches.values() for line in branch.lines]
        return bool(lines) and all(line.paused or line.index is None for line in lines)

    def handles(self) -> list[int]:
        return [each.fileno() for each in self.sockets]

    def role(self, leg: int) -> Role:
        """The role by which the engine knows a leg."""
        return self.call.legs[leg].role

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
    formats = tuple(
        PayloadFormat(f.payload_type, f.name, f.clock_rate, f.channels, f.fmtp or "") for f in stream.formats
    )
    keys = tuple(SrtpKey(key.suite, key.secret.hex(), key.mki.hex()) for key in stream.keys)
    return LegPlan(role, formats, stream.events, keys, stream.event_rates, stream.noise)


def voices(streams: Sequence[Stream]) -> list[Stream]:
    """The streams that are recorded; a call has two legs."""
    return [stream for stream in streams if stream.acceptable][:MAX_LEGS]
