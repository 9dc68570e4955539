"""What a gateway does at its start about calls that were running when the one before it stopped.

The recorder cannot decrypt, so it keeps each part as it is, signs a manifest that pins its length and
hash, and gives the call a final state. Every step can be repeated: killed in the middle, the next
start goes on, because a call leaves the state `recording` in the index last of all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.recording.model import (
    RUNNING,
    CallFacts,
    CallState,
    LegReport,
    Part,
    RecordingFacts,
    RecordingState,
)
from gateway.storage import files
from gateway.storage.cutting import pending, tidy
from gateway.storage.discarding import destroy
from gateway.storage.index import Index
from gateway.storage.keys import NodeKey
from gateway.storage.records import CallRecord, RecordError
from gateway.storage.sealing import HEADER_BYTES, TAG_BYTES
from gateway.storage.vault import CALL_FILE, NotInVault, Vault, measure_part

STOPPED = "the gateway stopped while this call was recorded; audio up to the stop is kept"
STOPPED_DISCARDED = "the gateway stopped while this call was running"
STOPPED_EARLY = "the gateway stopped before any audio of this call was written"
NO_AUDIO_BYTES = HEADER_BYTES + TAG_BYTES  # a sealed stream of this length or less holds nothing
UNKNOWN_SEGMENT = ""  # of a recording that no call record names


@dataclass(frozen=True, slots=True)
class Recovered:
    """One call that was put in order."""

    call_id: str
    state: CallState | None  # None where it had to be left as it was
    what: str  # one sentence, without personal data


def recover(vault: Vault, index: Index, node: NodeKey) -> list[Recovered]:
    """End every call that is still `recording`, and bring calls the index lacks back into it.

    Calls of which nothing is to be kept are destroyed to the end; cuts that were under way are put in order.
    """
    folders = {folder.name: folder for folder in vault.call_folders()}
    running = {record.facts.id: record for record in index.calls(states=[CallState.RECORDING])}
    uncut = {record.facts.id: record for record in index.calls(cuts_pending=True)}
    chosen = sorted(running.keys() | uncut.keys() | (folders.keys() - index.ids()))
    return [_recover(vault, index, node, folders.get(id), running.get(id), id) for id in chosen]


def _recover(
    vault: Vault, index: Index, node: NodeKey, folder: Path | None, row: CallRecord | None, call_id: str
) -> Recovered:
    record = row
    if folder is not None and (folder / CALL_FILE).exists():
        try:
            record = vault.read_call(folder, node.public)
        except RecordError as error:
            return Recovered(call_id, None, f"left as it was: {CALL_FILE}: {error}")
    if record is None:
        return _without_record(vault, folder, call_id)
    if record.facts.state is not CallState.RECORDING:
        return _again(vault, index, record)
    closed = _close(vault, node, record, row, index.checkpointed_ns(call_id))
    vault.write_record(closed, node)
    index.put(closed)
    return Recovered(call_id, closed.facts.state, closed.facts.reason)


def _again(vault: Vault, index: Index, record: CallRecord) -> Recovered:
    """A call that had ended: its row is told of its record, and what a cut left half done is removed."""
    if record.facts.cuts:
        tidy(vault, record.facts)
    index.put(record)
    left = len(pending(record.facts))
    told = f"cuts pending: {left}; `hushtap cut --pending`" if left else "brought into the index again"
    return Recovered(record.facts.id, record.facts.state, told)


def _without_record(vault: Vault, folder: Path | None, call_id: str) -> Recovered:
    """A folder is made a moment before its record is; one with audio and no record was tampered with."""
    if folder is None or not all(files.is_temporary(path) for path in folder.iterdir()):
        return Recovered(call_id, None, f"left as it was: {CALL_FILE} is not there")
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    return Recovered(call_id, None, "an empty folder was removed")


def _close(
    vault: Vault, node: NodeKey, record: CallRecord, row: CallRecord | None, checkpoint_ns: int | None
) -> CallRecord:
    facts = record.facts
    folder = vault.call_folder(facts.id, facts.started_ns)
    on_disk = vault.parts_on_disk(folder) if folder.is_dir() else {}
    named = {recording.id: recording for recording in facts.recordings}
    for recording_id in on_disk.keys() - named.keys():
        named[recording_id] = RecordingFacts(recording_id, UNKNOWN_SEGMENT, RecordingState.RECORDING)
    ended_ns = max(
        facts.started_ns, checkpoint_ns or 0, *(path.stat().st_mtime_ns for path in folder.glob("*.sealed"))
    )
    if facts.discard:
        return _destroyed(vault, node, record, ended_ns)
    kept = [
        closed
        for recording in named.values()
        if (closed := _close_recording(vault, node, facts, recording, on_disk.get(recording.id, [])))
    ]
    told = [] if facts.reason == RUNNING else [facts.reason]
    closed_facts = replace(
        facts,
        state=CallState.PARTIAL if kept else CallState.NOT_RECORDED,
        reason="; ".join([STOPPED if kept else STOPPED_EARLY, *told]),
        ended_ns=ended_ns,
        legs=_fullest(facts.legs, row.facts.legs if row else ()),
        recordings=tuple(kept),
    )
    for recording in kept:
        if recording.state is RecordingState.RECOVERED:
            vault.finish_recording(closed_facts, recording, node)
    return replace(record, facts=closed_facts)


def _destroyed(vault: Vault, node: NodeKey, record: CallRecord, ended_ns: int) -> CallRecord:
    """A call of which nothing is to be kept, as it ends."""
    record = destroy(vault, record, node)
    assert record.facts.discard is not None
    facts = replace(
        record.facts,
        state=CallState.NOT_RECORDED,
        reason=f"{STOPPED_DISCARDED}; {record.facts.reason}",
        ended_ns=ended_ns,
        recordings=(),
        discard=replace(record.facts.discard, done_ns=time.time_ns()),
    )
    return replace(record, facts=facts)


def _close_recording(
    vault: Vault, node: NodeKey, facts: CallFacts, recording: RecordingFacts, numbers: list[int]
) -> RecordingFacts | None:
    """The recording with its parts measured; None where it holds no audio, and then it is removed."""
    paths = {number: vault.part_path(facts.id, facts.started_ns, recording.id, number) for number in numbers}
    if all(path.stat().st_size <= NO_AUDIO_BYTES for path in paths.values()):
        for path in paths.values():
            path.unlink()
        if vault.key_path(recording.id).exists():
            vault.destroy_key(recording.id)
        return None
    parts = tuple(measure_part(path, number, torn=True) for number, path in paths.items())
    try:
        signed = vault.read_manifest(facts.id, facts.started_ns, recording.id, node.public).recording
    except (NotInVault, RecordError):
        signed = recording
    parts = tuple(_as_signed(part, signed) for part in parts)
    if signed.state is RecordingState.COMPLETE and signed.parts == parts:
        return signed
    return replace(recording, state=RecordingState.RECOVERED, parts=parts)


def _as_signed(part: Part, recording: RecordingFacts) -> Part:
    """A part that was finished and measured before the stop is whole, not torn."""
    whole = replace(part, torn=False)
    return whole if whole in recording.parts else part


def _fullest(*reports: tuple[LegReport, ...]) -> tuple[LegReport, ...]:
    return max(reports, key=lambda legs: sum(leg.packets for leg in legs))
