"""Opening what a command reads, and saying in a sentence why it does not open."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.cli.errors import CannotRun
from gateway.cli.shapes import StoredPart
from gateway.config.settings import Settings
from gateway.export.errors import ExportError
from gateway.export.source import manifest_of, open_parts
from gateway.recording.model import CallFacts, CallState, RecordingFacts, RecordingState
from gateway.storage.access import AccessLogError
from gateway.storage.container import Reader
from gateway.storage.ebml import ContainerError
from gateway.storage.index import Index, IndexFault
from gateway.storage.keys import (
    FilePrivateKeys,
    KeyPaths,
    KeysError,
    NotOpened,
    PrivateKeyMissing,
    load_lookup,
    load_node_public,
)
from gateway.storage.lookup import search_hashes
from gateway.storage.never_record import NeverRecordFault
from gateway.storage.parts import stored_parts
from gateway.storage.records import CallRecord, RecordError, open_call
from gateway.storage.sealing import SealError
from gateway.storage.vault import Vault, VaultError

FAULTS = (
    *(KeysError, VaultError, RecordError, IndexFault, AccessLogError),
    *(SealError, ContainerError, ExportError, NeverRecordFault),
)


@contextmanager
def failing_in_sentences() -> Iterator[None]:
    """What the storage finds wrong, as CannotRun; its texts name files, never people."""
    try:
        yield
    except FAULTS as error:
        raise CannotRun(str(error)) from error


def index_of(settings: Settings, readonly: bool = False) -> Index:
    return Index.open(Vault(settings.storage.directory).index_path, readonly=readonly)


def private_keys(settings: Settings) -> FilePrivateKeys:
    return FilePrivateKeys(settings.key_path("vault_private"))


class Library:
    """The recorded calls, as playback sees them; read while the gateway writes. Every method raises CannotRun.

    Without `personal` calls come without participants, and no private key is needed.
    """

    def __init__(self, settings: Settings, *, personal: bool = True) -> None:
        self._settings = settings
        self.vault = Vault(settings.storage.directory)
        with failing_in_sentences():
            self.keys = _private_keys_or_advice(settings) if personal else None
            self._index = index_of(settings, readonly=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._index.close()

    def calls(
        self,
        number: str | None = None,
        state: CallState | None = None,
        since_ns: int | None = None,
        limit: int | None = None,
    ) -> list[CallFacts]:
        """Newest first. A call whose participants do not open comes without them, and is named on stderr."""
        with failing_in_sentences():
            hashes = search_hashes(load_lookup(self._settings.key_path("lookup")), number) if number else None
            found = self._index.calls(
                states=[state] if state else None, since_ns=since_ns, hashes=hashes, limit=limit
            )
            return [self._open(record) for record in found]

    def call(self, begins: str) -> CallFacts:
        with failing_in_sentences():
            return self._open(self._index.get(begins))

    def parts(self, call: CallFacts, recording: RecordingFacts) -> Sequence[StoredPart]:
        """A recording's files: as recorded, or as they are now while it is being written."""
        written = recording.state is not RecordingState.RECORDING
        if not written and not self.vault.call_folder(call.id, call.started_ns).is_dir():
            return []
        return [
            StoredPart(
                self._path(call, recording, part.number),
                part.bytes,
                part.sha256 or None,
                part.torn and written,
            )
            for part in stored_parts(self.vault, call, recording)
        ]

    @contextmanager
    def opened(self, call: CallFacts, recording: RecordingFacts) -> Iterator[list[Reader]]:
        """A finished recording's parts, decrypted as they are read."""
        if self.keys is None:
            raise CannotRun("audio is opened with the private key only")
        node = load_node_public(KeyPaths.of(self._settings).node_public)
        manifest = manifest_of(self.vault, call.id, call.started_ns, recording.id, node)
        with open_parts(self.vault, manifest, self.keys) as parts:
            yield parts

    def _path(self, call: CallFacts, recording: RecordingFacts, number: int) -> Path:
        return self.vault.part_path(call.id, call.started_ns, recording.id, number).absolute()

    def _open(self, record: CallRecord) -> CallFacts:
        if self.keys is None:
            return record.facts
        try:
            return open_call(record, self.keys)
        except (NotOpened, RecordError) as error:
            print(f"hushtap: call {record.facts.id}: its participants do not open: {error}", file=sys.stderr)
            return record.facts


def _private_keys_or_advice(settings: Settings) -> FilePrivateKeys:
    try:
        return private_keys(settings)
    except PrivateKeyMissing as error:
        raise CannotRun(
            f"{error}; `--no-personal` shows calls without numbers, names and extensions"
        ) from error
