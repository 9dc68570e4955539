"""Running calls without any audio: does at once what a media worker would, unless told to answer otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.recording.control import CallStatus, NoSuchCall, Result
from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause, Direction, Personal

SECOND = 1_000_000_000
CEILING_NS = 600 * SECOND
EXTEND_NS = 300 * SECOND


def call(name: str = "call-1", extension: str = "201", **facts: Any) -> CallStatus:
    """A call that is recorded since now, with other facts where they are given."""
    now = time.time_ns()
    made = CallStatus(name, RecordingNow.RECORDING, now, now, Direction.INBOUND, (Personal(extension),))
    return replace(made, **facts)


@dataclass(slots=True)
class Switchboard:
    """The `Controls` of a test, in an event loop of another thread: `put` and `set` are called in that one."""

    asked: list[tuple[str, ...]] = field(default_factory=list)  # action, call, reason or kind
    ago_ns: list[int] = field(default_factory=list)  # of each pause
    verdict: tuple[Outcome, str] | None = None  # of every further request, which then changes nothing, unless late
    gate: asyncio.Event | None = None  # requests wait for it
    calls: dict[str, CallStatus] = field(default_factory=dict)
    wakes: set[asyncio.Event] = field(default_factory=set)

    def put(self, *calls: CallStatus) -> None:
        """These calls run from now on, and no others."""
        self.calls = {each.call_id: each for each in calls}
        self._wake()

    def set(self, name: str = "call-1", **facts: Any) -> None:
        if "state" in facts:
            facts = {"since_ns": time.time_ns()} | facts
        self.calls[name] = replace(self.calls[name], **facts)
        self._wake()

    def running(self, extensions: Collection[str] | None) -> list[CallStatus]:
        """In the order in which they were put."""

        def wanted(status: CallStatus) -> bool:
            return extensions is None or any(each.reveal() in extensions for each in status.extensions)

        return [status for status in self.calls.values() if wanted(status)]

    def status(self, call_id: str) -> CallStatus:
        if call_id not in self.calls:
            raise NoSuchCall(call_id)
        return self.calls[call_id]

    async def pause(self, call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
        self.ago_ns.append(ago_ns)
        resumes = time.time_ns() + CEILING_NS
        paused = {"state": RecordingNow.PAUSED, "cause": Cause.AGENT, "actor": actor, "resumes_ns": resumes}
        return await self._apply("pause", call_id, reason, paused)

    async def resume(self, call_id: str, actor: str) -> Result:
        recording = {"state": RecordingNow.RECORDING, "cause": None, "actor": None, "resumes_ns": None}
        return await self._apply("resume", call_id, "", recording)

    async def opt_out(self, call_id: str, actor: str, reason: str = "") -> Result:
        off = {"state": RecordingNow.OFF, "cause": Cause.OPT_OUT, "actor": actor, "resumes_ns": None}
        return await self._apply("opt-out", call_id, reason, off)

    async def extend(self, call_id: str, actor: str) -> Result:
        later = {"resumes_ns": time.time_ns() + EXTEND_NS, "warning": False}
        return await self._apply("extend", call_id, "", later)

    async def mark(self, call_id: str, actor: str, kind: str) -> Result:
        return await self._apply("mark", call_id, kind, {})

    async def _apply(self, action: str, call_id: str, detail: str, facts: dict[str, Any]) -> Result:
        before = self.status(call_id)
        self.asked.append((action, call_id, detail))
        if self.gate is not None:
            await self.gate.wait()
        outcome, why = self.verdict or (Outcome.APPLIED, "")
        if outcome is Outcome.UNCONFIRMED:
            return Result(outcome, why, replace(before, state=RecordingNow.UNKNOWN))
        if outcome in (Outcome.APPLIED, Outcome.LATE):
            if facts.get("state") is before.state:
                return Result(Outcome.UNCHANGED, "it was so already", before)
            self.set(call_id, **facts)
        return Result(outcome, why, self.status(call_id))

    async def changes(self) -> AsyncIterator[None]:
        wake = asyncio.Event()
        self.wakes.add(wake)
        try:
            while True:
                await wake.wait()
                wake.clear()
                yield
        finally:
            self.wakes.discard(wake)

    def _wake(self) -> None:
        for wake in self.wakes:
            wake.set()
