"""Connections under limits that uvicorn does not have: their number, in all and of an address, and a head's time."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable

import h11
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway.config.api import ApiSettings
from gateway.console.gate import network
from gateway.console.meters import Meters
from gateway.console.problems import MEDIA_TYPE, Problem

HEAD_SECONDS = 10.0  # for a request's head, from its first octet or the connection's begin
HANDSHAKE_SECONDS = 5.0  # of TLS


class Doors:
    """Counts connections from before their TLS on."""

    def __init__(self, settings: ApiSettings, meters: Meters) -> None:
        self._most, self._most_of_one = settings.max_connections, settings.max_connections_per_address
        self.meters = meters
        self._open: Counter[str] = Counter()
        self._count = 0

    def enter(self, transport: asyncio.BaseTransport) -> str | None:
        """Where the connection is from; None when there are too many."""
        peer = transport.get_extra_info("peername")
        place = network(peer[0]) if peer else ""
        if self._count >= self._most or self._open[place] >= self._most_of_one:
            self.meters.refused.labels("number").inc()
            return None
        self._open[place] += 1
        self._count += 1
        return place

    def leave(self, place: str | None) -> None:
        if place is None:
            return
        self._count -= 1
        self._open[place] -= 1
        if not self._open[place]:
            del self._open[place]


class Socket(WebSocketsSansIOProtocol):
    """A connection that became a WebSocket."""

    place: str | None = None
    doors: Doors

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True  # a refusal, too, completes it: else uvicorn logs it as an error

    def connection_lost(self, exc: Exception | None) -> None:
        self.doors.leave(self.place)
        super().connection_lost(exc)


class Http(H11Protocol):
    """A connection that brings requests."""

    place: str | None = None
    doors: Doors
    deadline: asyncio.TimerHandle | None = None
    early = b""  # came while TLS was being agreed on

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        early, self.early = self.early, b""
        if early:
            self.data_received(early)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        self.leave()
        if self.transport is not None:
            super().connection_lost(exc)

    def leave(self) -> None:
        place, self.place = self.place, None
        self.doors.leave(place)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            self.early += data
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self.deadline is None:
            self._expect_head()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._forget_head()
        super().handle_websocket_upgrade(event)
        successor = self.transport.get_protocol()
        assert isinstance(successor, Socket)
        successor.doors, successor.place, self.place = self.doors, self.place, None

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
        self.doors.meters.refused.labels("slow").inc()
        self.transport.abort()


class Doorman(asyncio.Protocol):
    """Accepts: who may come in is known before a handshake is paid for."""

    def __init__(self, doors: Doors, make: Callable[[], Http], context: ssl.SSLContext | None) -> None:
        self._doors, self._make, self._context = doors, make, context
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        place = self._doors.enter(transport)
        if place is None:
            transport.abort()
            return
        http = self._make()
        http.doors, http.place = self._doors, place
        if self._context:
            transport.pause_reading()
            self._shaking = asyncio.create_task(self._shake(transport, http, self._context))
        else:
            transport.set_protocol(http)
            http.connection_made(transport)

    async def _shake(self, transport: asyncio.Transport, http: Http, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        try:
            secured = await loop.start_tls(
                transport, http, context, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError:  # of TLS, of the network, or of time
            self._doors.meters.refused.labels("tls").inc()
            secured = None
        if secured is None or transport.is_closing():
            transport.abort()
            http.leave()
        else:
            http.connection_made(secured)


def _malformed() -> bytes:
    body = Problem(400, "what came is not HTTP/1.1").body()
    head = (
        f"HTTP/1.1 400 Bad Request\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


MALFORMED = _malformed()
