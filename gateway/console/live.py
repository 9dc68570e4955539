"""Live state: every change of a call, and a heartbeat, to every WebSocket that watches it.

One round serves all: it asks once for the running calls and writes each as JSON once. A watcher has room for one
message; a newer one takes the place of one that was not sent yet, so that a slow reader costs no memory and sees
what is true now.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field

from gateway.console.agents import Agent
from gateway.console.faults import place_of
from gateway.console.gate import Agents, Clock
from gateway.console.shapes import shown
from gateway.recording.control import CallStatus, Controls

log = logging.getLogger(__name__)

# Seconds between two messages at most; a round late, still within the second that is promised.
HEARTBEAT = 0.75
LOOK = 0.2  # seconds between two rounds at most
PAUSE = 0.1  # and at least: many changes make one round, as a round over a thousand calls takes milliseconds


@dataclass(eq=False, slots=True)
class Watcher:
    """One WebSocket's view."""

    agent: Agent
    extensions: frozenset[str] | None  # None: all
    message: str | None = None  # to be sent
    revoked: bool = False
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    seen: tuple[CallStatus, ...] = ()
    due: float = 0.0  # monotonic seconds

    def tell(self, seen: tuple[CallStatus, ...], message: str, now: float) -> None:
        self.seen, self.message, self.due = seen, message, now + HEARTBEAT
        self.ready.set()

    def end(self) -> None:
        self.revoked = True
        self.ready.set()


class Broadcast:
    """Runs while the API does."""

    def __init__(self, controls: Controls, agents: Agents, clock: Clock) -> None:
        self._controls, self._agents, self._clock = controls, agents, clock
        self._watchers: set[Watcher] = set()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._watchers)

    def add(self, watcher: Watcher) -> None:
        """Its first message is there at once."""
        self._watchers.add(watcher)
        self._serve(_Round(self._controls.running(watcher.extensions), self._clock), watcher)

    def remove(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK):
                        await self._changed.wait()
                self._changed.clear()
                if self._watchers:
                    self._try_round()
                await asyncio.sleep(PAUSE)

    async def _listen(self) -> None:
        async for _ in self._controls.changes():
            self._changed.set()

    def _try_round(self) -> None:
        """A round that fails tells nobody anything: after seconds of silence they know that nothing is known."""
        try:
            self._round()
        except Exception as error:  # noqa: BLE001 the next one may do
            log.error("live state: %s", place_of(error))

    def _round(self) -> None:
        agents = self._agents.current()
        made = _Round(self._controls.running(None), self._clock)
        for watcher in self._watchers:
            if agents.get(watcher.agent.id) != watcher.agent:
                watcher.end()
            else:
                self._serve(made, watcher)

    def _serve(self, made: _Round, watcher: Watcher) -> None:
        mine = made.of(watcher.extensions)
        if mine != watcher.seen or made.now >= watcher.due:
            watcher.tell(mine, made.message(mine), made.now)


class _Round:
    """The running calls at one moment, the latest begun first, each as JSON when it is first wanted."""

    def __init__(self, running: list[CallStatus], clock: Clock) -> None:
        self.now, self._utc_ns = clock.monotonic(), clock.utc_ns()
        self._running = tuple(running)
        self._texts: dict[str, str] = {}
        self._by_extension: dict[str, list[CallStatus]] = defaultdict(list)
        for status in running:
            for extension in status.extensions:
                self._by_extension[extension].append(status)

    def of(self, extensions: frozenset[str] | None) -> tuple[CallStatus, ...]:
        if extensions is None:
            return self._running
        found = [status for each in extensions for status in self._by_extension.get(each, ())]
        if len(found) > 1:
            once = {status.call_id: status for status in found}
            found = sorted(once.values(), key=lambda status: status.started_ns, reverse=True)
        return tuple(found)

    def message(self, calls: tuple[CallStatus, ...]) -> str:
        return '{"type":"calls","calls":[' + ",".join(map(self._text, calls)) + "]}"

    def _text(self, status: CallStatus) -> str:
        text = self._texts.get(status.call_id)
        if text is None:
            text = self._texts[status.call_id] = json.dumps(shown(status, self._utc_ns))
        return text
