"""The access log: who took what out of the vault, and why.

`access.log` in the storage folder, one canonical JSON object a line: time, user, call and action in plain; the details,
which may name people, sealed to the vault by HPKE with info "hushtap access <call id> <time>".
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.storage import canonical, files
from gateway.storage.keys import PrivateKeyProvider, VaultPublicKey
from gateway.storage.records import sealed_json, sealed_of

FILE = "access.log"


class AccessLogError(Exception):
    """The log holds a line that is not one of ours; the text names the line."""


@dataclass(frozen=True, slots=True)
class Access:
    """One taking out."""

    time: str  # RFC 3339, UTC
    user: str  # login at the operating system
    call_id: str
    action: str  # export
    details: Mapping[str, str] = field(default_factory=dict)  # personal: sealed


def append(directory: Path, access: Access, vault: Callable[[], VaultPublicKey]) -> None:
    """Add one line, durable when this returns. Raises OSError, and what `vault` does.

    `vault` reads the key to seal to while the log is locked, so that no rotation passes in between.
    """
    with _locked(directory):
        line = _line(access, vault())
        handle = os.open(
            directory / FILE, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, files.FILE_MODE
        )
        with os.fdopen(handle, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        files.sync_folder(directory)


def read(directory: Path, keys: PrivateKeyProvider) -> Iterator[Access]:
    """Every line, oldest first. Raises AccessLogError, NotOpened."""
    path = directory / FILE
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = canonical.parse(line)
            sealed = sealed_of(row.pop("details"))
            access = Access(row.pop("time"), row.pop("user"), row.pop("call"), row.pop("action"))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AccessLogError(f"{path} line {number} is not an entry of the access log") from error
        details = canonical.parse(keys.open(sealed, _info(access)))
        yield Access(access.time, access.user, access.call_id, access.action, details)


def reseal(directory: Path, keys: PrivateKeyProvider, vault: VaultPublicKey) -> None:
    """Seal every line to another vault key, as a rotation asks. Raises as `read` does; then nothing is changed."""
    with _locked(directory):
        if (directory / FILE).exists():
            files.replace(
                directory / FILE, b"".join(_line(access, vault) for access in read(directory, keys))
            )


def _line(access: Access, vault: VaultPublicKey) -> bytes:
    sealed = vault.seal(canonical.dump(dict(access.details)), _info(access))
    row = {
        "time": access.time,
        "user": access.user,
        "call": access.call_id,
        "action": access.action,
        "details": sealed_json(sealed),
    }
    return canonical.dump(row) + b"\n"


def _info(access: Access) -> bytes:
    return f"hushtap access {access.call_id} {access.time}".encode("ascii")


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time; the lock is on the folder, for a rotation replaces the file."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
