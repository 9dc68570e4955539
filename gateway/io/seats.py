"""Keeps endpoint processes alive: starts each, hears it, notices its death, replaces it. One's death is that of its calls alone."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from gateway.endpoint.messages import (
    BREATH_SECONDS,
    Alive,
    BadLine,
    Broken,
    Configure,
    FromProcess,
    HangUp,
    Line,
    Lines,
    Ready,
    Renew,
    ToProcess,
    Transfer,
    write,
)

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0  # least time between two starts
SILENT_SECONDS = 20.0  # of a process, before it is killed; more than a busy machine takes for what takes two
STOP_SECONDS = 5.0  # for a process to take leave, before it is killed
READ_BYTES = 1 << 16
MAX_UNSENT_BYTES = 1 << 16  # to a process that does not read: few and short are the things it is told


class SeatFailed(Exception):
    """An endpoint process ended before it could take calls; the text is one sentence."""


class Seat:
    """One process, of that number. `on_message` hears it; `on_lost` is told of its death."""

    def __init__(
        self,
        number: int,
        configure: Configure,
        on_message: Callable[[int, FromProcess], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self.number = number
        self._configure, self._on_message, self._on_lost = configure, on_message, on_lost
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._socket: socket.socket | None = None
        self._lines = Lines()
        self._ready = asyncio.Event()
        self._why = ""
        self._heard = 0.0  # when it last said something
        self._stopping = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it takes calls. Raises SeatFailed."""
        await self._spawn()
        assert self._process is not None
        ready, ended = asyncio.create_task(self._ready.wait()), asyncio.create_task(self._process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not ended.cancel():
            self._hear()
            self._drop()
            why = self._why or f"it ended with status {ended.result()}"
            raise SeatFailed(f"endpoint process {self.number} cannot take calls: {why}")
        self._watch = asyncio.create_task(self._keep())

    def hang_up(self, call: str) -> None:
        """End one of its calls, or with an empty name all."""
        self._send(HangUp(call))

    def transfer(self, call: str, target: str) -> None:
        """Hand one of its calls to somebody else."""
        self._send(Transfer(call, target))

    def renew(self) -> None:
        """Register anew, where it is this one that does."""
        self._send(Renew())

    async def stop(self) -> None:
        """Let it take leave of its calls and of the registrar."""
        self._stopping = True
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        if self._process:
            try:
                await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
            except TimeoutError:
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        if self._watch:
            await self._watch
        self._drop()

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "gateway.endpoint",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        ours.setblocking(False)
        self._socket, self._lines, self._heard = ours, Lines(), self._loop.time()
        self._ready.clear()
        self._loop.add_reader(ours, self._hear)
        self._send(self._configure)

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            started = self._loop.time()
            code = await self._ended()
            self._hear()
            self._drop()
            self._on_lost(self.number)
            if self._stopping:
                return
            log.error("endpoint process %d ended with status %d and is replaced", self.number, code)
            lived = self._loop.time() - started
            if lived < RESTART_SECONDS:
                await asyncio.sleep(RESTART_SECONDS - lived)
            if self._stopping:
                return
            await self._spawn()

    async def _ended(self) -> int:
        """Its status, once it has ended; one that says nothing any more is ended."""
        assert self._process is not None
        while True:
            with suppress(TimeoutError):
                return await asyncio.wait_for(self._process.wait(), BREATH_SECONDS)
            self._hear()
            if self._loop.time() - self._heard > SILENT_SECONDS and not self._stopping:
                log.error("endpoint process %d says nothing and is killed", self.number)
                with suppress(ProcessLookupError):
                    self._process.kill()

    def _hear(self) -> None:
        """All that it has said."""
        while self._socket:
            try:
                data = self._socket.recv(READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(self._socket)
                return
            self._heard = self._loop.time()
            try:
                for message in self._lines.feed(data):
                    self._take(message)
            except BadLine as error:
                log.error("endpoint process %d says what cannot be read: %s", self.number, error)

    def _take(self, message: Line) -> None:
        match message:
            case Ready():
                self._ready.set()
            case Broken(why):
                self._why = why
            case Alive() | Configure() | HangUp() | Transfer() | Renew():
                return
        self._on_message(self.number, message)

    def _send(self, message: ToProcess) -> None:
        with suppress(OSError):  # its death is noticed by the watch
            if self._socket:
                self._socket.send(write(message))

    def _drop(self) -> None:
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._socket = None
