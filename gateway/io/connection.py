"""One TCP or TLS connection of a SIP client, and what it may cost."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from typing import Protocol

from gateway.config.sip import SipSettings
from gateway.sip.effects import Flow
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer

BATCH = 16  # messages of one connection before others have their turn
MAX_UNSENT_BYTES = 1 << 20  # to one peer that does not read
FIRST_SECONDS = 30.0  # until a new connection has brought a whole message
MESSAGE_SECONDS = 10.0  # from a message's first byte to its last: dripped bytes keep nothing open
SHUTDOWN_SECONDS = 2.0  # for a peer to take leave of TLS


class Owner(Protocol):
    """What a connection needs of its server."""

    settings: SipSettings

    def message(self, data: bytes, flow: Flow) -> None: ...

    def broken(self, fault: BadMessage, flow: Flow) -> None: ...

    def connected(self, connection: Connection, host: str, secure: bool) -> int: ...

    def disconnected(self, number: int) -> None: ...

    def carries_call(self, number: int) -> bool: ...

    def admits(self, host: str) -> bool: ...

    def refused(self, kind: str) -> None: ...


class Connection(asyncio.Protocol):
    """Closed when its stream is broken, slow, or idle without a call. A stranger's ends with its first message."""

    def __init__(self, server: Owner) -> None:
        self._server = server
        self._framer = StreamFramer(server.settings.max_message_bytes)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._number = 0
        self._idle: asyncio.TimerHandle | None = None
        self._unfinished: asyncio.TimerHandle | None = None
        self._shaking: asyncio.Task[None] | None = None
        self._messages: deque[bytes] = deque()  # of one read at most, so bounded by it
        self._early = b""  # what came with the end of the handshake, before we are told of that

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._enter(transport, "tcp"):
            self._ready(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is None:
            self._early += data
            return
        with suppress(BadMessage):  # it is in `broken`
            messages = self._framer.feed(data)
            if messages:
                self._finished()
            self._messages.extend(messages)
        if not self._framer.waiting:
            self._finished()
        self._drain()

    def _drain(self) -> None:
        """Act on some messages; others have their turn before the rest."""
        assert self._transport
        for _ in range(min(BATCH, len(self._messages))):
            if self._transport.is_closing():
                return
            self._take(self._messages.popleft())
        if self._messages:  # until they have had their turn the time is ours, not the peer's
            self._transport.pause_reading()
            self._loop.call_soon(self._drain)
        elif fault := self._framer.broken:
            self._server.broken(fault, self._flow)
            self._transport.close()
        else:
            if self._framer.waiting and self._unfinished is None:
                self._unfinished = self._loop.call_later(MESSAGE_SECONDS, self._too_slow)
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._finished()
        if self._idle:
            self._idle.cancel()
        if self._number:
            self._server.disconnected(self._number)
            self._number = 0

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort()

    def abort(self) -> None:
        if self._shaking:
            self._shaking.cancel()
        if self._transport:
            self._transport.abort()

    def secure(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        """Make TLS of a connection just accepted: nothing is said to the machine before the handshake is done."""
        transport.pause_reading()
        if self._enter(transport, "tls"):
            self._shaking = asyncio.create_task(self._shake(transport, context))

    async def _shake(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        tls = self._server.settings.tls
        try:
            secured = await self._loop.start_tls(
                transport, self, context, server_side=True,
                ssl_handshake_timeout=tls.handshake_seconds, ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )  # fmt: skip
        except OSError:  # of TLS, of the network, or of time
            self._server.refused("tls_handshake")
            secured = None
        except asyncio.CancelledError:
            transport.abort()
            raise
        self._shaking = None
        if secured is None or transport.is_closing():
            transport.abort()
            self.connection_lost(None)
            return
        self._ready(secured)
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _enter(self, transport: asyncio.Transport, kind: str) -> bool:
        """Be counted; a connection that may not be is aborted."""
        here, peer = (transport.get_extra_info(name) for name in ("sockname", "peername"))
        self._number = self._server.connected(self, peer[0], kind == "tls") if peer else 0
        if not self._number:
            transport.abort()
            return False
        self._flow = Flow(kind, peer[:2], here[:2], self._number)
        return True

    def _ready(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._rest(FIRST_SECONDS)

    def _take(self, message: bytes) -> None:
        self._rest(self._server.settings.tcp_idle_seconds)
        self._server.message(message, self._flow)
        if self._transport and not self._server.admits(self._flow.peer[0]):
            self._transport.close()

    def _finished(self) -> None:
        if self._unfinished:
            self._unfinished.cancel()
        self._unfinished = None

    def _rest(self, seconds: float) -> None:
        if self._idle:
            self._idle.cancel()
        self._idle = self._loop.call_later(seconds, self._tired)

    def _tired(self) -> None:
        if self._server.carries_call(self._number):
            self._rest(self._server.settings.tcp_idle_seconds)
        elif self._transport:
            self._transport.close()

    def _too_slow(self) -> None:
        self._unfinished = None
        self._server.refused("slow_message")
        self.abort()


class Doorman(asyncio.Protocol):
    """Accepts on the TLS port: who may come in is known before a handshake is paid for."""

    def __init__(self, server: Owner, context: ssl.SSLContext) -> None:
        self._server, self._context = server, context

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        Connection(self._server).secure(transport, self._context)
