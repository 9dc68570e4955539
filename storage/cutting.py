"""Recordings written anew without what must not be kept.

A recording that is cut gets another id and another data key; the parts of before and their key are destroyed. The
order makes it safe to stop anywhere: the new parts, then their wrapped key and manifest, then in one step the call's
record, which from then on names the new recording; then the old key and the old parts go, and last the index is told.
What a stop leaves of either is told by the record, and removed by `tidy`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.codecs.stored import codec_of, spans_of
from gateway.codecs.trimming import Trimmer
from gateway.recording.model import CallFacts, Cut, Part, RecordingFacts, Redaction, Rewrite, Role
from gateway.recording.policy import with_cuts
from gateway.redaction.timeline import Timeline
from gateway.storage import container, files
from gateway.storage.container import Block, Chapter, Info, Reader
from gateway.storage.keys import NodeKey, VaultPublicKey
from gateway.storage.records import CallRecord, Manifest
from gateway.storage.sealing import PREFIX_BYTES, SALT_BYTES, Sealer, open_sealed
from gateway.storage.vault import DATA_KEY_BYTES, MANIFEST_SUFFIX, PART_FILE, Vault, VaultError


class CannotCut(VaultError):
    """A pending cut cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class PartToCut:
    """A sealed part, where it goes, and what is gone from it."""

    source: str  # path
    target: str  # path of a file that is not there yet
    number: int
    torn: bool
    old_id: str
    new_id: str
    old_key: str = field(repr=False)  # data keys, hexadecimal
    new_key: str = field(repr=False)
    swapped: bool = False
    redactions: tuple[Redaction, ...] = ()  # what is cut
    chapters: tuple[Redaction, ...] = ()  # all that the part's chapters are to tell


@dataclass(frozen=True, slots=True)
class Plan:
    """What it takes to cut a call: new ids and keys by the old ids, and the parts to be written."""

    new_ids: Mapping[str, str]
    new_keys: Mapping[str, bytes] = field(repr=False)  # by new id
    parts: tuple[PartToCut, ...] = ()


def pending(facts: CallFacts) -> tuple[Cut, ...]:
    """The cuts that are not carried out."""
    return tuple(cut for cut in facts.cuts if cut.done_ns is None)


def plan(vault: Vault, facts: CallFacts, data_key: Callable[[str], bytes], new_id: Callable[[], str]) -> Plan:
    """How the pending cuts of a finished call are carried out. Raises what `data_key` does for a recording's id."""
    spans = tuple(Redaction(cut.start, cut.end, cut.legs, cut.cause) for cut in pending(facts))
    chosen = [recording for recording in facts.recordings if recording.parts] if spans else []
    new_ids = {recording.id: new_id() for recording in chosen}
    new_keys = {new: os.urandom(DATA_KEY_BYTES) for new in new_ids.values()}
    parts = [
        PartToCut(
            source=str(vault.part_path(facts.id, facts.started_ns, recording.id, part.number)),
            target=str(vault.part_path(facts.id, facts.started_ns, new_ids[recording.id], part.number)),
            number=part.number,
            torn=part.torn,
            old_id=recording.id,
            new_id=new_ids[recording.id],
            old_key=data_key(recording.id).hex(),
            new_key=new_keys[new_ids[recording.id]].hex(),
            swapped=recording.swapped,
            redactions=spans,
            chapters=facts.redactions,
        )
        for recording in chosen
        for part in recording.parts
    ]
    return Plan(new_ids, new_keys, tuple(parts))


def cut_part(part: PartToCut) -> Part | None:
    """Write one part anew, durably; what a crash tore is whole then. None where it never held anything.

    Raises what reading and writing raise.
    """
    sealer = Sealer(
        bytes.fromhex(part.new_key), part.new_id.encode("ascii"), os.urandom(SALT_BYTES), os.urandom(PREFIX_BYTES)
    )  # fmt: skip
    digest, size = hashlib.sha256(), 0
    handle = os.open(part.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, files.FILE_MODE)
    with Path(part.source).open("rb") as source, os.fdopen(handle, "wb") as target:
        key, identity = bytes.fromhex(part.old_key), part.old_id.encode("ascii")
        reader = container.read(open_sealed(source, key, identity, torn=part.torn))
        if reader.info is None:  # torn at its very beginning
            Path(part.target).unlink()
            return None
        for plain in _without(reader, reader.info, part):
            data = sealer.write(plain)
            digest.update(data)
            size += target.write(data)
        data = sealer.finish()
        digest.update(data)
        size += target.write(data)
        target.flush()
        os.fsync(target.fileno())
    files.sync_folder(Path(part.target).parent)
    return Part(part.number, size, digest.hexdigest())


def _without(reader: Reader, info: Info, part: PartToCut) -> Iterator[bytes]:
    """The container of a part, less what is cut."""
    yield container.header(part.new_id, info.call_id, info.segment_id, info.part, reader.tracks, info.date_ns)
    yield from container.clusters(_blocks(reader, _as_named(spans_of(part.redactions), part.swapped)))
    yield container.trailer(reader.tags, _chapters(reader.chapters, part.chapters))


