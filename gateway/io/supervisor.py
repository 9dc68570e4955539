"""Keeps a media worker alive: starts it, hears it, notices its death, replaces it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from gateway.io.channel import Channel, ChannelClosed, Configure, Message, Ready
from gateway.io.tap_messages import Attach
from gateway.recording.messages import Command

log = logging.getLogger(__name__)
# A worker has one core to itself: the threads of numpy's linear algebra would take others' and gain nothing.
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}

RESTART_SECONDS = 1.0  # least time between two starts, so that a worker that cannot live does not spin


class WorkerFailed(Exception):
    """A media worker ended before it could record, when the gateway was started."""


class Supervisor:
    """One worker, of that number. `on_message` hears it, `on_lost` is told of its death, and `resume` gives the
    commands, with their sockets, by which the next one goes on. `attached` are its taps, with their sockets."""

    def __init__(
        self,
        configure: Configure,
        on_message: Callable[[Message], None],
        on_lost: Callable[[], None],
        resume: Callable[[], Iterable[tuple[Command, Sequence[int]]]],
        number: int = 0,
        attached: Sequence[tuple[Attach, Sequence[int]]] = (),
    ) -> None:
        self._configure = configure
        self._on_message = on_message
        self._on_lost = on_lost
        self._resume = resume
        self._number = number
        self._attached = attached
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the worker and wait until it can record. Raises WorkerFailed."""
        await self._spawn()
        assert self._process is not None
        ready, ended = asyncio.create_task(self._ready.wait()), asyncio.create_task(self._process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not ended.cancel():
            self._drop_channel()
            raise WorkerFailed(
                f"media worker {self._number} ended with status {ended.result()} before it could record"
            )
        self._watch = asyncio.create_task(self._keep())

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

    async def stop(self) -> None:
        """Close the channel, which ends the worker once its files are whole."""
        self._stopping = True
        self._drop_channel()
        if self._process:
            await self._process.wait()
        if self._watch:
            await self._watch

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.io.worker",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **ONE_THREAD},
            )
        self._channel = Channel(ours)
        self._ready.clear()
        self._loop.add_reader(ours.fileno(), self._hear)
        with suppress(ChannelClosed):  # who waits for the process learns of its death
            self._channel.send([self._configure])
            for attach, sockets in self._attached:
                self._channel.send([attach], sockets)

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            started = self._loop.time()
            code = await self._process.wait()
            self._hear()
            self._drop_channel()
            if self._stopping:
                return
            log.error("media worker %d ended with status %d and is replaced", self._number, code)
            self._on_lost()
            lived = self._loop.time() - started
            if lived < RESTART_SECONDS:
                await asyncio.sleep(RESTART_SECONDS - lived)
            if self._stopping:
                return
            await self._spawn()
            if self._stopping:  # meanwhile: the new one ends as soon as it sees its channel closed
                self._drop_channel()
                continue
            for command, sockets in self._resume():
                self.send(command, sockets)

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

    def _drop_channel(self) -> None:
        if self._channel is None:
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._channel.close()
        self._channel = None
