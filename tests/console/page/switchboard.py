"""The API with running calls that have no audio, in a thread of its own, for clients that are other processes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry

from gateway.config.api import ApiSettings
from gateway.console.server import serving
from gateway.recording.control import CallStatus, Result
from gateway.recording.messages import Outcome, RecordingNow
from tests.console.fake import GENEROUS, HOST, SECOND, FakeAgents, FakeControls
from tests.patience import PATIENCE_SECONDS

T = TypeVar("T")


class Calls(FakeControls):
    """As its parent; `why` is said with an outcome that is not APPLIED, and `gate` holds answers back."""

    def __init__(self) -> None:
        super().__init__()
        self.why = ""
        self.gate = asyncio.Event()
        self.gate.set()

    def change(self, call_id: str, **facts: Any) -> None:
        """Something happens to a call that this agent did not ask for."""
        if "state" in facts:
            facts = {"since_ns": time.time_ns()} | facts
        self._put(replace(self.calls[call_id], **facts))

    def clear(self) -> None:
        """As at first: no call runs, nothing was asked, and what is asked is done."""
        self.calls.clear()
        self.asked.clear()
        self.outcome, self.why = Outcome.APPLIED, ""
        self.gate.set()
        self._wake()

    async def extend(self, call_id: str, actor: str) -> Result:
        self.change(call_id, warning=False)
        return await super().extend(call_id, actor)

    async def mark(self, call_id: str, actor: str, kind: str) -> Result:
        await self.gate.wait()
        return await super().mark(call_id, actor, kind)

    async def pause(self, call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
        await self.gate.wait()
        if self.status(call_id).state is RecordingNow.PAUSED:
            self.asked.append(("pause", call_id, actor, reason, ago_ns))
            return self._result(call_id)
        return await super().pause(call_id, actor, reason, ago_ns)

    def _result(self, call_id: str) -> Result:
        return replace(super()._result(call_id), why=self.why)


class Switchboard:
    """Calls are changed by `do`, in the server's own thread."""

    def __init__(self) -> None:
        self.controls, self.agents = Calls(), FakeAgents()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._serving = AsyncExitStack()

    def start(self, **settings: object) -> None:
        """On the port it had before, or on a free one."""
        chosen = ApiSettings.model_validate({"port": self.port, **GENEROUS, **settings})
        self.port = self._run(
            self._serving.enter_async_context(
                serving(chosen, self.controls, self.agents, CollectorRegistry())
            )
        )

    def stop(self) -> None:
        """The gateway ends."""
        self._run(self._serving.aclose())

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The gateway says nothing while the context lasts, and its connections stay."""
        thaw = threading.Event()
        self._loop.call_soon_threadsafe(thaw.wait)
        try:
            yield
        finally:
            thaw.set()

    def do(self, action: Callable[[Calls], T]) -> T:
        async def act() -> T:
            return action(self.controls)

        return self._run(act())

    def begin(self, call_id: str = "c1", extension: str = "201", **facts: Any) -> None:
        """This call runs, beside those that do."""

        def act(calls: Calls) -> None:
            calls.begin(call_id, extension)
            calls.change(call_id, **facts)

        self.do(act)

    def call(self, call_id: str = "c1") -> CallStatus:
        return self.do(lambda calls: calls.status(call_id))

    def asked(self) -> list[tuple[object, ...]]:
        """What was asked since this was last looked at: action and call, and for the rest see FakeControls."""
        found = self.do(lambda calls: list(calls.asked))
        self.do(lambda calls: calls.asked.clear())
        return found

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


@contextmanager
def switchboard(**settings: object) -> Iterator[Switchboard]:
    made = Switchboard()
    made._thread.start()
    try:
        made.start(**settings)
        yield made
    finally:
        made.stop()
        made._loop.call_soon_threadsafe(made._loop.stop)
        made._thread.join()
        made._loop.close()


__all__ = ["SECOND", "Switchboard", "switchboard"]