def _as_named(gone: dict[Role, Timeline], swapped: bool) -> dict[Role, Timeline]:
    """By the roles that the tracks are named by."""
    return {role.other: spans for role, spans in gone.items()} if swapped else gone


def _blocks(reader: Reader, gone: Mapping[Role, Timeline]) -> Iterator[Block]:
    trimmers = {track.number: Trimmer(codec_of(track), gone[track.role]) for track in reader.tracks}
    for track, time, payload in reader.blocks():
        for place, left in trimmers[track].left(time, payload):
            yield Block(track, place, left)


def _chapters(found: Sequence[Chapter], redactions: Sequence[Redaction]) -> list[Chapter]:
    told = {Chapter(r.start, r.end, f"redaction: {r.cause}") for r in redactions}
    return sorted({*found, *told}, key=lambda chapter: (chapter.start, chapter.end, chapter.name))


def switch(
    vault: Vault, record: CallRecord, plan: Plan, parts: Mapping[str, Sequence[Part]], at_ns: int,
    public: VaultPublicKey, node: NodeKey,
) -> CallRecord:  # fmt: skip
    """Let the parts that were written, by new id, take the place of the old ones, which are destroyed.

    Gives the call's record as it is now; the index is to be told of it. `at_ns` is UTC. Raises CannotCut.
    """
    facts = record.facts
    _check(vault, facts, plan, parts)
    for new, key in plan.new_keys.items():
        vault.keep_key(new, key, public)
    changed = {recording.id: _rewritten(recording, plan, parts) for recording in facts.recordings}
    facts = replace(
        facts,
        recordings=tuple(changed.values()),
        cuts=tuple(replace(cut, done_ns=cut.done_ns or at_ns) for cut in facts.cuts),
        rewrites=(
            *facts.rewrites,
            *(
                Rewrite(old.id, plan.new_ids[old.id], at_ns, old.parts, changed[old.id].parts)
                for old in facts.recordings
                if old.id in plan.new_ids
            ),
        ),
    )
    for old, new in plan.new_ids.items():
        manifest = vault.read_manifest(facts.id, facts.started_ns, old, node.public)
        vault.write_manifest(_manifest(manifest, changed[old], facts), node)
        assert changed[old].id == new
    record = replace(record, facts=facts)
    vault.write_record(record, node)
    tidy(vault, facts)
    return record


def _check(vault: Vault, facts: CallFacts, plan: Plan, parts: Mapping[str, Sequence[Part]]) -> None:
    """Raises CannotCut where another process has cut the call, or tidied up, since the parts were written."""
    paths = [
        (vault.part_path(facts.id, facts.started_ns, new, part.number), part)
        for new, written in parts.items()
        for part in written
    ]
    whole = all(path.exists() and path.stat().st_size == part.bytes for path, part in paths)
    if not whole or not plan.new_ids.keys() <= {recording.id for recording in facts.recordings}:
        raise CannotCut(f"call {facts.id} was cut by another process meanwhile")


def _rewritten(recording: RecordingFacts, plan: Plan, parts: Mapping[str, Sequence[Part]]) -> RecordingFacts:
    new = plan.new_ids.get(recording.id)
    return replace(recording, id=new, parts=tuple(parts[new])) if new else recording


def _manifest(old: Manifest, recording: RecordingFacts, facts: CallFacts) -> Manifest:
    """Counts stay those of what came; the redactions are those that are known now."""
    redactions = with_cuts(old.redactions, facts.cuts)
    return replace(old, recording_id=recording.id, parts=recording.parts, redactions=redactions)


def tidy(vault: Vault, facts: CallFacts) -> None:
    """Remove what a finished call's record does not name: recordings that were replaced, and unfinished new ones."""
    folder = vault.call_folder(facts.id, facts.started_ns)
    if not folder.is_dir():
        return
    named = {recording.id for recording in facts.recordings}
    replaced = {rewrite.old_id for rewrite in facts.rewrites} - named
    strays = {match[1] for path in folder.iterdir() if (match := PART_FILE.fullmatch(path.name))}
    strays |= {
        path.name.removesuffix(MANIFEST_SUFFIX)
        for path in folder.iterdir()
        if path.name.endswith(MANIFEST_SUFFIX)
    }
    for recording_id in sorted(replaced | (strays - named)):
        if vault.key_path(recording_id).exists():
            vault.destroy_key(recording_id)
        vault.remove_recording(facts.id, facts.started_ns, recording_id)


def carry_out(
    vault: Vault, record: CallRecord, data_key: Callable[[str], bytes], new_id: Callable[[], str], at_ns: int,
    public: VaultPublicKey, node: NodeKey,
) -> CallRecord:  # fmt: skip
    """Cut a finished call, all of it in this process; the index is to be told of what it gives."""
    if record.facts.ended_ns is None:
        raise CannotCut(f"call {record.facts.id} is still being recorded; it is cut when it has ended")
    tidy(vault, record.facts)
    planned = plan(vault, record.facts, data_key, new_id)
    parts: dict[str, list[Part]] = {new: [] for new in planned.new_keys}
    for part in planned.parts:
        if written := cut_part(part):
            parts[part.new_id].append(written)
    return switch(vault, record, planned, parts, at_ns, public, node)
