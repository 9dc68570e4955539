"""Processes that speak as an endpoint process does, without a telephone in them."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.endpoint.messages import Cause, Configure, FromProcess, Over, Ready
from gateway.io import child, seats
from gateway.io.child import Program
from gateway.io.seats import Seat, SeatFailed
from tests.patience import PATIENCE_SECONDS

SPEAKS = """
import os, socket, sys
from gateway.endpoint import messages
channel, lines = socket.socket(fileno=int(sys.argv[1])), messages.Lines()

def heard():
    while data := channel.recv(4096):
        yield from lines.feed(data)

def say(message):
    channel.sendall(messages.write(message))
"""
TAKES_CALLS = (
    SPEAKS
    + """
for message in heard():
    match message:
        case messages.Configure():
            say(messages.Ready(message.first_port))
        case messages.HangUp("dies"):
            os._exit(7)
        case messages.HangUp(call):
            say(messages.Over(call, 0, messages.Cause.CALLER_BYE))
say(messages.Over("leave taken", 0, messages.Cause.CALLER_BYE))
"""
)
TAKES_NONE = SPEAKS + 'say(messages.Broken("there is no sound"))\n'
CONFIGURE = Configure(
    front="127.0.0.1:5060", contact="<sip:practice@192.0.2.1>", identity="sip:practice@example.com",
    registrar="", expires_seconds=60, user="", password="", realm="*", destination="sip:42@example.com", shown="name",
    media_address="192.0.2.1", bound_address="192.0.2.1", first_port=12345, ports=8, notice="", ringing="",
    busy="", ring_seconds=30.0, busy_seconds=3.0, answer_late=False, notice_required=False,
)  # fmt: skip


class Desk:
    """The side that a seat serves: what it said, and how often it was lost."""

    def __init__(self) -> None:
        self.heard: list[FromProcess] = []
        self.lost: list[int] = []
        self._changed = asyncio.Event()
        self.seat = Seat(3, CONFIGURE, self._hear, self._lose)

    async def until(self, told: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not told():
                self._changed.clear()
                await self._changed.wait()

    def _hear(self, number: int, message: FromProcess) -> None:
        assert number == 3
        self.heard.append(message)
        self._changed.set()

    def _lose(self, number: int) -> None:
        self.lost.append(number)
        self._changed.set()


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(child, "RESTART_SECONDS", 0.0)

    def make(source: str) -> None:
        (tmp_path / "stand_in.py").write_text(source)
        program = Program("stand_in", socket.SOCK_STREAM, stop_seconds=PATIENCE_SECONDS)
        monkeypatch.setattr(seats, "ENDPOINT", program)

    return make


def over(call: str) -> Over:
    return Over(call, 0, Cause.CALLER_BYE)


def test_it_is_told_heard_and_takes_leave(endpoint: Callable[[str], None]) -> None:
    endpoint(TAKES_CALLS)

    async def scenario() -> None:
        desk = Desk()
        await desk.seat.start()
        desk.seat.hang_up("a")
        await desk.until(lambda: over("a") in desk.heard)
        await desk.seat.stop()
        assert desk.heard == [Ready(12345), over("a"), over("leave taken")]
        assert desk.lost == [3]

    asyncio.run(scenario())


def test_one_that_dies_is_replaced_by_one_that_is_configured(endpoint: Callable[[str], None]) -> None:
    endpoint(TAKES_CALLS)

    async def scenario() -> None:
        desk = Desk()
        await desk.seat.start()
        first = desk.seat.pid
        desk.seat.hang_up("dies")
        await desk.until(lambda: desk.heard.count(Ready(12345)) == 2)
        assert desk.lost == [3]
        assert desk.seat.pid != first
        await desk.seat.stop()

    asyncio.run(scenario())


def test_why_one_cannot_take_calls_is_told(endpoint: Callable[[str], None]) -> None:
    endpoint(TAKES_NONE)

    async def scenario() -> None:
        desk = Desk()
        with pytest.raises(SeatFailed, match=r"^endpoint process 3 cannot take calls: there is no sound$"):
            await desk.seat.start()
        await desk.seat.stop()
        assert desk.lost == []

    asyncio.run(scenario())


def test_one_that_ends_without_a_word_is_named_by_its_status(endpoint: Callable[[str], None]) -> None:
    endpoint("raise SystemExit(4)")

    async def scenario() -> None:
        desk = Desk()
        with pytest.raises(SeatFailed, match=r"it ended with status 4$"):
            await desk.seat.start()
        await desk.seat.stop()

    asyncio.run(scenario())


def test_what_is_said_that_is_no_message_costs_a_line_in_the_log(
    endpoint: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    endpoint(
        TAKES_CALLS.replace(
            'say(messages.Over("leave', 'channel.sendall(b"what?\\n"); say(messages.Over("leave'
        )
    )

    async def scenario() -> None:
        desk = Desk()
        await desk.seat.start()
        pid = desk.seat.pid
        assert pid is not None
        await desk.seat.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(scenario())
    (record,) = caplog.records
    assert record.getMessage() == "endpoint process 3 says what cannot be read: 5 octets that are no message"
