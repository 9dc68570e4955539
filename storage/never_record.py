"""Numbers that are never recorded: a file of keyed hashes, by which a gateway knows them, and of sealed numbers.

    {"entries":[{"added":"2026-11-22","hashes":["<hexadecimal>"],"number":{"key":..,"sealed":..},"reason":"..","until":null}]}

Canonical JSON, mode 0600, replaced in one step. The hashes tell the recorder whether a number is on the list; only
the vault's private key tells which numbers are.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gateway.storage import canonical, files
from gateway.storage.keys import PrivateKeyProvider, Sealed, VaultPublicKey
from gateway.storage.lookup import listed_hashes, number_hashes
from gateway.storage.records import sealed_json, sealed_of

FILE = "never-record.json"
# Some ten thousand numbers: a gateway reads them between two messages, in a tenth of a second.
MAX_BYTES = 4 << 20
INFO = b"hushtap never record"


class NeverRecordFault(Exception):
    """The list cannot be used; the text names the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One number. Days are ISO 8601, UTC."""

    hashes: tuple[str, ...]  # hexadecimal
    reason: str  # a code, in plain
    added: str
    until: str | None  # the last day on which it holds
    number: Sealed

    def holds(self, today: str) -> bool:
        return self.until is None or today <= self.until


def read(directory: Path) -> tuple[Entry, ...]:
    """The list; empty where there is none. Raises NeverRecordFault."""
    path = directory / FILE
    try:
        data = files.read_private(path, MAX_BYTES)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise NeverRecordFault(f"{path}: cannot be read: {error.strerror}") from error
    except files.PrivateFileFault as error:
        raise NeverRecordFault(str(error)) from error
    try:
        return tuple(_entry(row) for row in canonical.parse(data)["entries"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NeverRecordFault(f"{path}: is not a never-record list") from error


def add(
    directory: Path, number: str, reason: str, until: str | None, today: str, lookup_key: bytes,
    vault: Callable[[], VaultPublicKey],
) -> None:  # fmt: skip
    """Put a number on the list, in place of an entry it has; those that no longer hold go. Raises as `read`."""
    with _locked(directory):
        hashes = tuple(found.hex() for found in listed_hashes(lookup_key, number))
        sealed = vault().seal(number.encode("utf-8"), INFO)
        kept = [entry for entry in _others(read(directory), number, lookup_key) if entry.holds(today)]
        _write(directory, [*kept, Entry(hashes, reason, today, until, sealed)])


def remove(directory: Path, number: str, lookup_key: bytes) -> bool:
    """Take a number off the list; False where it was not on it. Raises as `read`."""
    with _locked(directory):
        entries = read(directory)
        kept = _others(entries, number, lookup_key)
        if len(kept) < len(entries):
            _write(directory, kept)
        return len(kept) < len(entries)


def reseal(directory: Path, keys: PrivateKeyProvider, vault: VaultPublicKey) -> None:
    """Seal every number to another vault key, as a rotation asks."""
    with _locked(directory):
        entries = read(directory)
        if entries:
            moved = (vault.seal(keys.open(entry.number, INFO), INFO) for entry in entries)
            _write(
                directory,
                [replace(entry, number=sealed) for entry, sealed in zip(entries, moved, strict=True)],
            )


def number_of(entry: Entry, keys: PrivateKeyProvider) -> str:
    """Raises NotOpened."""
    return keys.open(entry.number, INFO).decode("utf-8")


class NumberList:
    """The list as a gateway asks it: every change of the file is known at the next question."""

    def __init__(
        self,
        directory: Path,
        lookup_key: bytes,
        today: Callable[[], str],
        told: Callable[[NeverRecordFault], None] = lambda fault: None,
    ) -> None:
        """A list that cannot be read later on is `told` of, and stays as it was. Raises NeverRecordFault."""
        self._told = told
        self._directory = directory
        self._lookup_key = lookup_key
        self._today = today
        self._stamp = self._stamped()
        self._entries = _by_hash(read(directory))

    def code(self, number: str) -> str | None:
        """The code of the reason why a number is not recorded today."""
        before, self._stamp = self._stamp, self._stamped()
        if before != self._stamp:
            try:
                self._entries = _by_hash(read(self._directory))
            except NeverRecordFault as fault:
                self._told(fault)
        today = self._today()
        for found in number_hashes(self._lookup_key, number):
            entry = self._entries.get(found.hex())
            if entry and entry.holds(today):
                return entry.reason
        return None

    def _stamped(self) -> tuple[int, int, int] | None:
        try:
            found = (self._directory / FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_size, found.st_mtime_ns


def _by_hash(entries: Iterable[Entry]) -> dict[str, Entry]:
    return {found: entry for entry in entries for found in entry.hashes}


def _others(entries: Iterable[Entry], number: str, lookup_key: bytes) -> list[Entry]:
    mine = {found.hex() for found in (*number_hashes(lookup_key, number), *listed_hashes(lookup_key, number))}
    return [entry for entry in entries if not mine & set(entry.hashes)]


def _entry(row: dict[str, object]) -> Entry:
    """Raises KeyError, TypeError or ValueError at any other shape."""
    sealed = sealed_of(row.pop("number"))
    plain = canonical.build(_Plain, row)
    return Entry(**asdict(plain), number=sealed)


@dataclass(frozen=True, slots=True)
class _Plain:
    """What of an entry is not sealed."""

    hashes: tuple[str, ...]
    reason: str
    added: str
    until: str | None


def _write(directory: Path, entries: Iterable[Entry]) -> None:
    rows = [asdict(entry) | {"number": sealed_json(entry.number)} for entry in entries]
    data = canonical.dump({"entries": rows})
    if len(data) > MAX_BYTES:
        raise NeverRecordFault(
            f"{directory / FILE}: with this number it would have more than {MAX_BYTES:,} bytes"
        )
    files.replace(directory / FILE, data)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time; the lock is on the folder, for the file is replaced."""
    files.make_folder(directory)
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
