"""The vault: where recordings, their wrapped keys and their signed records lie on disk.

    audio/<year>/<month>/<day>/<call id>/call.json                          call record
    audio/<year>/<month>/<day>/<call id>/<recording id>.manifest.json       once the recording is finished
    audio/<year>/<month>/<day>/<call id>/<recording id>.<part>.sealed       audio
    wrapped/<last two digits>/<recording id>.json                           wrapped data key

The day is that of the call's start, UTC. Every document is replaced in one durable step.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from gateway.recording.model import CallFacts, Part, RecordingFacts
from gateway.storage import files, records
from gateway.storage.keys import (
    NodeKey,
    NodePublicKey,
    NotOpened,
    PrivateKeyProvider,
    RecorderKeys,
    VaultPublicKey,
)
from gateway.storage.records import CallRecord, Manifest, RecordError

LOCK_FILE = "lock"
CALL_FILE = "call.json"
MANIFEST_SUFFIX = ".manifest.json"
ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PART_FILE = re.compile(rf"({ID})\.([1-9]\d*)\.sealed")
DATA_KEY_BYTES = 32
MAX_DOCUMENT_BYTES = 16 << 20  # a day-long call with a redaction every second is under 12 MiB
HASH_CHUNK_BYTES = 1 << 20


class VaultError(Exception):
    """The vault cannot do what was asked; the text names the file."""


class VaultBusy(VaultError):
    """Another process writes to this vault."""


class NotInVault(VaultError):
    """A file that should be in the vault is not there."""


def call_place(call_id: str, started_ns: int) -> PurePosixPath:
    """Where a call's folder lies in the storage folder."""
    day = datetime.fromtimestamp(started_ns // 10**9, UTC)
    return PurePosixPath("audio", f"{day:%Y}", f"{day:%m}", f"{day:%d}", call_id)


def part_place(call_id: str, started_ns: int, recording_id: str, number: int) -> PurePosixPath:
    """Where a part lies in the storage folder."""
    return call_place(call_id, started_ns) / records.part_name(recording_id, number)


class Vault:
    """Paths, and documents written in one step; `directory` is the storage folder.

    Without `sync` the caller flushes the file system after what must be durable, many documents at once.
    """

    def __init__(self, directory: Path, *, sync: bool = True) -> None:
        self.directory = directory
        self._sync = sync
        self._audio = directory / "audio"
        self._wrapped = directory / "wrapped"

    @property
    def index_path(self) -> Path:
        return self.directory / "index.sqlite3"

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Be the only process that writes: a gateway while it runs, a rotation, a rebuild of the index.

        Raises VaultBusy. The lock goes with the process, however it ends.
        """
        files.make_folder(self.directory)
        handle = os.open(self.directory / LOCK_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, files.FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise VaultBusy(
                f"{self.directory}: another process writes to this vault; stop the gateway first"
            ) from error
        try:
            yield
        finally:
            os.close(handle)

    @contextmanager
    def wrapping(self, *, anew: bool = False) -> Iterator[None]:
        """Wrap new data keys, as many processes may at once; with `anew`, be alone, for a rotation wraps every key.

        Raises VaultBusy. A gateway need not ask: it has the vault to itself.
        """
        files.make_folder(self._wrapped)
        handle = os.open(self._wrapped, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, (fcntl.LOCK_EX if anew else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise VaultBusy(f"{self.directory}: its keys are being wrapped by another process") from error
        finally:
            os.close(handle)

    @contextmanager
    def alone(self, call: CallFacts, *, wait: bool = True) -> Iterator[None]:
        """Change the record of a call that has ended, while no other process does.

        Raises VaultBusy where another one does and `wait` is false.
        """
        handle = os.open(
            self.call_folder(call.id, call.started_ns), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise VaultBusy(f"call {call.id} is being changed by another process") from error
        try:
            yield
        finally:
            os.close(handle)

    def free_bytes(self) -> int:
        """What the file system that holds the vault has left for us."""
        found = os.statvfs(self.directory)
        return found.f_bavail * found.f_frsize

    def call_folder(self, call_id: str, started_ns: int) -> Path:
        return self.directory / call_place(call_id, started_ns)

    def part_path(self, call_id: str, started_ns: int, recording_id: str, number: int) -> Path:
        return self.directory / part_place(call_id, started_ns, recording_id, number)

    def part_in(self, folder: Path, recording_id: str, number: int) -> Path:
        """Where a part lies in its call's folder."""
        return folder / records.part_name(recording_id, number)

    def manifest_path(self, call_id: str, started_ns: int, recording_id: str) -> Path:
        return self.call_folder(call_id, started_ns) / f"{recording_id}{MANIFEST_SUFFIX}"

    def key_path(self, recording_id: str) -> Path:
        return self._wrapped / recording_id[-2:] / f"{recording_id}.json"

    def new_recording(
        self, call_id: str, recording_id: str, started_ns: int, public_key: VaultPublicKey
    ) -> bytes:
        """A fresh data key, given out once its wrapped form is written; the call's folder is made.

        Raises VaultError where the recording has a key already.
        """
        files.make_folder(self.call_folder(call_id, started_ns), sync=self._sync)
        data_key = os.urandom(DATA_KEY_BYTES)
        self.keep_key(recording_id, data_key, public_key)
        return data_key

    def keep_key(self, recording_id: str, data_key: bytes, public_key: VaultPublicKey) -> None:
        """Write a data key wrapped. Raises VaultError where the recording has a key already."""
        path = self.key_path(recording_id)
        files.make_folder(path.parent, sync=self._sync)
        if path.exists():
            raise VaultError(f"{path}: the recording has a key already; an id is used once")
        sealed = public_key.seal(data_key, records.data_key_info(recording_id))
        files.replace(path, records.encode_data_key(recording_id, sealed), sync=self._sync)

    def data_key(self, recording_id: str, keys: PrivateKeyProvider) -> bytes:
        """A recording's data key, unwrapped. Raises NotInVault, RecordError, NotOpened."""
        path = self.key_path(recording_id)
        owner, sealed = records.decode_data_key(_read(path))
        if owner != recording_id:
            raise RecordError(f"{path.name} holds the wrapped key of recording {owner}")
        try:
            return keys.open(sealed, records.data_key_info(recording_id))
        except NotOpened as error:
            raise NotOpened(f"the wrapped key of recording {recording_id}: {error}") from error

    def wrapped_keys(self) -> Iterator[Path]:
        """The file of every wrapped key. Raises OSError where a folder cannot be read."""
        return (path for path in _below(self._wrapped, 2) if path.suffix == ".json")

    def destroy_key(self, recording_id: str) -> None:
        """Make the recording unreadable for ever, wherever copies of its audio are. Raises NotInVault."""
        path = self.key_path(recording_id)
        if not path.exists():
            raise NotInVault(f"{path}: is not there; the recording's key was destroyed already or never made")
        files.destroy(path)

    def remove_recording(self, call_id: str, started_ns: int, recording_id: str) -> None:
        """Remove a recording's parts and its manifest, durably, as far as they are there."""
        folder = self.call_folder(call_id, started_ns)
        if not folder.is_dir():
            return
        for number in self.parts_on_disk(folder).get(recording_id, []):
            self.part_in(folder, recording_id, number).unlink(missing_ok=True)
        self.manifest_path(call_id, started_ns, recording_id).unlink(missing_ok=True)
        files.sync_folder(folder)

    def write_call(self, facts: CallFacts, keys: RecorderKeys) -> CallRecord:
        """Write the signed record of a call, its participants sealed; give what the index takes."""
        record = records.seal_call(facts, keys)
        self.write_record(record, keys.node)
        return record

    def write_record(self, record: CallRecord, node: NodeKey) -> None:
        folder = self.call_folder(record.facts.id, record.facts.started_ns)
        files.make_folder(folder, sync=self._sync)
        try:
            files.replace(folder / CALL_FILE, records.encode_call(record, node), sync=self._sync)
        except OSError:
            with suppress(OSError):  # other files are in it
                folder.rmdir()  # a folder without a record looks as if the record had been removed
            raise

    def read_call(self, folder: Path, node: NodePublicKey) -> CallRecord:
        """The signed record in a call's folder. Raises NotInVault, RecordError."""
        record = records.decode_call(_read(folder / CALL_FILE), node)
        if self.call_folder(record.facts.id, record.facts.started_ns) != folder:
            raise RecordError(
                f"it is the record of call {record.facts.id}, which does not belong in this folder"
            )
        return record

    def call_folders(self) -> Iterator[Path]:
        """The folder of every call, oldest day first; its name is the call id. Raises OSError as `wrapped_keys`."""
        return (path for path in _below(self._audio, 4) if re.fullmatch(ID, path.name) and path.is_dir())

    def calls(self, node: NodePublicKey) -> Iterator[CallRecord]:
        """Every call's record. Raises RecordError at one that is not as signed."""
        return (self.read_call(folder, node) for folder in self.call_folders())

    def write_manifest(self, manifest: Manifest, node: NodeKey) -> None:
        path = self.manifest_path(manifest.call_id, manifest.started_ns, manifest.recording_id)
        files.replace(path, records.encode_manifest(manifest, node), sync=self._sync)

    def read_manifest(
        self, call_id: str, started_ns: int, recording_id: str, node: NodePublicKey
    ) -> Manifest:
        """The signed manifest of a finished recording. Raises NotInVault, RecordError."""
        return records.decode_manifest(_read(self.manifest_path(call_id, started_ns, recording_id)), node)

    def finish_recording(self, call: CallFacts, recording: RecordingFacts, node: NodeKey) -> Manifest:
        """Sign the manifest of a recording with measured parts, and the call's counts and redactions."""
        manifest = Manifest(
            call_id=call.id,
            recording_id=recording.id,
            segment_id=recording.segment_id,
            state=recording.state,
            started_ns=call.started_ns,
            ended_ns=call.ended_ns or call.started_ns,
            legs=call.legs,
            redactions=call.redactions,
            parts=recording.parts,
            segment=recording.segment,
            start=recording.start,
            swapped=recording.swapped,
        )
        self.write_manifest(manifest, node)
        return manifest

    def parts_on_disk(self, folder: Path) -> dict[str, list[int]]:
        """The part numbers of every recording that has a file in a call's folder, in order."""
        found: dict[str, list[int]] = {}
        for path in folder.iterdir():
            if match := PART_FILE.fullmatch(path.name):
                found.setdefault(match[1], []).append(int(match[2]))
        return {recording_id: sorted(numbers) for recording_id, numbers in found.items()}


def _below(folder: Path, levels: int) -> list[Path]:
    """What lies so many levels below a folder, sorted.

    Unlike a glob it raises OSError where a folder cannot be read: nothing of a vault may be passed over in silence,
    least of all by a rotation that then gives up the old key.
    """
    found = [folder]
    for _ in range(levels):
        found = sorted(path for each in found if each.is_dir() for path in each.iterdir())
    return found


def measure_part(path: Path, number: int, *, torn: bool = False) -> Part:
    """Length and SHA-256 of a part, made durable first, so that what is signed is what stays."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    files.sync_folder(path.parent)
    return Part(number, size, digest.hexdigest(), torn)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except FileNotFoundError as error:
        raise NotInVault(f"{path.name} is not there") from error
    except OSError as error:
        raise RecordError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > MAX_DOCUMENT_BYTES:
        raise RecordError(f"{path.name} has over {MAX_DOCUMENT_BYTES} bytes")
    return data
