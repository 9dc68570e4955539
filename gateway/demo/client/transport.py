"""Bytes to and from the server, over UDP, TCP or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Literal, Protocol, cast

from gateway.demo.client.message import MessageError, first_message

Address = tuple[str, int]
Transport = Literal["udp", "tcp", "tls"]
Receive = Callable[[bytes], None]


class Link(Protocol):
    """One connection; `receive` was given each whole message."""

    reliable: bool
    local: Address

    def send(self, message: bytes) -> None: ...

    async def close(self) -> None: ...


async def connect(
    server: Address, transport: Transport, receive: Receive, context: ssl.SSLContext | None = None
) -> Link:
    """Raises OSError. Over TLS the context says whom to trust; without one, whom the system trusts."""
    loop = asyncio.get_running_loop()
    if transport == "udp":
        _, datagrams = await loop.create_datagram_endpoint(lambda: _Datagrams(receive), remote_addr=server)
        return datagrams
    secure = (context or ssl.create_default_context()) if transport == "tls" else None
    _, stream = await loop.create_connection(lambda: _Stream(receive), *server, ssl=secure)
    return stream


class _Datagrams(asyncio.DatagramProtocol):
    reliable = False

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.local: Address = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._receive(data)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there now; the transaction sends again, or gives up by its timer."""

    def send(self, message: bytes) -> None:
        self._transport.sendto(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()

    async def close(self) -> None:
        self._transport.close()
        await self._gone.wait()


class _Stream(asyncio.Protocol):
    reliable = True

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = asyncio.Event()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.local: Address = transport.get_extra_info("sockname")[:2]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while found := first_message(self._buffer):
                message, self._buffer = found
                self._receive(message)
        except MessageError:
            self._transport.abort()

    def send(self, message: bytes) -> None:
        self._transport.write(message)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()

    async def close(self) -> None:
        self._transport.close()
        await self._gone.wait()
