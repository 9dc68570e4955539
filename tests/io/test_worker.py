"""A worker as a process of its own, told what to do through its channel."""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from gateway.io.channel import Channel, Configure, Message, Ready
from gateway.recording.engine import EngineSettings
from gateway.recording.messages import CallReport, LegPlan, Open, PayloadFormat
from gateway.recording.model import Role
from tests.patience import PATIENCE_SECONDS

SECOND = 1_000_000_000


def opening(folder: Path) -> Open:
    return Open(
        call_id="01900000-0000-7000-8000-000000000001",
        segment_id="01900000-0000-7000-8000-000000000002",
        recording_id="01900000-0000-7000-8000-000000000003",
        key=bytes(32).hex(),
        folder=str(folder),
        started_ns=time.monotonic_ns(),
        started_utc_ns=time.time_ns(),
        legs=(LegPlan(Role.EXTERNAL, (PayloadFormat(8, "PCMA", 8000),)),),
    )


def hear(channel: Channel, kind: type[Message]) -> list[Message]:
    """All that was said until a message of this kind came."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    said: list[Message] = []
    until = time.monotonic() + PATIENCE_SECONDS
    while not any(isinstance(message, kind) for message in said):
        assert poll.poll(max(0.0, until - time.monotonic()) * 1000), f"no {kind.__name__} came"
        said += [message for message, _ in channel.receive()]
    return said


def test_calls_told_before_the_worker_is_up_are_recorded(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(ours)
    channel.send([Configure(EngineSettings(4, SECOND, 60 * SECOND, 100_000_000), str(tmp_path))])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as media:
        media.bind(("127.0.0.1", 0))
        channel.send([opening(tmp_path)], [media.fileno()])
        worker = subprocess.Popen(
            [sys.executable, "-m", "gateway.io.worker", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        try:
            said = hear(channel, CallReport)
        finally:
            channel.close()
            assert worker.wait(PATIENCE_SECONDS) == 0
    assert isinstance(said[0], Ready)
