"""Capture files opened and read, several as one: by a thread that nobody waits for when reading is given up."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import stat
import threading
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice

import numpy as np

from gateway.tap.capture import CaptureReader
from gateway.tap.frames import FrameBatch, merged
from gateway.tap.ordering import Ordering, in_order

CHUNK_BYTES = 1 << 20
# What of a file is looked through before anything is taken from it: whether its frames lie in the order of their times.
# Of what is longer, and of what is written while it is read, no more is put in order than lies close together.
MAX_SORTED_BYTES = 256 << 20
SORTED_FRAMES = 1 << 16  # are given at once, then
AHEAD = 2  # batches that are read before they are asked for
STANDARD_INPUT = "-"
_GZIP = b"\x1f\x8b"  # RFC 1952 section 2.3.1


class CaptureFile:
    """One capture, read on as it is asked for; `-` is the standard input. Raises OSError where it does not open."""

    def __init__(self, path: str) -> None:
        self.path = path
        # Not sys.stdin, whose lock a thread that is left reading would hold at the end of the process.
        named: str | int = 0 if path == STANDARD_INPUT else path
        self._raw = open(named, "rb", closefd=path != STANDARD_INPUT)  # noqa: SIM115 closed by `close`
        self._file: io.BufferedReader | gzip.GzipFile = self._raw
        if self._raw.peek(2)[:2] == _GZIP:
            self._file = gzip.GzipFile(fileobj=self._raw)
        # In a pipe more may come at any time, and what has come is heard at once.
        self._rests = stat.S_ISREG(os.fstat(self._raw.fileno()).st_mode)
        self._reader = CaptureReader()
        self._batches = self._ordered()
        self._frames: FrameBatch | None = None  # read, and not yet taken
        self._found = self._given = 0  # octets: read, and of those the ones whose frames were given

    @property
    def fault(self) -> str | None:
        """What is wrong with it, as far as it has been read; one sentence."""
        return self._reader.fault

    @property
    def position(self) -> int:
        """Octets of the file whose frames were given."""
        if self.path == STANDARD_INPUT:
            return 0
        return self._raw.tell() * self._given // self._found if self._found else self._raw.tell()

    @property
    def size(self) -> int:
        """Octets of the file; 0 where that is not known."""
        return os.fstat(self._raw.fileno()).st_size if self.path != STANDARD_INPUT else 0

    def head(self) -> FrameBatch | None:
        """The frames that come next, at least one; None at the end."""
        if self._frames is None:
            self._frames = next(self._batches, None)
        return self._frames

    def take(self, until_ns: int) -> FrameBatch:
        """Of the frames at the head, those up to a time; the others stay."""
        assert self._frames is not None
        count = int(np.searchsorted(self._frames.arrivals, until_ns, side="right"))
        taken, left = self._frames.take(slice(count)), self._frames.take(slice(count, None))
        self._frames = left if len(left) else None
        return taken

    def close(self) -> None:
        if self.path != STANDARD_INPUT:
            self._raw.close()

    def _ordered(self) -> Iterator[FrameBatch]:
        """All frames, batch after batch, with times that go on."""
        unread, first = self._read(), deque[FrameBatch]()
        if self._rests:
            for frames in unread:
                first.append(frames)
                if self._found > MAX_SORTED_BYTES:
                    break
            else:
                if first and (whole := in_order(list(first))) is not None:
                    first.clear()
                    yield from self._in_pieces(whole)
        ordering = Ordering()
        while first or (first := deque(islice(unread, 1))):
            frames = ordering.feed(first.popleft())
            self._given += frames.octets.size
            yield frames

    def _in_pieces(self, whole: FrameBatch) -> Iterator[FrameBatch]:
        for start in range(0, len(whole), SORTED_FRAMES):
            piece = whole.take(slice(start, start + SORTED_FRAMES))
            self._given = self._found * (start + len(piece)) // len(whole)
            yield piece

    def _read(self) -> Iterator[FrameBatch]:
        """All frames as they stand there, up to the end or a fault."""
        while chunk := self._chunk():
            frames = self._reader.feed(chunk)
            if len(frames):
                self._found += frames.octets.size
                yield frames
            if self._reader.fault:
                return
        self._reader.finish()

    def _chunk(self) -> bytes:
        """What comes next, a large piece where it is there; nothing at the end."""
        pieces, size = [], 0
        try:
            if self._file is self._raw:
                return self._raw.read1(CHUNK_BYTES)
            while size < CHUNK_BYTES and (piece := self._file.read1(CHUNK_BYTES)):
                pieces.append(piece)
                size += len(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            if not pieces:  # else what came before the damage is read first
                self._reader.break_off("what is compressed ends or is damaged")
        except OSError as error:
            if not pieces:
                self._reader.break_off(f"it cannot be read on ({error.strerror})")
        return b"".join(pieces)


def batches(files: Sequence[CaptureFile], told: Callable[[], None]) -> list[FrameBatch]:
    """The frames that come next of all files, up to a time that every one of them has been read to."""
    heads = [(file, head) for file in files if (head := file.head()) is not None]
    told()
    if not heads:
        return []
    until = min(int(head.arrivals[-1]) for _, head in heads)
    return [taken for file, _ in heads if len(taken := file.take(until))]


class Captures:
    """The frames of all files as one traffic, in the order of their times."""

    def __init__(self, files: Sequence[CaptureFile], report: Callable[[int, int], None]) -> None:
        self._files = files
        self._report = report  # is told octets read, and of how many
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Read no further."""
        self._stopped.set()

    async def read(self) -> AsyncIterator[FrameBatch]:
        """Batch after batch, until the end or until reading is stopped."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[FrameBatch | Exception | None] = asyncio.Queue()
        room, given_up = threading.Semaphore(AHEAD), threading.Event()

        def put(each: FrameBatch | Exception | None) -> None:
            room.acquire()
            with suppress(RuntimeError):  # the loop is closed: nobody reads on
                loop.call_soon_threadsafe(waiting.put_nowait, each)

        def work() -> None:
            try:
                while (found := batches(self._files, self._tell)) and not given_up.is_set():
                    put(merged(found))
                put(None)
            except Exception as error:  # noqa: BLE001 whoever reads is told
                put(error)

        threading.Thread(target=work, name="captures", daemon=True).start()
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            while True:
                coming = asyncio.ensure_future(waiting.get())
                await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    coming.cancel()
                    return
                found = coming.result()
                room.release()
                if isinstance(found, Exception):
                    raise found
                if found is None:
                    return
                yield found
                if self._stopped.is_set():
                    return
        finally:
            stopped.cancel()
            given_up.set()
            room.release()  # for the thread, should it wait

    def _tell(self) -> None:
        self._report(sum(file.position for file in self._files), sum(file.size for file in self._files))
