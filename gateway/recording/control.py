"""What a person at a telephone may ask of a running call, and what is then true of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Protocol

from gateway.recording.messages import OpenRedaction, Outcome, RecordingNow
from gateway.recording.model import Cause, Direction, Personal

MARKERS = ("told_caller", "abuse_reminder", "decision_read_back")


@dataclass(frozen=True, slots=True)
class CallStatus:
    """How a running call stands. Times are UTC, ns since 1970."""

    call_id: str
    state: RecordingNow
    since_ns: int
    started_ns: int
    direction: Direction
    extensions: tuple[Personal, ...] = field(repr=False)  # of the agents who are on it now
    cause: Cause | None = None  # of what paused or stopped it, the latest
    actor: str | None = None
    resumes_ns: int | None = None  # when it is recorded again by itself
    warning: bool = False  # that is soon
    held: bool = False
    ended: bool = False  # hung up: only its last audio, which waits, may still be recorded, or not
    open: tuple[OpenRedaction, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a request, and how the call stands after it."""

    outcome: Outcome
    why: str
    status: CallStatus


class NoSuchCall(Exception):
    """No such call is running."""


class Controls(Protocol):
    """Running calls, for those who may act on them. A request returns when the media worker has applied it.

    `actor` is the id of an agent's token. Every method that names a call raises NoSuchCall.
    """

    def running(self, extensions: Collection[str] | None) -> list[CallStatus]:
        """The running calls of these extensions, the latest begun first; None: all."""

    def status(self, call_id: str) -> CallStatus: ...

    async def pause(self, call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
        """`ago_ns`: how long ago the key was pressed, where that took time to be told of."""

    async def resume(self, call_id: str, actor: str) -> Result: ...

    async def extend(self, call_id: str, actor: str) -> Result: ...

    async def opt_out(self, call_id: str, actor: str, reason: str = "") -> Result: ...

    async def mark(self, call_id: str, actor: str, kind: str) -> Result:
        """Raises ValueError on a kind that is not one of MARKERS."""

    def changes(self) -> AsyncIterator[None]:
        """Wakes whenever a call begins, changes or ends."""
