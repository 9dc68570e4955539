"""One timer that sends the packets of all streams of all calls."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

from gateway.demo.client.stream import Stream

TICK = 0.01  # seconds; shortest packets in use last 10 ms


@dataclass(slots=True)
class _Flow:
    stream: Stream
    socket: socket.socket  # connected to where the server wants the stream
    began: float


class Pacer:
    """Sends what is due at absolute deadlines; after a delay it catches up in one burst."""

    def __init__(self) -> None:
        self._flows: dict[Stream, _Flow] = {}
        self._task: asyncio.Task[None] | None = None
        self.latest = 0.0  # seconds by which the worst tick came too late

    def add(self, stream: Stream, connected: socket.socket, began: float) -> None:
        self._flows[stream] = _Flow(stream, connected, began)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def move(self, stream: Stream, connected: socket.socket) -> None:
        """Send the rest of a stream through another socket."""
        if stream in self._flows:
            self._flows[stream].socket = connected

    def remove(self, stream: Stream) -> None:
        self._flows.pop(stream, None)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time()
        while True:
            deadline += TICK
            await asyncio.sleep(max(0.0, deadline - loop.time()))
            now = loop.time()
            self.latest = max(self.latest, now - deadline)
            for flow in self._flows.values():
                _send(flow, now - flow.began)


def _send(flow: _Flow, now: float) -> None:
    for datagram in flow.stream.due(now):
        try:
            flow.socket.send(datagram)
        except ConnectionRefusedError:  # tells of an earlier datagram, in place of sending this one
            _retry(flow, datagram)
        except OSError:
            flow.stream.failed += 1


def _retry(flow: _Flow, datagram: bytes) -> None:
    try:
        flow.socket.send(datagram)
    except OSError:
        flow.stream.failed += 1
