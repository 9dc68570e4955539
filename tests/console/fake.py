"""A gateway's controls without a gateway, and the API served from them on a loopback port."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import httpx
from prometheus_client import CollectorRegistry

from gateway.config.api import ApiSettings
from gateway.console.agents import Agent, Right, digest
from gateway.console.server import serving
from gateway.recording.control import CallStatus, NoSuchCall, Result
from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause, Direction, Personal
from tests.patience import PATIENCE_SECONDS

HOST = "127.0.0.1"
SECOND = 1_000_000_000


class FakeControls:
    """Does at once what is asked, unless `outcome` says otherwise; `asked` is what was."""

    def __init__(self) -> None:
        self.calls: dict[str, CallStatus] = {}
        self.asked: list[tuple[object, ...]] = []
        self.outcome = Outcome.APPLIED
        self.fault: Exception | None = None
        self._listeners: set[asyncio.Event] = set()

    def begin(self, call_id: str, *extensions: str, held: bool = False, ended: bool = False) -> None:
        now = time.time_ns()
        status = CallStatus(
            call_id,
            RecordingNow.RECORDING,
            now,
            now,
            Direction.INBOUND,
            tuple(map(Personal, extensions)),
            held=held,
            ended=ended,
        )
        self._put(status)

    def end(self, call_id: str) -> None:
        del self.calls[call_id]
        self._wake()

    def running(self, extensions: Collection[str] | None) -> list[CallStatus]:
        if self.fault:
            raise self.fault
        found = [
            status
            for status in self.calls.values()
            if extensions is None or any(each in extensions for each in status.extensions)
        ]
        return sorted(found, key=lambda status: status.started_ns, reverse=True)

    def status(self, call_id: str) -> CallStatus:
        try:
            return self.calls[call_id]
        except KeyError:
            raise NoSuchCall(call_id) from None

    async def pause(self, call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
        self.asked.append(("pause", call_id, actor, reason, ago_ns))
        resumes = time.time_ns() + 600 * SECOND
        return self._change(call_id, RecordingNow.PAUSED, Cause.AGENT, actor, resumes)

    async def resume(self, call_id: str, actor: str) -> Result:
        self.asked.append(("resume", call_id, actor))
        return self._change(call_id, RecordingNow.RECORDING)

    async def extend(self, call_id: str, actor: str) -> Result:
        self.asked.append(("extend", call_id, actor))
        status = self.status(call_id)
        resumes = status.resumes_ns and status.resumes_ns + 300 * SECOND
        self._put(replace(status, resumes_ns=resumes))
        return self._result(call_id)

    async def opt_out(self, call_id: str, actor: str, reason: str = "") -> Result:
        self.asked.append(("opt_out", call_id, actor, reason))
        return self._change(call_id, RecordingNow.OFF, Cause.OPT_OUT, actor)

    async def mark(self, call_id: str, actor: str, kind: str) -> Result:
        self.asked.append(("mark", call_id, actor, kind))
        return self._result(call_id)

    async def changes(self) -> AsyncIterator[None]:
        event = asyncio.Event()
        self._listeners.add(event)
        try:
            while True:
                await event.wait()
                event.clear()
                yield
        finally:
            self._listeners.discard(event)

    def _change(
        self, call_id: str, state: RecordingNow, cause: Cause | None = None, actor: str | None = None,
        resumes_ns: int | None = None,
    ) -> Result:  # fmt: skip
        status = self.status(call_id)
        if self.outcome in (Outcome.REFUSED, Outcome.UNCONFIRMED):
            state = RecordingNow.UNKNOWN if self.outcome is Outcome.UNCONFIRMED else status.state
        self._put(
            replace(
                status, state=state, since_ns=time.time_ns(), cause=cause, actor=actor, resumes_ns=resumes_ns
            )
        )
        return self._result(call_id)

    def _result(self, call_id: str) -> Result:
        why = "" if self.outcome is Outcome.APPLIED else "as the test wants it"
        return Result(self.outcome, why, self.status(call_id))

    def _put(self, status: CallStatus) -> None:
        self.calls[status.call_id] = status
        self._wake()

    def _wake(self) -> None:
        for event in self._listeners:
            event.set()


SECRETS = {
    name: base64.urlsafe_b64encode(digest(name)).decode().rstrip("=")
    for name in ("one", "two", "all", "eyes")
}


class FakeAgents:
    """Four tokens: of extension 201, of 202 and 203, of all, and of one who may only look at 201."""

    def __init__(self) -> None:
        every = frozenset(Right)
        self.agents = {
            agent.id: agent
            for agent in (
                _agent("00000001", "one", frozenset({"201"}), every),
                _agent("00000002", "two", frozenset({"202", "203"}), every),
                _agent("00000003", "all", None, every),
                _agent("00000004", "eyes", frozenset({"201"}), frozenset()),
            )
        }

    def current(self) -> dict[str, Agent]:
        return dict(self.agents)


def _agent(id: str, name: str, extensions: frozenset[str] | None, rights: frozenset[Right]) -> Agent:
    return Agent(id, Personal(name), extensions, rights, digest(SECRETS[name]), "2026-01-01T00:00:00Z")


TOKENS = {
    "one": f"ht_00000001_{SECRETS['one']}",
    "two": f"ht_00000002_{SECRETS['two']}",
    "all": f"ht_00000003_{SECRETS['all']}",
    "eyes": f"ht_00000004_{SECRETS['eyes']}",
}
GENEROUS = {
    "requests_per_second": 1000,
    "requests_per_second_per_address": 10_000,
    "failures_per_minute": 10_000,
}


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {TOKENS[name]}"}


@dataclass
class Served:
    """The API on a port, with call `c1` of 201 and call `c2` of 202 running."""

    port: int
    controls: FakeControls
    agents: FakeAgents
    registry: CollectorRegistry
    http: httpx.AsyncClient
    scheme: str = field(default="http")

    @property
    def live(self) -> str:
        return f"ws://{HOST}:{self.port}/v1/live"


@asynccontextmanager
async def served(**settings: object) -> AsyncIterator[Served]:
    controls, agents, registry = FakeControls(), FakeAgents(), CollectorRegistry()
    controls.begin("c1", "201")
    controls.begin("c2", "202")
    chosen = ApiSettings.model_validate({"port": 0, **GENEROUS, **settings})
    async with (
        serving(chosen, controls, agents, registry) as port,
        httpx.AsyncClient(
            base_url=f"http://{HOST}:{port}", headers=bearer("one"), timeout=PATIENCE_SECONDS
        ) as http,
    ):
        yield Served(port, controls, agents, registry, http)
