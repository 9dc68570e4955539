"""Messages between the control process and a media worker: JSON datagrams on a socket pair, with sockets.

What is longer than a datagram may be goes in several, all but the last marked.
"""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from gateway.io.append import AppendFailed, PartEnded, Synced
from gateway.io.tap_messages import Attach, TapMessage
from gateway.recording.engine import EngineSettings
from gateway.recording.messages import Command, Event
from gateway.storage import canonical

MAX_DATAGRAM = 192 * 1024  # less than a socket's default buffer
MANY_BYTES = 32 * 1024  # size at which a datagram takes no further message
PIECE_BYTES = MAX_DATAGRAM - 1  # of a longer text
MAX_SOCKETS = 64  # in one message; the kernel's limit is 253
CONTINUED = b"+"  # before a datagram whose text goes on in the next; JSON never begins so


@dataclass(frozen=True, slots=True)
class Configure:
    """The first message to a worker."""

    engine: EngineSettings
    directory: str  # of the storage, which is flushed every second


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message from a worker."""

    locked: bool  # whether its memory can never be swapped out


@dataclass(frozen=True, slots=True)
class Ticked:
    """How a second's ticks went."""

    ticks: int
    latest_ns: int  # the most a tick began after its time
    busy_ns: int  # processor time all ticks took
    cpu_ns: int = 0  # processor time of the whole process, with the threads that write and flush
    resident_bytes: int = 0  # of its memory, in use now


Message = (
    Configure | Attach | Command  # to the worker
    | Ready | Ticked | Event | PartEnded | AppendFailed | Synced | TapMessage
)  # fmt: skip
KINDS = {kind.__name__: kind for kind in Message.__args__}


class ChannelClosed(Exception):
    """The other process is gone."""


class Channel:
    """One end. Nothing blocks: what does not go out now goes out with a later `flush`."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._pending: deque[tuple[bytes, Sequence[int]]] = deque()
        self._begun = b""  # text that goes on in the next datagram
        self._begun_sockets: list[int] = []

    def fileno(self) -> int:
        return self._end.fileno()

    @property
    def pending(self) -> int:
        """Datagrams that wait for the other process."""
        return len(self._pending)

    def send(self, messages: Iterable[Message], sockets: Sequence[int] = ()) -> None:
        """Queue messages and send what goes. Sockets must stay open until nothing is pending."""
        for datagram in _datagrams(messages):
            self._pending.append((datagram, sockets))
            sockets = ()
        self.flush()

    def flush(self) -> None:
        """Send what is pending. Raises ChannelClosed."""
        while self._pending:
            data, sockets = self._pending[0]
            try:
                socket.send_fds(self._end, [data], sockets)
            except BlockingIOError:
                return
            except OSError as error:
                raise ChannelClosed from error
            self._pending.popleft()

    def receive(self) -> list[tuple[Message, list[int]]]:
        """All messages that wait, each with the sockets that came with it. Raises ChannelClosed."""
        found: list[tuple[Message, list[int]]] = []
        while True:
            try:
                data, sockets, _, _ = socket.recv_fds(self._end, MAX_DATAGRAM, MAX_SOCKETS)
            except BlockingIOError:
                return found
            except ConnectionResetError:
                continue  # told once when the other end died with mail unread; its own mail comes after
            except OSError as error:
                raise ChannelClosed from error
            if not data:
                if found:
                    return found
                raise ChannelClosed
            self._begun_sockets += sockets
            if data.startswith(CONTINUED):
                self._begun += data[len(CONTINUED) :]
                continue
            for name, body in json.loads(self._begun + data):
                found.append((canonical.build(KINDS[name], body), self._begun_sockets))
            self._begun, self._begun_sockets = b"", []

    def close(self) -> None:
        self._end.close()


def _datagrams(messages: Iterable[Message]) -> Iterable[bytes]:
    texts: list[str] = []
    size = 0
    for message in messages:
        text = json.dumps([type(message).__name__, message], separators=(",", ":"), default=_fields)
        if size + len(text) > MANY_BYTES and texts:
            yield from _pieces(f"[{','.join(texts)}]".encode())
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        yield from _pieces(f"[{','.join(texts)}]".encode())


def _fields(fact: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    return {field.name: getattr(fact, field.name) for field in fields(fact)}


def _pieces(text: bytes) -> Iterable[bytes]:
    """One datagram, or as many as a long text takes."""
    for at in range(0, len(text), PIECE_BYTES):
        more = at + PIECE_BYTES < len(text)
        yield (CONTINUED if more else b"") + text[at : at + PIECE_BYTES]
