"""Connections under limits that uvicorn does not have: their number, in all and of an address, and a head's time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.config.settings import ApiSettings
from gateway.console.gate import network
from gateway.console.meters import Meters
from gateway.console.problems import MEDIA_TYPE, Problem

HEAD_SECONDS = 10.0  # for a request's head, from its first octet or the connection's begin


class Doors:
    """Counts connections."""

    def __init__(self, settings: ApiSettings, meters: Meters) -> None:
        self._most, self._most_of_one = settings.max_connections, settings.max_connections_per_address
        self.meters = meters
        self._open: Counter[str] = Counter()

    def enter(self, transport: asyncio.BaseTransport) -> str | None:
        """Where the connection is from; None when there are too many."""
        peer = transport.get_extra_info("peername")
        place = network(peer[0]) if peer else ""
        if self._open.total() >= self._most or self._open[place] >= self._most_of_one:
            self.meters.refused.labels("number").inc()
            return None
        self._open[place] += 1
        return place

    def leave(self, place: str | None) -> None:
        if place is None:
            return
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]


def protocols(doors: Doors) -> tuple[type[H11Protocol], type[WebSocketsSansIOProtocol]]:
    """What uvicorn makes of a connection, before and after it becomes a WebSocket."""

    class Socket(WebSocketsSansIOProtocol):
        place: str | None = None

        def connection_lost(self, exc: Exception | None) -> None:
            doors.leave(self.place)
            super().connection_lost(exc)

    class Http(H11Protocol):
        place: str | None = None
        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.place = doors.enter(transport)
            if self.place is None:
                transport.abort()
                return
            self._expect_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_head()
            doors.leave(self.place)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._forget_head()
            elif self.deadline is None:
                self._expect_head()

        def handle_websocket_upgrade(self, event: h11.Request) -> None:
            self._forget_head()
            super().handle_websocket_upgrade(event)
            successor: Any = self.transport.get_protocol()
            successor.place, self.place = self.place, None

        def send_400_response(self, msg: str) -> None:
            self.transport.write(MALFORMED)
            self.transport.close()

        def _expect_head(self) -> None:
            self.deadline = self.loop.call_later(HEAD_SECONDS, self._too_slow)

        def _forget_head(self) -> None:
            if self.deadline:
                self.deadline.cancel()
                self.deadline = None

        def _too_slow(self) -> None:
            doors.meters.refused.labels("slow").inc()
            self.transport.abort()

    return Http, Socket


def _malformed() -> bytes:
    body = Problem(400, "what came is not HTTP/1.1").body()
    head = f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


MALFORMED = _malformed()
