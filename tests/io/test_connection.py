"""What one connection of a SIP client may cost, and what is not its fault."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.config.sip import SipSettings
from gateway.io import connection
from gateway.io.connection import Connection
from gateway.sip.effects import Flow
from gateway.sip.errors import BadMessage

MESSAGE = b"OPTIONS sip:srs@192.0.2.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n"
WAITING = 10
WORK_SECONDS = 0.02


class _Busy:
    """A server that takes its time over each message; meanwhile the rest of one comes."""

    def __init__(self) -> None:
        self.settings = SipSettings()
        self.refusals: list[str] = []
        self.taken = 0
        self.done = asyncio.Event()
        self.connection = Connection(self)

    def message(self, data: bytes, flow: Flow) -> None:
        time.sleep(WORK_SECONDS)
        self.taken += 1
        if self.taken == WAITING:
            asyncio.get_running_loop().call_soon(self.connection.data_received, MESSAGE[20:])
        if self.taken > WAITING:
            self.done.set()

    def broken(self, fault: BadMessage, flow: Flow) -> None:
        raise fault

    def connected(self, connection: Connection, host: str, secure: bool) -> int:
        return 1

    def disconnected(self, number: int) -> None:
        self.done.set()

    def carries_call(self, number: int) -> bool:
        return False

    def admits(self, host: str) -> bool:
        return True

    def refused(self, kind: str) -> None:
        self.refusals.append(kind)
        self.done.set()


class _Wire(asyncio.Transport):
    """Of a peer at 192.0.2.2; nothing is sent."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return ("192.0.2.2", 5060)

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None: ...


def test_a_peer_is_not_slow_while_its_messages_wait_for_us(monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection may carry all calls of a border controller: it is not cut because this machine is busy."""
    monkeypatch.setattr(connection, "BATCH", 1)
    monkeypatch.setattr(connection, "MESSAGE_SECONDS", WORK_SECONDS * WAITING / 4)

    async def play() -> _Busy:
        server = _Busy()
        server.connection.connection_made(_Wire())
        server.connection.data_received(WAITING * MESSAGE + MESSAGE[:20])
        await server.done.wait()
        server.connection.connection_lost(None)
        return server

    server = asyncio.run(play())
    assert (server.refusals, server.taken) == ([], WAITING + 1)
