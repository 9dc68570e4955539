"""Several real worker processes, each told and heard by itself."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.config.settings import MediaSettings
from gateway.io.channel import Configure, Message, Ready
from gateway.io.progress import Progress
from gateway.io.receive import media_socket
from gateway.io.supervisor import WorkerFailed
from gateway.io.workers import Workers, count_workers
from gateway.recording.messages import CallReport, RecordingNow, Status
from tests.io.test_controls import Rig
from tests.io.test_supervisor import SETTINGS
from tests.patience import PATIENCE_SECONDS
from tests.recording.simulation import PLAN


def workers(folder: Path, hear: Callable[[int, Message], None]) -> Workers:
    progress = SimpleNamespace(heard=hear, worker_lost=lambda worker: None, resume=lambda worker: ())
    return Workers(Configure(SETTINGS, str(folder)), 2, cast(Progress, progress))


def test_each_is_told_of_its_own_calls_and_heard_by_its_number(tmp_path: Path) -> None:
    heard: list[tuple[int, Message]] = []
    sockets = [media_socket("127.0.0.1", 0) for _ in PLAN.legs]

    async def scenario() -> None:
        both = workers(tmp_path, lambda worker, message: heard.append((worker, message)))
        await both.start()
        plan = replace(PLAN, folder=str(tmp_path), started_ns=time.monotonic_ns())
        both.tell(1, plan, [each.fileno() for each in sockets])
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(isinstance(message, CallReport) for _, message in heard):
                await asyncio.sleep(0.01)
        await both.stop()

    asyncio.run(scenario())
    for each in sockets:
        each.close()
    assert sorted(worker for worker, message in heard if isinstance(message, Ready)) == [0, 1]
    assert {worker for worker, message in heard if isinstance(message, CallReport | Status)} == {1}


def test_one_that_cannot_start_keeps_the_gateway_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def scenario() -> None:
        both = workers(tmp_path, lambda worker, message: None)
        with pytest.raises(WorkerFailed, match="media worker 0 ended with status 1 before it could record"):
            await both.start()
        await both.stop()

    asyncio.run(scenario())


def test_a_death_is_that_of_its_own_calls(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path)
        rig.live.worker = 1
        rig.running.add(rig.live)
        rig.controls.said(Status(PLAN.call_id, RecordingNow.RECORDING, 0))
        rig.progress.worker_lost(0)
        assert rig.live.status.state is RecordingNow.RECORDING
        assert list(rig.progress.resume(0)) == []
        rig.progress.worker_lost(1)
        assert rig.state is RecordingNow.UNKNOWN
        assert [type(command).__name__ for command, _ in rig.progress.resume(1)] == ["Open"]
        await rig.stop()

    asyncio.run(scenario())


def test_as_many_as_are_asked_for() -> None:
    assert count_workers(MediaSettings(workers=3)) == 3
    assert count_workers(MediaSettings()) >= 1
