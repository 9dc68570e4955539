"""Files and folders that only the owner may read, written so that a crash leaves the old or the new.

Without `sync` what was written is durable only once the caller has flushed the file system.
"""

from __future__ import annotations

import os
from pathlib import Path

FOLDER_MODE = 0o700
FILE_MODE = 0o600
OTHERS = 0o077  # mode bits that let group or others at a file
TEMPORARY = ".new"  # ends the name of a file being written; a crash may leave one behind


class PrivateFileFault(Exception):
    """A file that is to be private is not, or is too long; the text is one sentence that names it."""


def make_folder(path: Path, *, sync: bool = True) -> None:
    """Create a folder and those above it, each durable in its parent before the next is made."""
    if path.is_dir():
        return
    make_folder(path.parent, sync=sync)
    path.mkdir(FOLDER_MODE, exist_ok=True)
    if sync:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make names in a folder survive power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file that does not exist yet, durably. Raises FileExistsError."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
    if sync:
        sync_folder(path.parent)


def replace(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write a file in one step, durably: readers see the old content or the new, never a part.

    Where it fails, as on a full disk, nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.unlink(missing_ok=True)
    try:
        create(temporary, data, sync=sync)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def read_private(path: Path, max_bytes: int) -> bytes:
    """All of a file that nobody but its owner may read. Raises OSError and PrivateFileFault."""
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        data = file.read(max_bytes + 1)
    if mode & OTHERS:
        raise PrivateFileFault(f"{path}: mode {mode:04o} lets others read it, 0600 is expected")
    if len(data) > max_bytes:
        raise PrivateFileFault(f"{path}: more than {max_bytes:,} bytes")
    return data


def is_temporary(path: Path) -> bool:
    """Whether this is what a crash left of a file being replaced."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY)


def destroy(path: Path) -> None:
    """Overwrite a file and remove its name, durably; a copying filesystem may still hold old blocks."""
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(path.parent)
