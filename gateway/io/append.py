"""Appending sealed audio to files, off the media path: one thread writes, one makes it durable every second."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.io.flush import FileSystem
from gateway.recording.messages import Write
from gateway.storage.records import part_name

SYNC_SECONDS = 1.0
MAX_BACKLOG_BYTES = 256 << 20  # what may wait for a slow disk: 16 s of 1,000 G.711 calls


@dataclass(frozen=True, slots=True)
class PartEnded:
    """A part is whole and durable."""

    recording_id: str
    number: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AppendFailed:
    """A part could not be written on; what it has stays as it is, torn."""

    recording_id: str
    number: int
    problem: str


@dataclass(frozen=True, slots=True)
class Synced:
    """A flush of the storage file system ended."""

    nanoseconds: int
    bytes: int  # appended since the last one
    problem: str | None


StorageEvent = PartEnded | AppendFailed | Synced


@dataclass(slots=True)
class _Part:
    handle: int
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)


class Appender:
    """Takes writes at once and reports by events; the caller never waits for the disk."""

    def __init__(self, directory: Path, file_system: FileSystem | None = None) -> None:
        self._queue: queue.SimpleQueue[list[Write] | threading.Event | None] = queue.SimpleQueue()
        self._events: deque[StorageEvent] = deque()
        self._backlog = 0
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, int], _Part] = {}
        self._failed: set[tuple[str, int]] = set()
        self._ended: list[PartEnded] = []
        self._appended = 0
        self._stop = threading.Event()
        self._file_system = file_system or FileSystem(directory)
        self._writer = threading.Thread(target=self._write_all, name="append")
        self._syncer = threading.Thread(target=self._sync_all, name="sync")
        self._writer.start()
        self._syncer.start()

    def put(self, writes: Sequence[Write]) -> None:
        with self._lock:
            taken = [self._admit(write) for write in writes]
        if taken:  # all at once: the writing thread wakes once a tick
            self._queue.put(taken)

    def _admit(self, write: Write) -> Write:
        """Count what waits, the lock being held; of a part that has failed nothing is written any more."""
        if self._backlog + len(write.data) > MAX_BACKLOG_BYTES:
            self._fail(write, "the disk is slower than the audio that comes in")
        if (write.recording_id, write.part) in self._failed:
            return replace(write, data=b"")  # only so that the part's file is closed
        self._backlog += len(write.data)
        return write

    @property
    def backlog(self) -> int:
        """Octets that wait to be written."""
        return self._backlog

    def settle(self) -> None:
        """Wait until all that was put is written and durable."""
        written = threading.Event()
        self._queue.put(written)
        written.wait()
        self._sync()

    def events(self) -> list[StorageEvent]:
        """What happened since they were last taken."""
        return [self._events.popleft() for _ in range(len(self._events))]

    def close(self) -> None:
        """Write and flush all that was put; events of it can still be taken."""
        self._queue.put(None)
        self._writer.join()
        self._stop.set()
        self._syncer.join()
        self._file_system.close()

    def _write_all(self) -> None:
        while (writes := self._queue.get()) is not None:
            if isinstance(writes, threading.Event):
                writes.set()
                continue
            appended = sum(map(self._written, writes))
            with self._lock:  # once for all: the tick that puts the next ones does not wait for it
                self._backlog -= sum(len(write.data) for write in writes)
                self._appended += appended

    def _written(self, write: Write) -> int:
        """Append, or tell why not; gives how many octets were appended."""
        if (write.recording_id, write.part) in self._failed:
            self._give_up(write)
            return 0
        try:
            self._append(write)
        except OSError as error:
            with self._lock:
                self._fail(write, error.strerror or "an error without a name")
            return 0
        return len(write.data)

    def _append(self, write: Write) -> None:
        key = (write.recording_id, write.part)
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = _Part(_create(write))
        data: bytes | memoryview = write.data
        while data:
            count = os.write(part.handle, data)
            part.digest.update(data if count == len(data) else memoryview(data)[:count])
            part.size += count
            data = memoryview(data)[count:]
        if write.last:
            del self._parts[key]
            os.close(part.handle)
            with self._lock:
                self._ended.append(PartEnded(*key, part.size, part.digest.hexdigest()))

    def _give_up(self, write: Write) -> None:
        if part := self._parts.pop((write.recording_id, write.part), None):
            os.close(part.handle)

    def _fail(self, write: Write, problem: str) -> None:
        """Write no more of a part, and tell of it once; the lock is held."""
        key = (write.recording_id, write.part)
        if key not in self._failed:
            self._failed.add(key)
            self._events.append(AppendFailed(*key, problem))

    def _sync_all(self) -> None:
        """Flush on the second of the clock that all workers share: what they ask for at once the kernel does as one."""
        while not self._stop.wait(SYNC_SECONDS - time.monotonic() % SYNC_SECONDS):
            self._sync()
        self._sync()

    def _sync(self) -> None:
        with self._lock:
            ended, self._ended = self._ended, []
            appended, self._appended = self._appended, 0
        if not appended and not ended:
            return
        began = time.monotonic_ns()
        problem = None
        try:
            self._file_system.flush()
        except OSError as error:
            problem = error.strerror
        self._events.append(Synced(time.monotonic_ns() - began, appended, problem))
        for part in ended:
            self._events.append(
                AppendFailed(part.recording_id, part.number, f"flush: {problem}") if problem else part
            )


def _create(write: Write) -> int:
    path = Path(write.folder) / part_name(write.recording_id, write.part)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
