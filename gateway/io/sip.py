"""The SIP server's shell: owns sockets, connections and the timer; the machine decides."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import count

from gateway.config.sip import SipSettings
from gateway.io.connection import Connection, Doorman
from gateway.io.datagrams import Datagrams
from gateway.io.tls import TlsFiles
from gateway.sip.effects import Flow, Rejected, Send
from gateway.sip.errors import BadMessage
from gateway.siprec.effects import Changed, Ended, Established, KeyPressed, Offered, Probed
from gateway.siprec.session import RecordingServer

log = logging.getLogger(__name__)

SessionEvent = Offered | Changed | Established | KeyPressed | Probed | Ended
MAX_STRANGERS = 16  # connections at once of those who may not speak to us and are told so


class SipServer:
    """Drives a RecordingServer; what it says of sessions goes to `on_event`."""

    def __init__(
        self,
        machine: RecordingServer,
        settings: SipSettings,
        on_event: Callable[[SessionEvent], None],
        on_refused: Callable[[str], None],
        tls: TlsFiles | None = None,
    ) -> None:
        self.machine = machine
        self.settings = settings
        self._on_event = on_event
        self.refused = on_refused
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._datagrams: Datagrams | None = None
        self._listeners: list[asyncio.Server] = []
        self._connections: dict[int, Connection] = {}
        self._hosts: dict[int, str] = {}  # of connections
        self._crowd: Counter[str] = Counter()  # connections of a host
        self._strangers: set[int] = set()
        self._numbers = count(1)

    async def start(self) -> None:
        """Bind UDP, TCP and, where there is a certificate, TLS. Raises OSError."""
        here = (self.settings.address, self.settings.port)
        self._datagrams = Datagrams(here, self.message, lambda: self.refused("unreachable_peer"))
        self._listeners.append(await self._loop.create_server(lambda: Connection(self), *here))
        if tls := self._tls:
            secure = (self.settings.address, self.settings.tls.port)
            listener = await self._loop.create_server(lambda: Doorman(self, tls.context), *secure)
            self._listeners.append(listener)

    def close(self) -> None:
        if self._datagrams:
            self._datagrams.close()
        for listener in self._listeners:
            listener.close()
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
                    self.refused(kind)
                case Offered() | Changed() | Established() | KeyPressed() | Probed() | Ended():
                    self._on_event(effect)
        self._arm()

    def connected(self, connection: Connection, host: str, secure: bool) -> int:
        """Number a new connection; 0 when it may not be kept."""
        stranger = not self.admits(host)
        if fault := self._unwelcome(host, stranger, secure):
            self.refused(fault)
            return 0
        number = next(self._numbers)
        self._connections[number] = connection
        self._hosts[number] = host
        self._crowd[host] += 1
        if stranger:
            self._strangers.add(number)
        return number

    def _unwelcome(self, host: str, stranger: bool, secure: bool) -> str | None:
        settings = self.settings
        if stranger and (
            secure or settings.access.strangers == "ignore" or len(self._strangers) >= MAX_STRANGERS
        ):
            return "unknown_peer"
        if len(self._connections) >= settings.max_tcp_connections:
            return "too_many_connections"
        if self._crowd[host] >= settings.max_tcp_connections_per_peer:
            return "too_many_connections_of_peer"
        return None

    def disconnected(self, number: int) -> None:
        if not self._connections.pop(number, None):
            return
        host = self._hosts.pop(number)
        self._crowd[host] -= 1
        if not self._crowd[host]:
            del self._crowd[host]
        self._strangers.discard(number)
        self.act(self.machine.connection_lost(number, self.now()))

    def admits(self, host: str) -> bool:
        return self.machine.admits(host)

    def carries_call(self, number: int) -> bool:
        return self.machine.carries(number)

    def message(self, data: bytes, flow: Flow) -> None:
        self.act(self.machine.receive(data, flow, self.now()))

    def broken(self, fault: BadMessage, flow: Flow) -> None:
        self.act(self.machine.reject(fault, flow))

    def _send(self, data: bytes, flow: Flow) -> None:
        if flow.connection:
            if connection := self._connections.get(flow.connection):
                connection.send(data)
        elif self._datagrams:
            self._datagrams.send(data, flow.peer)

    def _arm(self) -> None:
        due = self.machine.next_timer()
        if self._timer and self._timer.when() == due:
            return
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._fire) if due is not None else None

    def _fire(self) -> None:
        self._timer = None
        self.act(self.machine.handle_timer(self.now()))
