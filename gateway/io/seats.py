"""Keeps an endpoint process alive: what it is told and what it says. Its death is that of its calls alone."""

from __future__ import annotations

import logging
import socket
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
from gateway.io.child import Child, Program

log = logging.getLogger(__name__)

SILENT_SECONDS = 20.0  # of a process, before it is killed; more than a busy machine takes for what takes two
STOP_SECONDS = 5.0  # for a process to take leave, before it is killed
READ_BYTES = 1 << 16
ENDPOINT = Program("gateway.endpoint", socket.SOCK_STREAM, mute=True, stop_seconds=STOP_SECONDS)


class SeatFailed(Exception):
    """An endpoint process ended before it could take calls; the text is one sentence."""


class Seat(Child):
    """One process, of that number. `on_message` hears it; `on_lost` is told of its end, however it came.

    `start` waits until it takes calls and raises SeatFailed; `stop` lets it take leave of its calls and of the registrar.
    """

    def __init__(
        self,
        number: int,
        configure: Configure,
        on_message: Callable[[int, FromProcess], None],
        on_lost: Callable[[int], None],
    ) -> None:
        super().__init__(f"endpoint process {number}", ENDPOINT)
        self.number = number
        self._configure, self._on_message, self._on_lost = configure, on_message, on_lost
        self._socket: socket.socket | None = None
        self._lines = Lines()
        self._why = ""
        self._heard = 0.0  # when it last said something

    def hang_up(self, call: str) -> None:
        """End one of its calls, or with an empty name all."""
        self._send(HangUp(call))

    def transfer(self, call: str, target: str) -> None:
        """Hand one of its calls to somebody else."""
        self._send(Transfer(call, target))

    def renew(self) -> None:
        """Register anew, where it is this one that does."""
        self._send(Renew())

    def _connect(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket, self._lines, self._heard = end, Lines(), self._loop.time()
        self._loop.add_reader(end, self._hear)
        self._send(self._configure)
        self._loop.call_later(BREATH_SECONDS, self._look, end)

    def _look(self, end: socket.socket) -> None:
        """Whether the process at the other end still does its work."""
        if self._socket is not end or self._stopping:
            return
        self._hear()
        if self._loop.time() - self._heard > SILENT_SECONDS and self._process:
            log.error("%s says nothing and is killed", self._name)
            with suppress(ProcessLookupError):
                self._process.kill()
        else:
            self._loop.call_later(BREATH_SECONDS, self._look, end)

    def _hear(self) -> None:
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
                log.error("%s says what cannot be read: %s", self._name, error)

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

    def _tell_to_end(self) -> None:
        if self._socket:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _drop(self) -> None:
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        self._socket = None

    def _failed(self, status: int) -> SeatFailed:
        why = self._why or f"it ended with status {status}"
        return SeatFailed(f"{self._name} cannot take calls: {why}")

    def _lost(self) -> None:
        self._on_lost(self.number)

    def _resume(self) -> None:
        """Its calls are over with the one before; it takes new ones."""
