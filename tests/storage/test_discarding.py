"""A call of which nothing is kept: key and files are gone, and the record proves what was there."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.recording.model import CallFacts, CallState, Destroyed, Discard, RecordingFacts
from gateway.storage import discarding
from gateway.storage.discarding import destroy
from gateway.storage.records import CallRecord
from gateway.storage.recovery import recover
from gateway.storage.reindex import reindex
from gateway.storage.vault import CALL_FILE
from gateway.storage.verify import verify
from tests.storage.interruption import Stopped, stopped_after
from tests.storage.recorder import STARTED_NS, Recorder

ASKED = STARTED_NS + 5 * 10**9


def asked(recorder: Recorder, facts: CallFacts) -> CallRecord:
    """A running call of which nothing is to be kept."""
    gone = tuple(Destroyed(recording.id) for recording in facts.recordings)
    discard = Discard(ASKED, "opt_out", "desk 4", "distress", gone)
    record = recorder.vault.write_call(replace(facts, reason="opted out", discard=discard), recorder.keys)
    recorder.index.put(record)
    return record


def begun(recorder: Recorder) -> tuple[CallRecord, Path]:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    return asked(recorder, facts), recorder.part_path(facts)


def left(recorder: Recorder, record: CallRecord) -> tuple[list[str], int]:
    folder = recorder.vault.call_folder(record.facts.id, record.facts.started_ns)
    return [path.name for path in folder.iterdir()], len(list(recorder.vault.wrapped_keys()))


def problems(recorder: Recorder) -> list[str | None]:
    node = recorder.keys.node.public
    return [verdict.problem for verdict in verify(recorder.vault, recorder.index, recorder.private, node)]


def test_key_and_files_are_gone_and_told(recorder: Recorder) -> None:
    record, path = begun(recorder)
    data = path.read_bytes()
    done = destroy(recorder.vault, record, recorder.keys.node).facts
    assert left(recorder, record) == ([CALL_FILE], 0)
    assert done.discard
    (gone,) = done.discard.recordings
    assert gone.key_destroyed
    assert [(part.bytes, part.sha256) for part in gone.parts] == [
        (len(data), hashlib.sha256(data).hexdigest())
    ]


def test_what_came_later_is_destroyed_and_told_too(recorder: Recorder) -> None:
    record, path = begun(recorder)
    record = destroy(recorder.vault, record, recorder.keys.node)
    path.write_bytes(b"what was on its way")
    done = destroy(recorder.vault, record, recorder.keys.node).facts
    assert not path.exists()
    assert done.discard
    assert len(done.discard.recordings[0].parts) == 2


def test_the_next_start_finishes_what_was_asked_for(recorder: Recorder) -> None:
    record, _ = begun(recorder)
    (found,) = recover(recorder.vault, recorder.index, recorder.keys.node)
    assert found.state is CallState.NOT_RECORDED
    assert left(recorder, record) == ([CALL_FILE], 0)
    facts = recorder.index.get(record.facts.id).facts
    assert facts.discard
    assert facts.discard.done_ns
    assert facts.recordings == ()
    assert facts.reason.endswith("; opted out")
    assert problems(recorder) == [None]
    assert reindex(recorder.vault, recorder.keys.node.public) == []
    assert problems(recorder) == [None]


@pytest.mark.parametrize("documents", range(3))
def test_stopped_anywhere_the_next_start_finishes_it_with_its_proof(
    recorder: Recorder, documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, path = begun(recorder)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with stopped_after(documents, monkeypatch):
        try:
            destroy(recorder.vault, record, recorder.keys.node)
        except Stopped:
            assert documents < 2
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert left(recorder, record) == ([CALL_FILE], 0)
    discard = recorder.index.get(record.facts.id).facts.discard
    assert discard
    assert [part.sha256 for part in discard.recordings[0].parts] == [digest]
    assert problems(recorder) == [None]


def test_verify_notices_a_file_or_a_key_that_is_there_again(recorder: Recorder) -> None:
    record, path = begun(recorder)
    data, key = path.read_bytes(), recorder.vault.key_path(record.facts.recordings[0].id)
    wrapped = key.read_bytes()
    recover(recorder.vault, recorder.index, recorder.keys.node)
    path.write_bytes(data)
    (problem,) = problems(recorder)
    assert problem
    assert path.name in problem
    path.unlink()
    key.write_bytes(wrapped)
    (problem,) = problems(recorder)
    assert problem
    assert "it was destroyed, and is there" in problem


def test_a_call_without_a_discard_is_left_alone(recorder: Recorder) -> None:
    done = recorder.call(1)
    record = recorder.index.get(done.id)
    assert discarding.destroy(recorder.vault, record, recorder.keys.node) == record
    assert isinstance(done.recordings[0], RecordingFacts)
    assert recorder.part_path(done).exists()
