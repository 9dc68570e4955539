"""Real processes of a few lines each, which end, are killed, or will not end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.io import child
from gateway.io.child import Child, Program
from tests.patience import PATIENCE_SECONDS

READY = """
import os, socket, sys
end = socket.socket(fileno=int(sys.argv[1]))
end.send(b"ready")
"""
OBEDIENT = READY + "end.recv(1)\n"  # until our end is closed
STUBBORN = READY + "import signal\nwhile True:\n    signal.pause()\n"
BROKEN = "raise SystemExit(3)"


class Failed(Exception):
    """Its text is the status of the process."""


class Sample(Child):
    """A child that says only that it is ready; `events` are what it was asked and told, in order."""

    def __init__(self, program: Program) -> None:
        super().__init__("sample", program)
        self.events: list[str] = []
        self.changed = asyncio.Event()
        self.when_lost: Callable[[], None] = lambda: None
        self._end_of_it: socket.socket | None = None

    async def until(self, event: str, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.events.count(event) < count:
                self.changed.clear()
                await self.changed.wait()

    def kill(self) -> int:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)
        return self.pid

    def _note(self, event: str) -> None:
        self.events.append(event)
        self.changed.set()

    def _connect(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end_of_it = end
        self._loop.add_reader(end, self._hear)
        self._note("connected")

    def _hear(self) -> None:
        if self._end_of_it:
            try:
                data = self._end_of_it.recv(16)
            except BlockingIOError:
                return
            if data:
                self._ready.set()
                self._note(data.decode())
            else:
                self._loop.remove_reader(self._end_of_it)

    def _tell_to_end(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._end_of_it:
            self._loop.remove_reader(self._end_of_it)
            self._end_of_it.close()
        self._end_of_it = None

    def _failed(self, status: int) -> Failed:
        return Failed(str(status))

    def _lost(self) -> None:
        self._note("lost")
        self.when_lost()

    def _resume(self) -> None:
        self._note("resumed")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float | None], Program]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(child, "RESTART_SECONDS", 0.0)

    def make(source: str, stop_seconds: float | None = None) -> Program:
        (tmp_path / "kept_alive.py").write_text(source)
        return Program("kept_alive", socket.SOCK_SEQPACKET, stop_seconds=stop_seconds)

    return make


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            await work()

    asyncio.run(limited())


def test_one_that_dies_is_replaced_and_the_next_one_is_told_how_to_go_on(
    program: Callable[..., Program], caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        kept = Sample(program(OBEDIENT))
        await kept.start()
        first = kept.kill()
        await kept.until("ready", 2)
        assert kept.pid != first
        assert kept.events == ["connected", "ready", "lost", "connected", "resumed", "ready"]
        await kept.stop()
        assert kept.events[6:] == ["lost"]

    run(work)
    assert [record.getMessage() for record in caplog.records] == [
        "sample ended with status -9 and is replaced"
    ]


def test_one_that_cannot_start_is_not_replaced(program: Callable[..., Program]) -> None:
    async def work() -> None:
        kept = Sample(program(BROKEN))
        with pytest.raises(Failed, match=r"^3$"):
            await kept.start()
        assert kept.events == ["connected"]
        await kept.stop()

    run(work)


def test_one_that_does_not_end_in_its_time_is_killed(program: Callable[..., Program]) -> None:
    async def work() -> None:
        kept = Sample(program(STUBBORN, 0.1))
        await kept.start()
        pid = kept.pid
        assert pid is not None
        await kept.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(work)


def test_one_that_is_started_while_it_is_to_stop_ends_too(program: Callable[..., Program]) -> None:
    async def work() -> None:
        kept = Sample(program(OBEDIENT))
        await kept.start()
        stops: list[asyncio.Task[None]] = []
        # A task made now runs when the next process is being started.
        kept.when_lost = lambda: stops.append(asyncio.create_task(kept.stop()))
        kept.kill()
        await kept.until("connected", 2)
        kept.when_lost = lambda: None
        await stops[0]
        assert "resumed" not in kept.events
        assert kept.pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(kept.pid, 0)

    run(work)


def test_the_next_one_is_not_started_at_once_where_one_did_not_live(
    program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "RESTART_SECONDS", 2 * PATIENCE_SECONDS)
    waited: list[float] = []

    async def work() -> None:
        kept = Sample(program(OBEDIENT))
        await kept.start()
        sleep, woken = asyncio.sleep, asyncio.Event()

        async def noted(seconds: float) -> None:
            waited.append(seconds)
            woken.set()
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", noted)
        kept.kill()
        await woken.wait()
        await kept.until("resumed")
        await kept.stop()

    run(work)
    assert 0 < waited[0] < 2 * PATIENCE_SECONDS
