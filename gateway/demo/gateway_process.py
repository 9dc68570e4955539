"""The gateway and its command line as other processes, as a person would run them."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from gateway.demo.client import Client

PROGRAM = (sys.executable, "-m", "gateway")
MEDIA_PORTS = 40  # three calls take twelve at most
READY_SECONDS = 30.0
STOP_SECONDS = 15.0
HOST = "127.0.0.1"


class DemoError(Exception):
    """The demonstration cannot go on; the text says what failed and where to look."""


class Gateway:
    """A gateway of its own in a folder, on free ports of this machine. An async context manager; ends only its child."""

    def __init__(self, folder: Path, program: Sequence[str] = PROGRAM) -> None:
        self.folder, self._program = folder, program
        self.config = folder / "hushtap.toml"
        self.log = folder / "gateway.log"
        self.server = HOST, _free_port()
        self._serving: Process | None = None

    async def __aenter__(self) -> Self:
        self.folder.mkdir(parents=True, mode=0o700)
        self.config.write_text(self._settings(), encoding="utf-8")
        with self.log.open("wb") as log:
            self._serving = await asyncio.create_subprocess_exec(
                *self._program, "serve", stdin=DEVNULL, stdout=log, stderr=log, env=self._environment()
            )
        try:
            await self._ready(self._serving)
        except BaseException:
            await self._stop(self._serving)
            raise
        return self

    async def __aexit__(self, *unused: object) -> None:
        if self._serving is not None:
            await self._stop(self._serving)

    async def command(self, *arguments: str, codes: Sequence[int] = (0,)) -> str:
        """Run one `hushtap` command to its end; gives what it printed. Raises DemoError on another exit code."""
        process = await asyncio.create_subprocess_exec(
            *self._program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=self._environment()
        )
        out, fault = await process.communicate()
        if process.returncode not in codes:
            raise DemoError(
                f"hushtap {' '.join(arguments)} ended with {process.returncode}: {fault.decode().strip()}"
            )
        return out.decode()

    async def table(self, *arguments: str, codes: Sequence[int] = (0,)) -> list[dict[str, object]]:
        """A command that prints a JSON list of objects."""
        printed = await self.command(*arguments, "--json", codes=codes)
        try:
            rows: list[dict[str, object]] = json.loads(printed)
        except ValueError as error:
            raise DemoError(f"hushtap {' '.join(arguments)} --json printed no JSON: {error}") from error
        return rows

    def _environment(self) -> dict[str, str]:
        return os.environ | {"HUSHTAP_CONFIG": str(self.config.resolve())}

    def _settings(self) -> str:
        first = _free_range(MEDIA_PORTS)
        return (
            f"# The demonstration's own gateway. Everything else is as by default.\n"
            f'[sip]\naddress = "{HOST}"\nport = {self.server[1]}\n\n'
            f"[media]\nfirst_port = {first}\nlast_port = {first + MEDIA_PORTS - 1}\nworkers = 1\n\n"
            f'[storage]\ndirectory = "data"\n\n'
            f"[api]\nport = 0\n\n"
            f'[metrics]\naddress = "{HOST}"\nport = {_free_port()}\n'
        )

    async def _ready(self, serving: Process) -> None:
        """Wait until the gateway answers SIP."""
        async with Client(self.server) as client:
            answered = asyncio.ensure_future(client.options())
            died = asyncio.ensure_future(serving.wait())
            await asyncio.wait((answered, died), timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            ready = answered.done() and answered.exception() is None
            for task in (answered, died):
                task.cancel()
            await asyncio.gather(answered, died, return_exceptions=True)
        if not ready:
            state = "did not answer" if serving.returncode is None else f"ended with {serving.returncode}"
            raise DemoError(f"the gateway {state}; its log is {self.log}")

    async def _stop(self, serving: Process) -> None:
        if serving.returncode is not None:
            return
        serving.terminate()
        try:
            await asyncio.wait_for(serving.wait(), STOP_SECONDS)
        except TimeoutError:
            serving.kill()
            await serving.wait()


def _free_port() -> int:
    """A port that is free for TCP and UDP alike."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.bind((HOST, 0))
            port = int(stream.getsockname()[1])
            try:
                datagrams.bind((HOST, port))
            except OSError:
                continue
            return port


def _free_range(count: int) -> int:
    """The first of `count` UDP ports in a row that are free, an even one."""
    for first in range(20_000, 60_000, count):
        if all(map(is_free, range(first, first + count))):
            return first
    raise DemoError(f"no {count} UDP ports in a row are free between 20000 and 60000")


def is_free(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
