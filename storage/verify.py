"""Whether everything stored is as it was signed and sealed, and where it is not.

A call's record is held against its signature and against the index, each recording against its
manifest, each part against its length, its hash and every one of its sealed segments.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gateway.recording.model import CallFacts, CallState, Part, RecordingFacts, RecordingState
from gateway.storage import container, files, tables
from gateway.storage.cutting import pending
from gateway.storage.index import Index
from gateway.storage.keys import KeysError, NodePublicKey, PrivateKeyProvider
from gateway.storage.parts import UpTo, stored_parts
from gateway.storage.records import CallRecord, RecordError, open_call, part_name
from gateway.storage.sealing import AlteredError, SealedReader, SealError, Source, open_sealed
from gateway.storage.vault import CALL_FILE, MANIFEST_SUFFIX, PART_FILE, NotInVault, Vault

CHUNK_BYTES = 1 << 20
DISCARDED = "discarded"  # a verdict's note
PENDING = "cuts pending"  # its beginning
# A gateway writes a call's record, then its index row, within milliseconds, if the machine lets it.
ATTEMPTS, PAUSE_SECONDS = 6, 0.2
FRESH_SECONDS = 10.0  # a record older than this is not being written

Progress = Callable[[int, int], None]  # calls done, calls in all


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome for one recording, for a call that has none, or for the index as a whole."""

    id: str
    ok: bool
    segments: int  # authentic ones read
    problem: str | None  # every fault with its place, one sentence each
    note: str = ""  # what is to be known besides: it was destroyed, something is to be cut from it


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
    call's id where it has none; one of the index that belongs to no call under the index's file name.
    Changes nothing. Raises IndexFault where the index cannot be read.
    """
    check = _Check(vault, index, keys, node)
    indexed = index.ids()  # read first: a call's folder is there before its row is
    folders = list(vault.call_folders())
    chosen: list[tuple[str, Path | None]] = [(folder.name, folder) for folder in folders]
    chosen += [(call_id, None) for call_id in indexed - {folder.name for folder in folders}]
    chosen.sort(key=lambda call: call[0])
    if only is not None:
        chosen = [call for call in chosen if call[0] in only or only & check.recording_ids(call[1])]
    elif faults := list(index.faults()):
        yield Verdict(vault.index_path.name, False, 0, " ".join(f"Index: {fault}" for fault in faults))
    found: set[str] = set()
    for done, (call_id, folder) in enumerate(chosen, 1):
        for verdict in check.call(call_id, folder):
            if only is None or only & {call_id, verdict.id}:
                found |= {call_id, verdict.id}
                yield verdict
        progress(done, len(chosen))
    for missing in sorted((only or set()) - found - {call_id for call_id, _ in chosen}):
        yield Verdict(missing, False, 0, "Neither vault nor index has a call or recording of this id.")


def _note(facts: CallFacts, recording: RecordingFacts) -> str:
    left, done = len(pending(facts)), any(rewrite.new_id == recording.id for rewrite in facts.rewrites)
    return f"{PENDING}: {left}" if left else "was cut" if done else ""


def _fresh(folder: Path | None) -> bool:
    """Whether a call's record was written a moment ago, its index row perhaps not yet."""
    try:
        return folder is not None and time.time() - (folder / CALL_FILE).stat().st_mtime < FRESH_SECONDS
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Check:
    vault: Vault
    index: Index
    keys: PrivateKeyProvider
    node: NodePublicKey

    def call(self, call_id: str, folder: Path | None) -> list[Verdict]:
        """The verdicts of one call; taken again where a gateway may just be writing it."""
        for _ in range(ATTEMPTS - 1):
            before = self._written(call_id, folder)
            verdicts = self._call_or_fault(call_id, folder)
            after = self._written(call_id, folder)
            settled = before == after and not after.running and not _fresh(folder)
            if settled or all(verdict.ok for verdict in verdicts):
                return verdicts
            time.sleep(PAUSE_SECONDS)
        return self._call_or_fault(call_id, folder)

    def recording_ids(self, folder: Path | None) -> set[str]:
        """The recordings that have any file in a call's folder; none where it cannot be read."""
        try:
            names = [path.name for path in folder.iterdir()] if folder else []
        except OSError:
            return set()
        parts = {match[1] for name in names if (match := PART_FILE.fullmatch(name))}
        return parts | {
            name.removesuffix(MANIFEST_SUFFIX) for name in names if name.endswith(MANIFEST_SUFFIX)
        }

    def _written(self, call_id: str, folder: Path | None) -> _Written:
        try:
            record = (folder / CALL_FILE).read_bytes() if folder else None
        except OSError:
            record = None
        return _Written(record, self.index.rows(call_id))

    def _call_or_fault(self, call_id: str, folder: Path | None) -> list[Verdict]:
        try:
            return self._call(call_id, folder)
        except OSError as error:
            return [Verdict(call_id, False, 0, f"A file or folder of it cannot be read: {error.strerror}.")]

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
            if self.index.rows(call_id) is None and all(map(files.is_temporary, folder.iterdir())):
                return []  # a folder is made a moment before its record
            fault = f"{CALL_FILE}: {error}."
            return [Verdict(id, False, 0, fault) for id in sorted(self.recording_ids(folder)) or [call_id]]
        facts = record.facts
        shared = [*self._people(record), *self._against_index(record), *self._strangers(facts, folder)]
        shared += [
            f"The key of recording {rewrite.old_id}, which was cut, is still there."
            for rewrite in facts.rewrites
            if self.vault.key_path(rewrite.old_id).exists()
        ]
        verdicts = [self._recording(record.facts, recording, shared) for recording in record.facts.recordings]
        verdicts += self._destroyed(record.facts, shared)
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
        runs_there = found["calls"][0]["state"] == CallState.RECORDING.value
        if (
            record.facts.state is CallState.RECORDING
        ):  # the index runs ahead of the record, by its checkpoints
            if not runs_there:
                yield f"{CALL_FILE}: it is of a call that still runs, which has ended by the index: an older record?"
            return
        if runs_there:
            yield (
                "Index: the call still runs there, and has ended by the signed record;"
                " the start of a gateway or `hushtap reindex` mends it."
            )
            return
        for table, signed in tables.rows_of(record).items():
            if len(found[table]) != len(signed):
                yield f"Index: {table} has {len(found[table])} rows, the signed record {len(signed)}."
            for position, (mine, theirs) in enumerate(zip(found[table], signed, strict=False)):
                for name in (name for name in theirs if mine[name] != theirs[name]):
                    yield f"Index: {table}.{name} of row {position} differs from the signed record."

    def _strangers(self, facts: CallFacts, folder: Path) -> Iterator[str]:
        if facts.state is CallState.RECORDING:
            return  # a new recording's first part may be there before the record names it
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
        segments = 0
        recording, faults = self._manifest(facts, recording)
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
        return Verdict(recording.id, not problem, segments, problem or None, _note(facts, recording))

    def _destroyed(self, facts: CallFacts, shared: list[str]) -> Iterator[Verdict]:
        """Recordings that were destroyed: nothing of them may be left. Files are among the strangers."""
        if facts.discard is None or facts.state is CallState.RECORDING:
            return
        for recording in facts.discard.recordings:
            faults = [] if facts.discard.done_ns else ["It was to be destroyed; nothing says that it is."]
            if self.vault.key_path(recording.recording_id).exists():
                faults.append(f"{recording.recording_id}.json: it was destroyed, and is there.")
            problem = " ".join(faults + shared)
            yield Verdict(recording.recording_id, not problem, 0, problem or None, DISCARDED)

    def _manifest(self, facts: CallFacts, recording: RecordingFacts) -> tuple[RecordingFacts, list[str]]:
        """The recording as finished, where any signature says that it is; and faults."""
        name = f"{recording.id}{MANIFEST_SUFFIX}"
        running = recording.state is RecordingState.RECORDING
        try:
            manifest = self.vault.read_manifest(facts.id, facts.started_ns, recording.id, self.node)
        except NotInVault as error:
            return recording, [] if running else [f"{name}: {error}."]
        except RecordError as error:
            return recording, [f"{name}: {error}."]
        pairs = {
            "call_id": (manifest.call_id, facts.id),
            "recording_id": (manifest.recording_id, recording.id),
            "segment_id": (manifest.segment_id, recording.segment_id),
            "started_ns": (manifest.started_ns, facts.started_ns),
            "state": (manifest.state, recording.state),
            "parts": (manifest.parts, recording.parts),
            "segment": (manifest.segment, recording.segment),
            "start": (manifest.start, recording.start),
            "swapped": (manifest.swapped, recording.swapped),
        }
        faults = [
            f"{name}: {field} differs from the call record."
            for field, (mine, theirs) in pairs.items()
            if mine != theirs
        ]
        return manifest.recording if running and manifest.recording_id == recording.id else recording, faults

    def _part(
        self, facts: CallFacts, recording: RecordingFacts, part: Part, data_key: bytes
    ) -> tuple[int, list[str]]:
        """Authentic segments of a part, and its faults."""
        path = self.vault.part_path(facts.id, facts.started_ns, recording.id, part.number)
        live = recording.state is RecordingState.RECORDING
        try:
            with path.open("rb") as file:
                source = _Hashing(UpTo(file, part.bytes) if live else file)
                sealed = open_sealed(source, data_key, recording.id.encode("ascii"), torn=part.torn)
                faults = _contents(sealed, facts, recording, part)
                while source.read(CHUNK_BYTES):
                    pass
        except FileNotFoundError:
            return 0, ["the file is not there"]
        except OSError as error:
            return 0, [f"the file cannot be read: {error.strerror}"]
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


class _Written(NamedTuple):
    """What a gateway has written of a call, at a moment."""

    record: bytes | None
    rows: tables.Rows | None

    @property
    def running(self) -> bool:
        """Whether the index does not have the call's end, so that more of it may come."""
        return self.rows is None or self.rows["calls"][0]["state"] == CallState.RECORDING.value


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
