"""A process that is kept alive: started, watched, replaced when it dies, and ended."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

RESTART_SECONDS = 1.0  # least time between two starts, so that one that cannot live does not spin


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: `python -m module N`, where N is the number of its end of a socket pair of that `kind`."""

    module: str
    kind: socket.SocketKind
    mute: bool = False  # whether it has neither standard input nor output; errors go where ours go
    environment: Mapping[str, str] = field(default_factory=dict)  # beside that of this process
    stop_seconds: float | None = None  # to end by itself, before it is killed; None: as long as it takes


class Child(ABC):
    """One process of a `program`, called `name` in logs.

    It has started once `_ready` is set, and is told to end by what becomes of our end of its socket.
    """

    def __init__(self, name: str, program: Program) -> None:
        self._name = name
        self._program = program
        self._loop = asyncio.get_running_loop()
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._stopping = False
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises what `_failed` says."""
        await self._spawn()
        assert self._process is not None
        ready, ended = asyncio.create_task(self._ready.wait()), asyncio.create_task(self._process.wait())
        await asyncio.wait({ready, ended}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not ended.cancel():
            self._hear()
            self._drop()
            raise self._failed(ended.result())
        self._watch = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Tell it to end, and wait until it has."""
        self._stopping = True
        await self._end()
        if self._watch:
            await self._watch
        self._drop()

    @abstractmethod
    def _connect(self, end: socket.socket) -> None:
        """A process has started; this is our end of its socket."""

    @abstractmethod
    def _hear(self) -> None:
        """Take what it has said so far."""

    @abstractmethod
    def _tell_to_end(self) -> None:
        """Do with our end what makes the process end by itself."""

    @abstractmethod
    def _drop(self) -> None:
        """Close our end, if there is one."""

    @abstractmethod
    def _failed(self, status: int) -> Exception:
        """What is raised of one that ended before it was ready."""

    @abstractmethod
    def _lost(self) -> None:
        """It has died, and where we did not end it another will take its place."""

    @abstractmethod
    def _resume(self) -> None:
        """Another has taken the place of one that died."""

    async def _spawn(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, self._program.kind)
        unused = asyncio.subprocess.DEVNULL if self._program.mute else None
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._program.module,
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=unused,
                stdout=unused,
                env={**environment(), **self._program.environment},
            )
        self._ready.clear()
        self._connect(ours)

    async def _keep(self) -> None:
        while True:
            assert self._process is not None
            started = self._loop.time()
            status = await self._process.wait()
            self._hear()
            self._drop()
            if not self._stopping:
                log.error("%s ended with status %d and is replaced", self._name, status)
            self._lost()
            if self._stopping:
                return
            lived = self._loop.time() - started
            if lived < RESTART_SECONDS:
                await asyncio.sleep(RESTART_SECONDS - lived)
            if self._stopping:
                return
            await self._spawn()
            if self._stopping:  # meanwhile
                await self._end()
            else:
                self._resume()

    async def _end(self) -> None:
        self._tell_to_end()
        if self._process is None:
            return
        try:
            await asyncio.wait_for(self._process.wait(), self._program.stop_seconds)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


def environment() -> dict[str, str]:
    """That of this process, and where its modules are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
