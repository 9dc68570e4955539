"""Whether everything stored is as it was signed and sealed, and where it is not.

A call's record is held against its signature and against the index, each recording against its
manifest, each part against its length, its hash and every one of its sealed segments.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from gateway.recording.model import CallFacts, CallState, Part, RecordingFacts, RecordingState
from gateway.storage import container, files, tables
from gateway.storage.index import Index
from gateway.storage.keys import KeysError, NodePublicKey, PrivateKeyProvider
from gateway.storage.playback import UpTo, stored_parts
from gateway.storage.records import CallRecord, RecordError, open_call, part_name
from gateway.storage.sealing import AlteredError, SealedReader, SealError, Source, open_sealed
from gateway.storage.vault import CALL_FILE, MANIFEST_SUFFIX, PART_FILE, NotInVault, Vault

CHUNK_BYTES = 1 << 20

Progress = Callable[[int, int], None]  # calls done, calls in all


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one recording, or for a call that has none."""

    id: str
    ok: bool
    segments: int  # authentic ones read
    problem: str | None  # every fault with its place, one sentence each


def verify(
    vault: Vault,
    index: Index,
    keys: PrivateKeyProvider,
    node: NodePublicKey,
    only: AbstractSet[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Iterator[Verdict]:
    """Check all that is stored, or the calls and recordings of the ids in `only`.

    A fault of a call's record, index row or folder is told at each of its recordings, and under the
    call's id where it has none. Changes nothing. Raises IndexFault where the index cannot be read.
    """
    check = _Check(vault, index, keys, node)
    folders = {folder.name: folder for folder in vault.call_folders()}
    chosen = sorted(folders.keys() | index.ids())
    if only is not None:
        chosen = [
            call_id
            for call_id in chosen
            if call_id in only or only & check.recording_ids(folders.get(call_id))
        ]
    found: set[str] = set()
    for done, call_id in enumerate(chosen, 1):
        for verdict in check.call(call_id, folders.get(call_id)):
            if only is None or only & {call_id, verdict.id}:
                found |= {call_id, verdict.id}
                yield verdict
        progress(done, len(chosen))
    for missing in sorted((only or set()) - found - set(chosen)):
        yield Verdict(missing, False, 0, "Neither vault nor index has a call or recording of this id.")


@dataclass(frozen=True, slots=True)
class _Check:
    vault: Vault
    index: Index
    keys: PrivateKeyProvider
    node: NodePublicKey

    def call(self, call_id: str, folder: Path | None) -> list[Verdict]:
        """The verdicts of one call; taken again where it changed while it was read."""
        before = self._record_bytes(folder)
        verdicts = self._call(call_id, folder)
        if all(verdict.ok for verdict in verdicts) or before == self._record_bytes(folder):
            return verdicts
        return self._call(call_id, folder)

    def recording_ids(self, folder: Path | None) -> set[str]:
        """The recordings that have any file in a call's folder."""
        names = [path.name for path in folder.iterdir()] if folder else []
        parts = {match[1] for name in names if (match := PART_FILE.fullmatch(name))}
        return parts | {
            name.removesuffix(MANIFEST_SUFFIX) for name in names if name.endswith(MANIFEST_SUFFIX)
        }

    def _record_bytes(self, folder: Path | None) -> bytes | None:
        path = folder and folder / CALL_FILE
        return path.read_bytes() if path and path.exists() else None

    def _call(self, call_id: str, folder: Path | None) -> list[Verdict]:
        if folder is None:
            rows = self.index.rows(call_id)
            ids = [row["id"] for row in rows["recordings"]] if rows else []
            return [
                Verdict(id, False, 0, "The index has this call, the vault has not.")
                for id in ids or [call_id]
            ]
        try:
            record = self.vault.read_call(folder, self.node)
        except (NotInVault, RecordError) as error:
            fault = f"{CALL_FILE}: {error}."
            return [Verdict(id, False, 0, fault) for id in sorted(self.recording_ids(folder)) or [call_id]]
        shared = [*self._people(record), *self._against_index(record), *self._strangers(record.facts, folder)]
        verdicts = [self._recording(record.facts, recording, shared) for recording in record.facts.recordings]
        if not verdicts and shared:
            verdicts.append(Verdict(call_id, False, 0, " ".join(shared)))
        return verdicts

    def _people(self, record: CallRecord) -> Iterator[str]:
        try:
            open_call(record, self.keys)
        except (KeysError, RecordError) as error:
            yield f"{CALL_FILE}: {error}."

    def _against_index(self, record: CallRecord) -> Iterator[str]:
        found = self.index.rows(record.facts.id)
        if found is None:
            yield "The index has no row of this call."
            return
        if record.facts.state is CallState.RECORDING:
            return  # the index runs ahead of the record, by its checkpoints
        for table, signed in tables.rows_of(record).items():
            if len(found[table]) != len(signed):
                yield f"Index: {table} has {len(found[table])} rows, the signed record {len(signed)}."
            for position, (mine, theirs) in enumerate(zip(found[table], signed, strict=False)):
                for name in (name for name in theirs if mine[name] != theirs[name]):
                    yield f"Index: {table}.{name} of row {position} differs from the signed record."

    def _strangers(self, facts: CallFacts, folder: Path) -> Iterator[str]:
        expected = {CALL_FILE}
        for recording in facts.recordings:
            expected.add(f"{recording.id}{MANIFEST_SUFFIX}")
            expected |= {
                part_name(recording.id, part.number) for part in stored_parts(self.vault, facts, recording)
            }
        for path in sorted(folder.iterdir()):
            if path.name not in expected and not files.is_temporary(path):
                yield f"{path.name} is in the call's folder and in no signed record."

    def _recording(self, facts: CallFacts, recording: RecordingFacts, shared: list[str]) -> Verdict:
        faults: list[str] = []
        segments = 0
        if recording.state is not RecordingState.RECORDING:
            faults += self._manifest(facts, recording)
        try:
            data_key = self.vault.data_key(recording.id, self.keys)
        except (NotInVault, RecordError, KeysError) as error:
            faults.append(f"{recording.id}.json: {error}.")
        else:
            for part in stored_parts(self.vault, facts, recording):
                checked, found = self._part(facts, recording, part, data_key)
                segments += checked
                faults += [f"{part_name(recording.id, part.number)}: {fault}." for fault in found]
        problem = " ".join(faults + shared)
        return Verdict(recording.id, not problem, segments, problem or None)

    def _manifest(self, facts: CallFacts, recording: RecordingFacts) -> Iterator[str]:
        name = f"{recording.id}{MANIFEST_SUFFIX}"
        try:
            manifest = self.vault.read_manifest(facts.id, facts.started_ns, recording.id, self.node)
        except (NotInVault, RecordError) as error:
            yield f"{name}: {error}."
            return
        pairs = {
            "call_id": (manifest.call_id, facts.id),
            "recording_id": (manifest.recording_id, recording.id),
            "segment_id": (manifest.segment_id, recording.segment_id),
            "started_ns": (manifest.started_ns, facts.started_ns),
            "state": (manifest.state, recording.state),
            "parts": (manifest.parts, recording.parts),
        }
        for field, (mine, theirs) in pairs.items():
            if mine != theirs:
                yield f"{name}: {field} differs from the call record."

    def _part(
        self, facts: CallFacts, recording: RecordingFacts, part: Part, data_key: bytes
    ) -> tuple[int, list[str]]:
        """Authentic segments of a part, and its faults."""
        path = self.vault.part_path(facts.id, facts.started_ns, recording.id, part.number)
        live = recording.state is RecordingState.RECORDING
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return 0, ["the file is not there"]
        with file:
            source = _Hashing(UpTo(file, part.bytes) if live else file)
            sealed = open_sealed(source, data_key, recording.id.encode("ascii"), torn=part.torn)
            faults = _contents(sealed, facts, recording, part)
            while source.read(CHUNK_BYTES):
                pass
        if live:
            return sealed.segments, faults + (
                [str(sealed.error)] if isinstance(sealed.error, AlteredError) else []
            )
        differs = source.digest.hexdigest() != part.sha256
        if differs and part.torn and sealed.error is not None:
            faults.append(str(sealed.error))
        if source.size != part.bytes:
            faults.append(f"it has {source.size} bytes, the manifest says {part.bytes}")
        elif differs:
            faults.append("its SHA-256 is not that of the manifest")
        return sealed.segments, faults


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.digest = hashlib.sha256()
        self.size = 0

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self.digest.update(data)
        self.size += len(data)
        return data


def _contents(sealed: SealedReader, facts: CallFacts, recording: RecordingFacts, part: Part) -> list[str]:
    """Read a part to its end: its segments, its container, and whether it says it is this part."""
    try:
        reader = container.read(sealed)
        for _ in reader.blocks():
            pass
    except SealError as error:
        return [str(error)]
    except container.ContainerError as error:
        return [f"the container in it, {sealed.segments} segments on: {error}"]
    faults = []
    info = reader.info
    if reader.truncated and not part.torn:
        faults.append("the container in it stops inside an element")
    if info and (info.recording_id, info.call_id, info.part) != (recording.id, facts.id, part.number):
        faults.append(f"it is part {info.part} of recording {info.recording_id}")
    if info and recording.segment_id not in ("", info.segment_id):
        faults.append(f"it is of segment {info.segment_id}, the call record says {recording.segment_id}")
    return faults
