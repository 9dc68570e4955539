"""A real worker process, killed."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.io import child
from gateway.io.append import PartEnded
from gateway.io.channel import Configure, Message, Ready
from gateway.io.receive import media_socket
from gateway.io.supervisor import Supervisor, WorkerFailed
from gateway.recording.engine import EngineSettings
from gateway.recording.messages import CallReport, Close, Command, Finished, Open
from gateway.recording.model import Role
from gateway.storage import container
from gateway.storage.sealing import open_sealed
from tests.patience import PATIENCE_SECONDS
from tests.recording.simulation import KEY, MS, PLAN, SECOND, rtp

SETTINGS = EngineSettings(max_legs=8, hold_back_ns=SECOND // 2, timeout_ns=60 * SECOND, tick_ns=50 * MS)


class Control:
    """The side that a supervisor serves: one call, its sockets, and all that was heard."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[Message] = []
        self.lost = 0
        self.part = 1
        self.plan = replace(PLAN, folder=str(folder), started_ns=time.monotonic_ns())
        self.sockets = [media_socket("127.0.0.1", 0) for _ in PLAN.legs]
        self.supervisor = Supervisor(
            Configure(SETTINGS, str(folder)), self.heard.append, self._lost, self.resume
        )
        self._sequence = 0

    def open(self) -> Open:
        return replace(self.plan, part=self.part)

    def handles(self) -> list[int]:
        return [opened.fileno() for opened in self.sockets]

    def resume(self) -> Iterator[tuple[Command, Sequence[int]]]:
        self.part += 1
        yield self.open(), self.handles()

    async def speak(self, seconds: float) -> None:
        """Send 20 ms packets to the first leg at their pace."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(int(seconds * 50)):
                number = self._sequence
                sender.sendto(
                    rtp(number, number * 160, number.to_bytes(2) * 80), self.sockets[0].getsockname()
                )
                self._sequence += 1
                due += 0.02
                await asyncio.sleep(due - loop.time())

    async def until(self, kind: type[Message], count: int = 1) -> list[Message]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(found := [message for message in self.heard if isinstance(message, kind)]) < count:
                await asyncio.sleep(0.01)
        return found

    def close(self) -> None:
        for opened in self.sockets:
            opened.close()

    def _lost(self) -> None:
        self.lost += 1


def payload(folder: Path, part: int, torn: bool) -> tuple[list[int], list[bytes]]:
    """Times and packets of the first leg in one part."""
    data = (folder / f"{PLAN.recording_id}.{part}.sealed").read_bytes()
    plain = b"".join(open_sealed(io.BytesIO(data), KEY, PLAN.recording_id.encode(), torn=torn))
    reader = container.read([plain])
    roles = {track.number: track.role for track in reader.tracks}
    blocks = [block for block in reader.blocks() if roles[block.track] is Role.EXTERNAL]
    packets = [b.payload[at : at + 160] for b in blocks for at in range(0, len(b.payload), 160)]
    return [block.time for block in blocks], packets


def test_a_killed_worker_is_replaced_and_goes_on_with_the_same_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "RESTART_SECONDS", 0.0)

    async def scenario() -> Control:
        control = Control(tmp_path)
        await control.supervisor.start()
        control.supervisor.send(control.open(), control.handles())
        await control.speak(2.5)
        assert control.supervisor.pid is not None
        os.kill(control.supervisor.pid, signal.SIGKILL)
        await control.speak(2.5)
        await control.until(Ready, 2)
        control.supervisor.send(Close(PLAN.call_id, time.monotonic_ns()))
        await control.until(PartEnded)
        await control.supervisor.stop()
        control.close()
        return control

    control = asyncio.run(scenario())
    assert control.lost == 1
    (finished,) = (message for message in control.heard if isinstance(message, Finished))
    assert finished.next_part == 3
    first, second = payload(tmp_path, 1, torn=True), payload(tmp_path, 2, torn=False)
    numbers = [int.from_bytes(packet[:2]) for packet in first[1] + second[1]]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] == 249
    assert len(first[1]) >= 40
    # The sockets stayed open: of the time without a worker nothing is missing but what the dead one had drained.
    assert 250 - len(numbers) <= 75
    last, begins = first[0][-1], second[0][0]
    assert begins > last
    place = begins / 160 - int.from_bytes(second[1][0][:2])
    assert abs(place - (first[0][0] / 160 - int.from_bytes(first[1][0][:2]))) < 3


def test_a_worker_ends_with_its_files_whole_when_it_is_stopped(tmp_path: Path) -> None:
    async def scenario() -> Control:
        control = Control(tmp_path)
        await control.supervisor.start()
        control.supervisor.send(control.open(), control.handles())
        await control.speak(1.5)
        await control.until(CallReport)
        await control.supervisor.stop()
        control.close()
        return control

    control = asyncio.run(scenario())
    assert control.lost == 0
    _, packets = payload(tmp_path, 1, torn=False)
    assert [int.from_bytes(packet[:2]) for packet in packets] == list(range(len(packets)))
    assert len(packets) > 20


def test_a_worker_that_cannot_start_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")

    async def scenario() -> None:
        control = Control(tmp_path)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with pytest.raises(WorkerFailed):
                    await control.supervisor.start()
        finally:
            await control.supervisor.stop()
            control.close()

    asyncio.run(scenario())


def test_stopping_while_a_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "RESTART_SECONDS", 1.0)

    async def scenario() -> int:
        control = Control(tmp_path)
        await control.supervisor.start()
        assert control.supervisor.pid is not None
        os.kill(control.supervisor.pid, signal.SIGKILL)
        while not control.lost:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await control.supervisor.stop()
        control.close()
        return len(await control.until(Ready))

    assert asyncio.run(scenario()) == 1
