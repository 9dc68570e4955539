"""The SIP server's shell: owns sockets, connections and the timer; the machine decides."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import count
from typing import Any

from gateway.config.settings import SipSettings
from gateway.sip.effects import Flow, Rejected, Send
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.siprec.session import Changed, Ended, Established, Offered, RecordingServer

log = logging.getLogger(__name__)

Address = tuple[str, int]
SessionEvent = Offered | Changed | Established | Ended
MAX_UNSENT_BYTES = 1 << 20  # to one TCP peer that does not read


class SipServer:
    """Drives a RecordingServer; what it says of sessions goes to `on_event`."""

    def __init__(
        self,
        machine: RecordingServer,
        settings: SipSettings,
        on_event: Callable[[SessionEvent], None],
        on_refused: Callable[[str], None],
    ) -> None:
        self.machine = machine
        self.settings = settings
        self._on_event = on_event
        self._on_refused = on_refused
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._listener: asyncio.Server | None = None
        self._connections: dict[int, Connection] = {}
        self._numbers = count(1)

    async def start(self) -> None:
        """Bind UDP and TCP. Raises OSError."""
        here = (self.settings.address, self.settings.port)
        self._datagrams, _ = await self._loop.create_datagram_endpoint(
            lambda: Datagrams(self), sock=_datagram_socket(here)
        )
        self._listener = await self._loop.create_server(lambda: Connection(self), *here)

    def close(self) -> None:
        if self._datagrams:
            self._datagrams.close()
        if self._listener:
            self._listener.close()
        for connection in list(self._connections.values()):
            connection.abort()
        if self._timer:
            self._timer.cancel()

    def now(self) -> float:
        return self._loop.time()

    def act(self, effects: Iterable[object]) -> None:
        """Carry out what the machine asked for, in order."""
        for effect in effects:
            match effect:
                case Send(data, flow):
                    self._send(data, flow)
                case Rejected(kind):
                    self._on_refused(kind)
                case Offered() | Changed() | Established() | Ended():
                    self._on_event(effect)
        self._arm()

    def connected(self, connection: Connection) -> int:
        """Number a new connection; 0 when there are too many."""
        if len(self._connections) >= self.settings.max_tcp_connections:
            self._on_refused("too_many_connections")
            return 0
        number = next(self._numbers)
        self._connections[number] = connection
        return number

    def disconnected(self, number: int) -> None:
        if self._connections.pop(number, None):
            self.act(self.machine.connection_lost(number, self.now()))

    def _send(self, data: bytes, flow: Flow) -> None:
        if flow.connection:
            if connection := self._connections.get(flow.connection):
                connection.send(data)
        elif self._datagrams:
            self._datagrams.sendto(data, flow.peer)

    def _arm(self) -> None:
        due = self.machine.next_timer()
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._fire) if due is not None else None

    def _fire(self) -> None:
        self._timer = None
        self.act(self.machine.handle_timer(self.now()))


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: SipServer) -> None:
        self._server = server
        self._here: Address = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._here = transport.get_extra_info("sockname")[:2]

    def datagram_received(self, data: bytes, peer: tuple[Any, ...]) -> None:
        here = (_facing(peer[0]), self._here[1]) if _is_any(self._here[0]) else self._here
        flow = Flow("udp", peer[:2], here)
        self._server.act(self._server.machine.receive(data, flow, self._server.now()))

    def error_received(self, error: Exception) -> None:
        """An ICMP answer to something sent earlier: the transaction's own timers deal with it."""


class Connection(asyncio.Protocol):
    """One TCP connection, closed when its stream is broken or idle without a call."""

    def __init__(self, server: SipServer) -> None:
        self._server = server
        self._framer = StreamFramer(server.settings.max_message_bytes)
        self._number = 0
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._number = self._server.connected(self)
        if not self._number:
            transport.abort()
            return
        here, peer = (transport.get_extra_info(name)[:2] for name in ("sockname", "peername"))
        self._flow = Flow("tcp", peer, here, self._number)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if not self._number:
            return
        server = self._server
        try:
            for message in self._framer.feed(data):
                self._watch()  # by whole messages: dripped bytes keep nothing open
                server.act(server.machine.receive(message, self._flow, server.now()))
            fault = self._framer.broken
        except BadMessage as error:
            fault = error
        if fault:
            server.act(server.machine.reject(fault, self._flow))
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._idle:
            self._idle.cancel()
        self._server.disconnected(self._number)

    def send(self, data: bytes) -> None:
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort()

    def abort(self) -> None:
        self._transport.abort()

    def _watch(self) -> None:
        if self._idle:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(
            self._server.settings.tcp_idle_seconds, self._tired
        )

    def _tired(self) -> None:
        if self._server.machine.carries(self._number):
            self._watch()
        else:
            self._transport.close()


def _datagram_socket(here: Address) -> socket.socket:
    """A bound UDP socket. On `::` it takes IPv6 alone, as TCP does: an answer holds addresses of one family."""
    family = socket.AF_INET6 if ":" in here[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(here)
    except OSError:
        opened.close()
        raise
    return opened


def _is_any(address: str) -> bool:
    return address in ("0.0.0.0", "::")  # noqa: S104 compared, not bound


@lru_cache(maxsize=1024)
def _facing(peer: str) -> str:
    """Our address on the way to a peer; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        address: str = probe.getsockname()[0]
        return address
