"""Calls of which nothing is kept: their recordings are destroyed, and what was destroyed is told.

What is to go is in the call's signed record before anything goes, with the length and hash of every file; so a stop
at any moment loses neither the intent nor the proof, and the work is done again from its beginning.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gateway.recording.model import Destroyed, Discard
from gateway.storage.keys import NodeKey
from gateway.storage.records import CallRecord
from gateway.storage.vault import Vault, measure_part


def destroy(vault: Vault, record: CallRecord, node: NodeKey) -> CallRecord:
    """Destroy keys and files of a call whose record asks for it, durably; gives the record that says so.

    May be done again when more files came; `done_ns` is for the caller to set when none can.
    """
    discard = record.facts.discard
    if discard is None:
        return record
    folder = vault.call_folder(record.facts.id, record.facts.started_ns)
    record = _with(record, _measured(vault, folder, discard))
    vault.write_record(record, node)
    assert record.facts.discard is not None
    gone = []
    for recording in record.facts.discard.recordings:
        if vault.key_path(recording.recording_id).exists():
            vault.destroy_key(recording.recording_id)
        vault.remove_recording(record.facts.id, record.facts.started_ns, recording.recording_id)
        gone.append(replace(recording, key_destroyed=True))
    record = _with(record, replace(record.facts.discard, recordings=tuple(gone)))
    vault.write_record(record, node)
    return record


def _measured(vault: Vault, folder: Path, discard: Discard) -> Discard:
    """With every file that is there now; one that was measured before, and has grown since, counts again."""
    on_disk = vault.parts_on_disk(folder) if folder.is_dir() else {}
    known = {recording.recording_id: recording for recording in discard.recordings}
    for recording_id, numbers in on_disk.items():
        before = known.get(recording_id, Destroyed(recording_id))
        found = [measure_part(vault.part_in(folder, recording_id, number), number) for number in numbers]
        parts = (*before.parts, *(part for part in found if part not in before.parts))
        known[recording_id] = replace(before, parts=parts)
    return replace(discard, recordings=tuple(known.values()))


def _with(record: CallRecord, discard: Discard) -> CallRecord:
    return replace(record, facts=replace(record.facts, discard=discard))
