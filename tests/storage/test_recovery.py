"""After a crash every call has a final state, and what was written is kept and signed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.recording.model import CallState, LegReport, RecordingState, Role
from gateway.storage.records import open_call
from gateway.storage.recovery import STOPPED, STOPPED_EARLY, recover
from gateway.storage.reindex import reindex
from gateway.storage.vault import CALL_FILE, VaultBusy
from gateway.storage.verify import verify
from tests.storage.interruption import Stopped, stopped_after
from tests.storage.recorder import BLOCKS, STARTED_NS, Recorder, identifier


def well(recorder: Recorder) -> bool:
    """All that is stored verifies, and index and vault agree."""
    node = recorder.keys.node.public
    assert all(verdict.ok for verdict in verify(recorder.vault, recorder.index, recorder.private, node)), [
        *verify(recorder.vault, recorder.index, recorder.private, node)
    ]
    return list(recorder.index.calls())[::-1] == list(recorder.vault.calls(node))


def test_a_torn_call_is_kept_signed_and_told(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    legs = (LegReport(Role.EXTERNAL, "PCMA", 300, 1), LegReport(Role.AGENT, "PCMA", 300))
    recorder.index.checkpoint({facts.id: legs}, STARTED_NS)
    (done,) = recover(recorder.vault, recorder.index, recorder.keys.node)
    assert (done.call_id, done.state, done.what) == (facts.id, CallState.PARTIAL, STOPPED)
    found = recorder.index.get(facts.id).facts
    assert (found.state, found.legs, found.redactions) == (CallState.PARTIAL, legs, facts.redactions)
    assert found.ended_ns == recorder.part_path(facts).stat().st_mtime_ns
    (recording,) = found.recordings
    assert recording.state is RecordingState.RECOVERED
    assert [part.torn for part in recording.parts] == [True]
    assert open_call(recorder.index.get(facts.id), recorder.private).participants == facts.participants
    assert well(recorder)


def test_every_segment_of_a_torn_call_is_kept(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    first = replace(facts.recordings[0], swapped=True)
    second = replace(first, id=identifier(4, 1), segment_id=identifier(5, 1), segment=2, start=16_000)
    later = recorder.vault.new_recording(facts.id, second.id, facts.started_ns, recorder.keys.vault)
    facts = replace(facts, recordings=(first, second))
    recorder.index.put(recorder.vault.write_call(facts, recorder.keys))
    recorder.write_part(facts, key)  # ended by its transfer
    recorder.write_part(replace(facts, recordings=(second,)), later, torn=True)
    recover(recorder.vault, recorder.index, recorder.keys.node)
    found = recorder.index.get(facts.id).facts.recordings
    assert [(each.segment, each.start, each.swapped) for each in found] == [(1, 0, True), (2, 16_000, True)]
    assert [each.state for each in found] == [RecordingState.RECOVERED] * 2
    assert well(recorder)


def test_recovered_audio_is_the_authentic_prefix(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    path = recorder.part_path(facts)
    path.write_bytes(path.read_bytes()[:30_000])
    recover(recorder.vault, recorder.index, recorder.keys.node)
    found = recorder.index.get(facts.id).facts
    with recorder.read(found) as (reader,):
        blocks = list(reader.blocks())
    assert blocks == BLOCKS[: len(blocks)]
    assert len(blocks) > 30
    assert well(recorder)


def test_a_second_time_there_is_nothing_to_do(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    recorder.call(2)
    assert len(recover(recorder.vault, recorder.index, recorder.keys.node)) == 1
    before = {path: path.read_bytes() for path in recorder.vault.directory.rglob("*.json")}
    assert recover(recorder.vault, recorder.index, recorder.keys.node) == []
    assert {path: path.read_bytes() for path in recorder.vault.directory.rglob("*.json")} == before


@pytest.mark.parametrize("sizes", [[], [0], [40], [0, 40]])
def test_without_audio_the_call_was_not_recorded(recorder: Recorder, sizes: list[int]) -> None:
    facts, _ = recorder.begin(1)
    for number, size in enumerate(sizes, 1):
        recorder.part_path(facts, number).write_bytes(bytes(size))
    recover(recorder.vault, recorder.index, recorder.keys.node)
    found = recorder.index.get(facts.id).facts
    assert (found.state, found.reason, found.recordings) == (CallState.NOT_RECORDED, STOPPED_EARLY, ())
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    assert [path.name for path in folder.iterdir()] == [CALL_FILE]
    assert list(recorder.vault.wrapped_keys()) == []
    assert well(recorder)


def test_an_empty_part_beside_audio_is_kept(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    recorder.part_path(facts, 2).write_bytes(b"")
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert [part.bytes > 0 for part in recorder.index.get(facts.id).facts.recordings[0].parts] == [
        True,
        False,
    ]
    assert well(recorder)


def test_a_recording_finished_before_the_stop_stays_complete(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    part = recorder.write_part(facts, key)
    recording = replace(facts.recordings[0], state=RecordingState.COMPLETE, parts=(part,))
    recorder.vault.finish_recording(facts, recording, recorder.keys.node)
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert recorder.index.get(facts.id).facts.recordings == (recording,)
    assert well(recorder)


def test_a_final_record_reaches_the_index(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    row = recorder.index.get(facts.id)
    recorder.finish(facts, recorder.write_part(facts, key))
    recorder.index.put(row)
    assert recorder.index.get(facts.id).facts.state is CallState.RECORDING
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert recorder.index.get(facts.id).facts.state is CallState.RECORDED
    assert well(recorder)


def test_orphans_on_both_sides(recorder: Recorder) -> None:
    lost, running, empty = recorder.call(1), recorder.begin(2)[0], recorder.facts(3)
    recorder.index.remove(lost.id)
    abandoned = recorder.vault.call_folder(empty.id, empty.started_ns)
    abandoned.mkdir()
    (abandoned / f".{CALL_FILE}.new").write_bytes(b"{")  # stopped while the first record was written
    folder = recorder.vault.call_folder(running.id, running.started_ns)
    (folder / CALL_FILE).unlink()
    folder.rmdir()
    done = {
        found.call_id: found.state for found in recover(recorder.vault, recorder.index, recorder.keys.node)
    }
    assert done == {lost.id: CallState.RECORDED, running.id: CallState.NOT_RECORDED, empty.id: None}
    assert not abandoned.exists()
    assert well(recorder)


def test_what_cannot_be_trusted_is_left(recorder: Recorder) -> None:
    facts, _ = recorder.begin(1)
    path = recorder.vault.call_folder(facts.id, facts.started_ns) / CALL_FILE
    path.write_bytes(b"{}")
    (done,) = recover(recorder.vault, recorder.index, recorder.keys.node)
    assert done.state is None
    assert "left as it was" in done.what
    assert path.read_bytes() == b"{}"


def test_recovery_itself_may_be_killed_anywhere(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in (1, 2):
        facts, key = recorder.begin(n)
        recorder.write_part(facts, key, torn=True)
    recorder.begin(3)
    for allowed in range(6):
        with contextlib.suppress(Stopped), stopped_after(allowed % 3, monkeypatch):
            recover(recorder.vault, recorder.index, recorder.keys.node)
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert list(recorder.index.calls(states=[CallState.RECORDING])) == []
    assert well(recorder)


WRITER = """
import os, sys
from pathlib import Path
from tests.storage.recorder import *

