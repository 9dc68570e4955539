"""The forwarder's sockets: UDP and TCP towards the trunk, one UDP socket on loopback towards the endpoint processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from gateway.endpoint.effects import (
    Answered,
    Description,
    Dropped,
    Effect,
    Given,
    Hop,
    Referred,
    ToOutside,
    ToSeat,
)
from gateway.endpoint.front import Forwarder
from gateway.io.datagrams import Datagrams
from gateway.sip.effects import Flow
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Request, Response

if TYPE_CHECKING:  # it needs what only those install who have an endpoint
    from gateway.io.names import Names

log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
MAX_CONNECTIONS = 64  # of TCP, ours and theirs: a trunk has one or two
MAX_MESSAGE_BYTES = 65_535
MAX_UNSENT_BYTES = 1 << 20
MAX_WAITING = 64  # messages that wait for a name to be resolved or a connection to be made
CONNECT_SECONDS = 5.0
FIND_SECONDS = 20.0  # for a name and its places, of which the first may not answer
ANSWER_SECONDS = (
    4.0  # a process says 100 at once to an INVITE that it can read; beyond what a busy machine takes
)
KEEPALIVE_SECONDS = (
    25.0  # RFC 5626 section 3.5.1: holds the connection open where there is address translation
)
KEEPALIVE = b"\r\n\r\n"
Place = tuple[str, int]


class Front:
    """`admits` says of an address whether it may speak to us; `drop` counts by kind, `described` is told of
    the descriptions that processes send, and `invited` of the INVITEs that they are given, by Call-ID, and `answered` of what is answered to theirs, and `referred` of legs that are handed on."""

    def __init__(
        self,
        address: str,
        port: int,
        admits: Callable[[str], bool],
        drop: Callable[[str], None],
        described: Callable[[str, str], None],
        invited: Callable[[str, Request], None],
        answered: Callable[[Response], None],
        referred: Callable[[str, str], None],
        names: Names,
    ) -> None:
        self._address, self._port, self._admits, self.drop = address, port, admits, drop
        self._described, self._invited, self._answered = described, invited, answered
        self._referred = referred
        self.names = names
        self.trunk: Hop | None = None  # the way to which is kept open
        self.cut: Callable[[], None] = lambda: None  # is told that a connection to there was lost
        self.forwarder: Forwarder  # set once the ports are known
        self._loop = asyncio.get_running_loop()
        self._seats: dict[int, int] = {}  # ports of the processes, by number
        self._outside: Datagrams | None = None
        self._inside: Datagrams | None = None
        self._server: asyncio.Server | None = None
        self._streams: dict[Place, Stream] = {}  # by the peer
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> Place:
        """Bind all; gives the place inside. Raises OSError."""
        here = (self._address, self._port)
        self._outside = Datagrams(here, self._datagram, lambda: self.drop("unreachable_peer"))
        self._server = await self._loop.create_server(lambda: Stream(self), *here)
        self._inside = Datagrams((LOOPBACK, 0), self._from_seat, lambda: None)
        self._spawn(self._keep_alive())
        return self._inside.here

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for socket in (self._outside, self._inside):
            if socket:
                socket.close()
        if self._server:
            self._server.close()
        for stream in list(self._streams.values()):
            stream.abort()

    def seat(self, number: int, port: int | None) -> None:
        """A process takes messages at a port of loopback, or is gone."""
        if port is None:
            self._seats.pop(number, None)
        else:
            self._seats[number] = port

    def message(self, data: bytes, source: Hop) -> None:
        """What came from outside, by any transport."""
        if not self._admits(source.host):
            self.drop("unknown_peer")
            return
        self.act(self.forwarder.from_outside(data, source))

    def entered(self, peer: Place, stream: Stream) -> bool:
        """A connection was made; whether it may stay."""
        if len(self._streams) >= MAX_CONNECTIONS or not self._admits(peer[0]):
            self.drop("unknown_peer" if not self._admits(peer[0]) else "too_many_connections")
            return False
        self._streams[peer] = stream
        return True

    def left(self, peer: Place, stream: Stream) -> None:
        if self._streams.get(peer) is stream:
            del self._streams[peer]
            if (trunk := self.trunk) and peer == self.names.known(trunk.host, trunk.port, trunk.transport):
                self.cut()

    def _datagram(self, data: bytes, flow: Flow) -> None:
        if data.strip(b"\r\n\0 "):  # a keepalive is no message
            self.message(data, Hop("udp", *flow.peer))

    def _from_seat(self, data: bytes, flow: Flow) -> None:
        seat = next((number for number, port in self._seats.items() if port == flow.peer[1]), None)
        if seat is not None and data.strip(b"\r\n\0 "):
            self.act(self.forwarder.from_inside(data, seat))

    def act(self, effects: Iterable[Effect]) -> None:
        """Carry out what the forwarder asks for, in order."""
        for effect in effects:
            match effect:
                case ToSeat(seat, data):
                    if self._inside and (port := self._seats.get(seat)):
                        self._inside.send(data, (LOOPBACK, port))
                case ToOutside(hop, data, back):
                    self._send(hop, data, back)
                case Dropped(kind):
                    self.drop(kind)
                case Description(call_id, sdp):
                    self._described(call_id, sdp)
                case Answered(answer):
                    self._answered(answer)
                case Referred(call_id, target):
                    self._referred(call_id, target)
                case Given(call_id, invite):
                    self._invited(call_id, invite)
                    self._loop.call_later(ANSWER_SECONDS, self._look_for_answer, call_id)

    def _look_for_answer(self, call_id: str) -> None:
        self.act(self.forwarder.unanswered(call_id))

    def _send(self, hop: Hop, data: bytes, back: bool) -> None:
        """At once where the address is known and the connection open, else as soon as it is."""
        peer = self.names.known(hop.host, hop.port, hop.transport)
        if peer is not None:
            if hop.transport == "udp":
                assert self._outside
                self._outside.send(data, peer)
                return
            if stream := self._streams.get(peer):
                stream.send(data)
                return
            if back:
                self.drop("connection_lost")
                return
        if len(self._tasks) >= MAX_WAITING:
            self.drop("unreachable_peer")
            return
        self._spawn(self._send_later(hop, data))

    async def _send_later(self, hop: Hop, data: bytes) -> None:
        peer: Place | None = None
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(FIND_SECONDS):
                for peer in await self.names.find(hop.host, hop.port, hop.transport):
                    if hop.transport == "udp" or peer in self._streams or await self._connect(peer):
                        break
                    self.names.failed(hop.host, hop.port, hop.transport)
        if peer is None or (hop.transport == "tcp" and peer not in self._streams):
            self.drop("unreachable_peer")
            return
        self._send(Hop(hop.transport, *peer), data, back=True)

    async def _connect(self, peer: Place) -> bool:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: Stream(self), *peer)
        except (OSError, TimeoutError):
            return False
        return peer in self._streams

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEPALIVE_SECONDS)
            if self.trunk and self.trunk.transport == "udp":
                self._send(self.trunk, KEEPALIVE, back=False)
            for stream in list(self._streams.values()):
                stream.send(KEEPALIVE)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Stream(asyncio.Protocol):
    """A connection of TCP, made by us or by the trunk; broken framing ends it."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._framer = StreamFramer(MAX_MESSAGE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._peer: Place = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = transport.get_extra_info("peername")[:2]
        if not self._front.entered(self._peer, self):
            transport.abort()

    def data_received(self, data: bytes) -> None:
        with suppress(BadMessage):  # it is in `broken`
            for message in self._framer.feed(data):
                self._front.message(message, Hop("tcp", *self._peer))
        if self._framer.broken:
            self._front.drop(self._framer.broken.kind)
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._front.left(self._peer, self)

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.abort()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()
