"""Keeps a media worker alive: what it is told, what it says, and what the one that replaces it must know."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from gateway.io.channel import Channel, ChannelClosed, Configure, Message, Ready
from gateway.io.child import Child, Program
from gateway.io.tap_messages import Attach
from gateway.recording.messages import Command

# A worker has one core to itself: the threads of numpy's linear algebra would take others' and gain nothing.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
WORKER = Program("gateway.io.worker", socket.SOCK_SEQPACKET, environment=ONE_THREAD)


class WorkerFailed(Exception):
    """A media worker ended before it could record, when the gateway was started."""


class Supervisor(Child):
    """One worker, of that number. `on_message` hears it, `on_lost` is told of its death, and `resume` gives the
    commands, with their sockets, by which the next one goes on. `attached` are its taps, with their sockets.

    `start` waits until it can record and raises WorkerFailed; `stop` ends it once its files are whole.
    """

    def __init__(
        self,
        configure: Configure,
        on_message: Callable[[Message], None],
        on_lost: Callable[[], None],
        resume: Callable[[], Iterable[tuple[Command, Sequence[int]]]],
        number: int = 0,
        attached: Sequence[tuple[Attach, Sequence[int]]] = (),
    ) -> None:
        super().__init__(f"media worker {number}", WORKER)
        self._configure = configure
        self._on_message = on_message
        self._on_lost = on_lost
        self._commands = resume
        self._attached = attached
        self._channel: Channel | None = None

    def send(self, command: Command, sockets: Sequence[int] = ()) -> None:
        """Tell the worker; while there is none nothing is lost, since the next one is told by `resume`."""
        if self._channel is None:
            return
        try:
            self._channel.send([command], sockets)
        except ChannelClosed:
            return  # its death is noticed by the watch
        if self._channel.pending:
            self._loop.add_writer(self._channel.fileno(), self._flush)

    def _connect(self, end: socket.socket) -> None:
        self._channel = Channel(end)
        self._loop.add_reader(end.fileno(), self._hear)
        with suppress(ChannelClosed):  # who waits for the process learns of its death
            self._channel.send([self._configure])
            for attach, sockets in self._attached:
                self._channel.send([attach], sockets)

    def _hear(self) -> None:
        if self._channel is None:
            return
        try:
            messages = self._channel.receive()
        except ChannelClosed:
            self._loop.remove_reader(self._channel.fileno())
            return
        for message, _ in messages:
            if isinstance(message, Ready):
                self._ready.set()
            self._on_message(message)

    def _flush(self) -> None:
        assert self._channel is not None
        try:
            self._channel.flush()
        except ChannelClosed:
            self._loop.remove_writer(self._channel.fileno())
            return
        if not self._channel.pending:
            self._loop.remove_writer(self._channel.fileno())

    def _tell_to_end(self) -> None:
        self._drop()

    def _drop(self) -> None:
        if self._channel is None:
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self._channel = None

    def _failed(self, status: int) -> WorkerFailed:
        return WorkerFailed(f"{self._name} ended with status {status} before it could record")

    def _lost(self) -> None:
        if not self._stopping:
            self._on_lost()

    def _resume(self) -> None:
        for command, sockets in self._commands():
            self.send(command, sockets)
