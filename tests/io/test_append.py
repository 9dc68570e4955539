"""Real files and real failures of the file system."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace

import pytest

from gateway.io import append, flush
from gateway.io.append import Appender, AppendFailed, PartEnded, Synced
from gateway.recording.messages import Write

RECORDING = "01900000-0000-7000-8000-000000000003"


def write(folder: Path, data: bytes, part: int = 1, last: bool = False, recording: str = RECORDING) -> Write:
    return Write(recording, part, str(folder), data, last)


@pytest.fixture
def appender(tmp_path: Path) -> Iterator[Appender]:
    made = Appender(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small_files() -> Iterator[int]:
    """No file may grow beyond this; the kernel then says EFBIG as it says ENOSPC on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield 100_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def file(folder: Path, part: int = 1) -> Path:
    return folder / f"{RECORDING}.{part}.sealed"


def test_what_is_put_is_in_the_file_and_told_of_once_durable(tmp_path: Path) -> None:
    appender, data = Appender(tmp_path), Random(1).randbytes(70_000)
    appender.put([write(tmp_path, data[at : at + 7000], last=at == 63_000) for at in range(0, 70_000, 7000)])
    appender.close()
    events = appender.events()
    assert file(tmp_path).read_bytes() == data
    assert file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert events[-1] == PartEnded(RECORDING, 1, 70_000, hashlib.sha256(data).hexdigest())
    assert sum(event.bytes for event in events if isinstance(event, Synced)) == 70_000
    assert appender.events() == []


def test_parts_do_not_mix_and_an_open_one_is_not_told_of(tmp_path: Path) -> None:
    appender = Appender(tmp_path)
    for octet in range(100):
        appender.put(
            [write(tmp_path, bytes([octet]), part, last=part == 1 and octet == 99) for part in (1, 2)]
        )
    appender.close()
    assert file(tmp_path, 1).read_bytes() == file(tmp_path, 2).read_bytes() == bytes(range(100))
    assert [event.number for event in appender.events() if isinstance(event, PartEnded)] == [1]


def test_a_file_that_is_there_is_never_written_on(tmp_path: Path) -> None:
    file(tmp_path).write_bytes(b"torn")
    appender = Appender(tmp_path)
    appender.put(
        [write(tmp_path, b"new"), write(tmp_path, b"more", last=True), write(tmp_path, b"next", 2, last=True)]
    )
    appender.close()
    assert file(tmp_path).read_bytes() == b"torn"
    failed, *_, ended = appender.events()
    assert failed == AppendFailed(RECORDING, 1, os.strerror(errno.EEXIST))
    assert isinstance(ended, PartEnded)
    assert ended.number == 2


def test_a_full_disk_tears_the_part_and_no_other(tmp_path: Path, small_files: int) -> None:
    appender, data = Appender(tmp_path), Random(2).randbytes(60_000)
    handles = len(os.listdir("/proc/self/fd"))
    for last in (False, False, True):
        appender.put([write(tmp_path, data, last=last), write(tmp_path, data[:1000], 2, last=last)])
    appender.put([write(tmp_path, b"", 3, last=True)])
    appender.close()
    kinds = [(type(event), event.number) for event in appender.events() if not isinstance(event, Synced)]
    assert sorted(kinds, key=lambda kind: kind[1]) == [(AppendFailed, 1), (PartEnded, 2), (PartEnded, 3)]
    assert file(tmp_path).read_bytes() == (data + data)[:small_files]
    assert file(tmp_path, 2).read_bytes() == data[:1000] * 3
    assert len(os.listdir("/proc/self/fd")) == handles - 1


def test_a_folder_that_is_gone(tmp_path: Path, appender: Appender) -> None:
    appender.put([write(tmp_path / "gone", b"x")])
    events: list[append.StorageEvent] = []
    while not events:
        events = appender.events()
    assert events == [AppendFailed(RECORDING, 1, os.strerror(errno.ENOENT))]


def test_a_disk_that_hangs_costs_parts_and_not_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append, "MAX_BACKLOG_BYTES", 50_000)
    hangs, goes_on = threading.Event(), threading.Event()
    really = append._create

    def slow(first: Write) -> int:
        hangs.set()
        goes_on.wait(10)
        return really(first)

    monkeypatch.setattr(append, "_create", slow)
    appender = Appender(tmp_path)
    appender.put([write(tmp_path, bytes(10_000))])
    assert hangs.wait(10)
    for _ in range(50):
        appender.put([write(tmp_path, bytes(10_000))])
    waiting = 0
    while not appender._queue.empty():
        writes = appender._queue.get()
        waiting += sum(len(each.data) for each in writes) if isinstance(writes, list) else 0
    assert waiting <= 50_000
    appender.put([write(tmp_path, bytes(10_000)), write(tmp_path, b"other", 2, last=True)])
    goes_on.set()
    appender.close()
    told = [event for event in appender.events() if not isinstance(event, Synced)]
    assert told[0] == AppendFailed(RECORDING, 1, "the disk is slower than the audio that comes in")


def test_a_flush_that_fails_fails_the_parts_that_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def syncfs(_: int) -> int:
        ctypes.set_errno(errno.EIO)
        return -1

    monkeypatch.setattr(flush, "_libc", SimpleNamespace(syncfs=syncfs))
    appender = Appender(tmp_path)
    appender.put([write(tmp_path, b"x", last=True)])
    appender.close()
    synced, failed = appender.events()
    assert isinstance(synced, Synced)
    assert synced.problem == os.strerror(errno.EIO)
    assert failed == AppendFailed(RECORDING, 1, f"flush: {os.strerror(errno.EIO)}")