recorder = Recorder.at(Path(sys.argv[1]))
calls = [recorder.begin(n) for n in range(10)]
sealers = [Sealer(key, facts.recordings[0].id.encode(), os.urandom(32), os.urandom(7)) for facts, key in calls]
files = [recorder.part_path(facts).open("wb", buffering=0) for facts, _ in calls]
for (facts, _), sealer, file in zip(calls, sealers, files):
    file.write(sealer.write(container(facts, facts.recordings[0], 1)[0]))
for at in range(1_000_000):
    for sealer, file in zip(sealers, files):
        file.write(sealer.write(cluster([Block(n, at * 800, PATTERN * 40) for n in (1, 2)])))
    if at == 30:
        print("writing", flush=True)
"""


def test_a_killed_writer_loses_nothing_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.send_signal(signal.SIGKILL)
    recorder = Recorder.at(folder)
    with recorder.index:
        done = recover(recorder.vault, recorder.index, recorder.keys.node)
        assert [found.state for found in done] == [CallState.PARTIAL] * 10
        assert well(recorder)
        for record in recorder.index.calls():
            with recorder.read(record.facts) as (reader,):
                times = [block.time for block in reader.blocks()]
            assert len(times) >= 55
            assert times[::2] == [800 * at for at in range((len(times) + 1) // 2)]


def test_the_rebuilt_index_equals_the_lost_one(recorder: Recorder) -> None:
    for n in range(5):
        recorder.call(n)
    recorder.begin(6)
    before = {call_id: recorder.index.rows(call_id) for call_id in recorder.index.ids()}
    recorder.index.close()
    recorder.vault.index_path.write_bytes(b"gone")
    steps: list[tuple[int, int]] = []
    faults = reindex(
        recorder.vault, recorder.keys.node.public, lambda done, total: steps.append((done, total))
    )
    assert faults == []
    assert steps == [(6, 6)]
    again = Recorder.at(recorder.vault.directory)
    with again.index:
        assert {call_id: again.index.rows(call_id) for call_id in again.index.ids()} == before
        assert well(again)
    assert recorder.vault.index_path.stat().st_mode & 0o777 == 0o600


def test_a_rebuild_leaves_out_what_is_not_signed_and_needs_no_running_gateway(recorder: Recorder) -> None:
    kept, altered = recorder.call(1), recorder.call(2)
    path = recorder.vault.call_folder(altered.id, altered.started_ns) / CALL_FILE
    path.write_bytes(path.read_bytes().replace(b"a note", b"a lie!"))
    with recorder.vault.exclusive(), pytest.raises(VaultBusy):
        reindex(recorder.vault, recorder.keys.node.public)
    recorder.index.close()
    (fault,) = reindex(recorder.vault, recorder.keys.node.public)
    assert altered.id in fault
    assert "signature does not match" in fault
    with Recorder.at(recorder.vault.directory).index as index:
        assert index.ids() == {kept.id}


def test_the_rebuild_needs_no_private_key(recorder: Recorder) -> None:
    recorder.call(1)
    recorder.paths.vault_private.unlink()
    recorder.index.close()
    assert reindex(recorder.vault, recorder.keys.node.public) == []
    with Recorder.at(recorder.vault.directory).index as index:
        assert index.ids() == {identifier(1, 1)}
