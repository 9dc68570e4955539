"""Captures from files: read on as they are asked for, together, until the end, a fault or an order to stop."""

from __future__ import annotations

import asyncio
import errno
import gzip
import io
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.io import captures as module
from gateway.io.captures import CaptureFile, Captures
from tests.patience import PATIENCE_SECONDS
from tests.tap.captures import Frame, pcap


def saved(folder: Path, name: str, frames: Sequence[Frame]) -> CaptureFile:
    path = folder / name
    path.write_bytes(pcap(frames, nano=True))
    return CaptureFile(str(path))


def read(files: Sequence[CaptureFile], most: int | None = None) -> list[list[tuple[int, bytes]]]:
    """The batches, until so many were read."""
    told: list[tuple[int, int]] = []

    async def run() -> list[list[tuple[int, bytes]]]:
        found = []
        captures = Captures(files, lambda done, total: told.append((done, total)))
        async for batch in captures.read():
            ends = zip(batch.arrivals, batch.offsets, batch.sizes, strict=True)
            found.append(
                [(int(at), batch.octets[start : start + size].tobytes()) for at, start, size in ends]
            )
            if len(found) == most:
                captures.stop()
        return found

    found = asyncio.run(asyncio.wait_for(run(), PATIENCE_SECONDS))
    for file in files:
        file.close()
    if most is None:
        assert told[-1][0] == told[-1][1] > 0
    return found


def test_files_that_follow_each_other_in_any_order(tmp_path: Path) -> None:
    first = [(at, b"%d" % at) for at in range(0, 50, 10)]
    second = [(at, b"%d" % at) for at in range(50, 100, 10)]
    files = [saved(tmp_path, "b", second), saved(tmp_path, "a", first)]
    assert [frame for batch in read(files) for frame in batch] == first + second


@pytest.mark.parametrize("name", ["a.pcap", "a.pcap.gz"])
def test_a_file_whose_frames_lie_in_another_order(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SORTED_FRAMES", 7)
    frames = [(at * 1_000_000_000, b"%d" % at) for at in range(100)]
    data = pcap([*frames[60:], *frames[:60]], nano=True)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found = read([CaptureFile(str(tmp_path / name))])
    assert [frame for batch in found for frame in batch] == frames
    assert len(found) == 15


def test_of_a_large_file_the_order_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SORTED_BYTES", 300)
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    frames = [(at * 1_000_000_000, b"%d" % at) for at in (*range(60, 100), *range(60))]
    found = [octets for batch in read([saved(tmp_path, "a", frames)]) for _, octets in batch]
    assert found == [octets for _, octets in frames]


def test_files_of_the_same_time_become_one(tmp_path: Path) -> None:
    there, back = [(at, b"there") for at in (0, 30, 60)], [(at, b"back") for at in (10, 20, 70)]
    files = [saved(tmp_path, "a", there), saved(tmp_path, "b", back)]
    assert [frame for batch in read(files) for frame in batch] == sorted(there + back)


def test_reading_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 64)
    frames = [(at, bytes(20)) for at in range(100)]
    assert len(read([saved(tmp_path, "a", frames)], most=2)) == 2


class Failing(io.BytesIO):
    """A disk that fails in the middle."""

    def read1(self, size: int | None = -1) -> bytes:
        if found := super().read1(60):
            return found
        raise OSError(errno.EIO, "Input/output error")


def test_a_disk_that_fails_is_the_end_of_the_capture(tmp_path: Path) -> None:
    file = saved(tmp_path, "a", [(at, bytes(20)) for at in range(3)])
    file.close()
    file._raw = file._file = Failing(pcap([(at, bytes(20)) for at in range(3)], nano=True))  # type: ignore[assignment]
    count = 0
    while (head := file.head()) is not None:
        count += len(file.take(int(head.arrivals[-1])))
    assert count == 3
    assert file.fault == "it cannot be read on (Input/output error) within packet 4"
