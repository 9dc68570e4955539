"""Files that only their owner may read."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.storage.files import PrivateFileFault, read_private

LIMIT = 8


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "private"
    path.write_bytes(bytes(LIMIT))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_what_nobody_else_may_read_is_read(private: Path, mode: int) -> None:
    private.chmod(mode)
    assert read_private(private, LIMIT) == bytes(LIMIT)


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o601])
def test_what_others_may_touch_is_not_read(private: Path, mode: int) -> None:
    private.chmod(mode)
    with pytest.raises(PrivateFileFault, match=rf"private: mode {mode:04o} lets others read it, 0600 is"):
        read_private(private, LIMIT)


def test_what_is_longer_than_it_may_be_is_not_read(private: Path) -> None:
    with pytest.raises(PrivateFileFault, match=r"private: more than 7 bytes$"):
        read_private(private, LIMIT - 1)


def test_what_is_not_there_is_told_as_the_system_tells_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "none", LIMIT)
