"""Every way of tampering is named, with its place."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import pysqlite3
import pytest

from gateway.recording.model import CallFacts, CallState
from gateway.storage.recovery import recover
from gateway.storage.sealing import TruncatedError
from gateway.storage.vault import CALL_FILE, measure_part
from gateway.storage.verify import Verdict, verify
from tests.storage.recorder import BLOCKS, TRACKS, Recorder, identifier


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.storage.verify.PAUSE_SECONDS", 0.0)


def verdicts(recorder: Recorder, *only: str) -> list[Verdict]:
    return list(
        verify(recorder.vault, recorder.index, recorder.private, recorder.keys.node.public, set(only) or None)
    )


def problem(recorder: Recorder, facts: CallFacts) -> str:
    """The problem of the call's recording, while the other call stays well."""
    found = {verdict.id: verdict for verdict in verdicts(recorder)}
    assert found.pop(facts.recordings[0].id, None) is not None
    verdict = verdicts(recorder, facts.recordings[0].id)[0]
    assert not verdict.ok
    assert all(other.ok for other in found.values())
    return verdict.problem or ""


@pytest.fixture
def facts(recorder: Recorder) -> CallFacts:
    recorder.call(2)
    return recorder.call(1)


def test_what_is_well_is_well(recorder: Recorder, facts: CallFacts) -> None:
    steps: list[tuple[int, int]] = []
    found = list(
        verify(
            recorder.vault, recorder.index, recorder.private, recorder.keys.node.public,
            progress=lambda done, total: steps.append((done, total)),
        )
    )  # fmt: skip
    size = recorder.part_path(facts).stat().st_size
    assert found == [Verdict(identifier(2, n), True, -(-size // 4096), None) for n in (1, 2)]
    assert steps == [(1, 2), (2, 2)]
    assert [verdict.id for verdict in verdicts(recorder, facts.id)] == [identifier(2, 1)]
    assert [verdict.id for verdict in verdicts(recorder, identifier(2, 1))] == [identifier(2, 1)]


def test_an_unknown_id_is_named(recorder: Recorder, facts: CallFacts) -> None:
    (verdict,) = verdicts(recorder, "nothing")
    assert not verdict.ok
    assert verdict.id == "nothing"


@pytest.mark.parametrize("place", [0, 20, 39, 40, 4095, 4096, 20_000, -1, -17])
def test_a_flipped_byte(recorder: Recorder, facts: CallFacts, place: int) -> None:
    path = recorder.part_path(facts)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
    text = problem(recorder, facts)
    assert f"{path.name}: " in text
    assert "SHA-256 is not that of the manifest" in text
    segment = (len(data) + place if place < 0 else place) // 4096
    assert f"segment {segment}" in text or place == 0


@pytest.mark.parametrize("cut", [1, 16, 4096, 40_000, 10**6])
def test_a_cut(recorder: Recorder, facts: CallFacts, cut: int) -> None:
    path = recorder.part_path(facts)
    data = path.read_bytes()
    path.write_bytes(data[: max(0, len(data) - cut)])
    assert f"it has {max(0, len(data) - cut)} bytes, the manifest says {len(data)}" in problem(
        recorder, facts
    )


def test_appended_bytes(recorder: Recorder, facts: CallFacts) -> None:
    with recorder.part_path(facts).open("ab") as file:
        file.write(b"\0")
    assert "bytes, the manifest says" in problem(recorder, facts)


def test_two_recordings_swapped(recorder: Recorder, facts: CallFacts) -> None:
    other = recorder.call(3)
    mine, theirs = recorder.part_path(facts), recorder.part_path(other)
    one, two = mine.read_bytes(), theirs.read_bytes()
    mine.write_bytes(two)
    theirs.write_bytes(one)
    found = {verdict.id: verdict.problem or "" for verdict in verdicts(recorder)}
    for call in (facts, other):
        assert (
            "segment 0 is altered or out of its place, or sealed for another" in found[call.recordings[0].id]
        )


def call_file(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.call_folder(facts.id, facts.started_ns) / CALL_FILE
    path.write_bytes(path.read_bytes().replace(b'"packets":200', b'"packets":201', 1))


def last_letter(recorder: Recorder, facts: CallFacts) -> None:
    """Bits of the signature's last base64 letter that carry nothing."""
    path = recorder.vault.call_folder(facts.id, facts.started_ns) / CALL_FILE
    head, _, tail = path.read_bytes().rpartition(b'=="')
    path.write_bytes(head[:-1] + bytes([head[-1] + 1]) + b'=="' + tail)


def call_file_is_a_folder(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.call_folder(facts.id, facts.started_ns) / CALL_FILE
    path.unlink()
    path.mkdir()


def older_call_file(recorder: Recorder, facts: CallFacts) -> None:
    """Signed by the node itself, when the call began."""
    recorder.vault.write_call(recorder.facts(1), recorder.keys)


def older_call_file_and_row(recorder: Recorder, facts: CallFacts) -> None:
    recorder.index.put(recorder.vault.write_call(recorder.facts(1), recorder.keys))


def older_call_file_and_row_and_a_cut(recorder: Recorder, facts: CallFacts) -> None:
    older_call_file_and_row(recorder, facts)
    path = recorder.part_path(facts)
    path.write_bytes(path.read_bytes()[:20_000])


def row_runs(recorder: Recorder, facts: CallFacts) -> None:
    recorder.index.put(replace(recorder.index.get(facts.id), facts=recorder.facts(1)))


def added_to_key(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.key_path(facts.recordings[0].id)
    path.write_bytes(path.read_bytes()[:-1] + b',"z":1}')


def key_of_an_odd_shape(recorder: Recorder, facts: CallFacts) -> None:
    recorder.vault.key_path(facts.recordings[0].id).write_bytes(
        f'{{"data_key":{{"key":[],"sealed":"QUJD"}},"recording":"{facts.recordings[0].id}"}}'.encode()
    )


def manifest(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.manifest_path(facts.id, facts.started_ns, facts.recordings[0].id)
    path.write_bytes(path.read_bytes().replace(b'"torn":false', b'"torn":true', 1))


def no_manifest(recorder: Recorder, facts: CallFacts) -> None:
    recorder.vault.manifest_path(facts.id, facts.started_ns, facts.recordings[0].id).unlink()


def other_manifest(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.manifest_path(facts.id, facts.started_ns, facts.recordings[0].id)
    other = recorder.facts(2)
    path.write_bytes(
        recorder.vault.manifest_path(other.id, other.started_ns, other.recordings[0].id).read_bytes()
    )


def no_part(recorder: Recorder, facts: CallFacts) -> None:
    recorder.part_path(facts).unlink()


def part_is_a_folder(recorder: Recorder, facts: CallFacts) -> None:
    recorder.part_path(facts).unlink()
    recorder.part_path(facts).mkdir()


def manifest_is_a_folder(recorder: Recorder, facts: CallFacts) -> None:
    no_manifest(recorder, facts)
    recorder.vault.manifest_path(facts.id, facts.started_ns, facts.recordings[0].id).mkdir()


def extra_part(recorder: Recorder, facts: CallFacts) -> None:
    recorder.part_path(facts, 2).write_bytes(b"more")


def no_key(recorder: Recorder, facts: CallFacts) -> None:
    recorder.vault.destroy_key(facts.recordings[0].id)


def other_key(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.vault.key_path(identifier(2, 2))
    recorder.vault.key_path(facts.recordings[0].id).write_bytes(path.read_bytes())


def no_row(recorder: Recorder, facts: CallFacts) -> None:
    recorder.index.remove(facts.id)


def no_folder(recorder: Recorder, facts: CallFacts) -> None:
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    folder.rename(recorder.vault.directory / "elsewhere")


def sealed_people(recorder: Recorder, facts: CallFacts) -> None:
    """Signed by the node itself, and yet not of this call."""
    record = replace(recorder.index.get(facts.id), sealed=recorder.index.get(identifier(1, 2)).sealed)
    recorder.vault.write_record(record, recorder.keys.node)
    recorder.index.put(record)


@pytest.mark.parametrize(
    ("tamper", "text"),
    [
        (call_file, "call.json: its signature does not match"),
        (last_letter, "call.json: it is not a signed document"),
        (call_file_is_a_folder, "call.json cannot be read: Is a directory"),
        (older_call_file, "call.json: it is of a call that still runs"),
        (older_call_file_and_row, "manifest.json: state differs from the call record"),
        (older_call_file_and_row_and_a_cut, "it has 20000 bytes, the manifest says"),
        (row_runs, "Index: the call still runs there"),
        (added_to_key, "[.]json: the wrapped key has another shape"),
        (key_of_an_odd_shape, "[.]json: the wrapped key has another shape"),
        (manifest, "manifest.json: its signature does not match"),
        (no_manifest, "manifest.json is not there"),
        (other_manifest, "recording_id differs from the call record"),
        (no_part, "1.sealed: the file is not there"),
        (part_is_a_folder, "1.sealed: the file cannot be read: Is a directory"),
        (manifest_is_a_folder, "manifest.json cannot be read: Is a directory"),
        (extra_part, "2.sealed is in the call's folder and in no signed record"),
        (no_key, "[.]json is not there"),
        (other_key, "[.]json: .* holds the wrapped key of recording"),
        (no_row, "index has no row"),
        (sealed_people, "participants of call .*: it does not open"),
    ],
)
def test_other_tampering(
    recorder: Recorder, facts: CallFacts, tamper: Callable[[Recorder, CallFacts], None], text: str
) -> None:
    tamper(recorder, facts)
    assert re.search(text, problem(recorder, facts))


def test_a_copy_of_a_call_on_another_day(recorder: Recorder, facts: CallFacts) -> None:
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    copy = folder.parents[1] / "01" / folder.name
    shutil.copytree(folder, copy)
    problems = [verdict.problem for verdict in verdicts(recorder, facts.id) if not verdict.ok]
    assert problems == [
        f"call.json: it is the record of call {facts.id}, which does not belong in this folder."
    ]


def test_a_call_that_is_just_being_made_is_no_fault(recorder: Recorder, facts: CallFacts) -> None:
    begun = recorder.facts(3)
    recorder.vault.new_recording(begun.id, begun.recordings[0].id, begun.started_ns, recorder.keys.vault)
    assert all(verdict.ok for verdict in verdicts(recorder))


def test_what_lies_beside_the_calls_stops_nothing(recorder: Recorder, facts: CallFacts) -> None:
    day = recorder.vault.call_folder(facts.id, facts.started_ns).parent
    (day / identifier(1, 9)).write_bytes(b"not a folder")
    (day.parent / "99").write_bytes(b"not a folder")
    assert [verdict.ok for verdict in verdicts(recorder)] == [True, True]


def test_a_row_without_files(recorder: Recorder, facts: CallFacts) -> None:
    no_folder(recorder, facts)
    assert Verdict(identifier(2, 1), False, 0, "The index has this call, the vault has not.") in verdicts(
        recorder
    )


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE calls SET state = 'partial' WHERE id = ?", "calls.state"),
        ("UPDATE calls SET started_ns = started_ns + 1 WHERE id = ?", "calls.started_ns"),
        ("UPDATE calls SET sealed = x'00' WHERE id = ?", "calls.sealed"),
        ("UPDATE legs SET lost = 0 WHERE call_id = ? AND position = 0", "legs.lost"),
        ("UPDATE redactions SET actor = NULL WHERE call_id = ?", "redactions.actor"),
        ("UPDATE notes SET note = '' WHERE call_id = ?", "notes.note"),
        ("UPDATE recordings SET path = '../x' WHERE call_id = ?", "recordings.path"),
        ("DELETE FROM redactions WHERE call_id = ?", "redactions has 0 rows"),
        ("DELETE FROM lookup WHERE call_id = ?", "lookup has 0 rows"),
    ],
)
def test_an_edited_index(recorder: Recorder, facts: CallFacts, statement: str, place: str) -> None:
    connection = pysqlite3.connect(str(recorder.vault.index_path))
    connection.execute(statement, (facts.id,))
    connection.commit()
    connection.close()
    assert f"Index: {place}" in problem(recorder, facts)


def test_rows_of_no_call_are_named(recorder: Recorder, facts: CallFacts) -> None:
    connection = pysqlite3.connect(str(recorder.vault.index_path))
    connection.execute("INSERT INTO notes VALUES ('nobody', 0, 'x')")
    connection.commit()
    connection.close()
    first, *others = verdicts(recorder)
    assert first == Verdict("index.sqlite3", False, 0, "Index: notes has 1 rows of no call.")
    assert all(verdict.ok for verdict in others)


def test_a_call_that_was_not_recorded_is_checked_too(recorder: Recorder, facts: CallFacts) -> None:
    refused = replace(recorder.facts(5, CallState.NOT_RECORDED), recordings=())
    recorder.index.put(recorder.vault.write_call(refused, recorder.keys))
    assert verdicts(recorder, refused.id) == []
    recorder.index.remove(refused.id)
    (verdict,) = verdicts(recorder, refused.id)
    assert (verdict.id, verdict.problem) == (refused.id, "The index has no row of this call.")


def test_a_running_call_is_well_as_far_as_it_goes(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    assert verdicts(recorder) == [Verdict(identifier(2, 1), True, 0, None)]
    recorder.write_part(facts, key, torn=True)
    path = recorder.part_path(facts)
    data = path.read_bytes()
    for size in (0, 10, 40, 5000, len(data)):
        path.write_bytes(data[:size])
        assert verdicts(recorder) == [Verdict(identifier(2, 1), True, size // 4096, None)]
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    (verdict,) = verdicts(recorder)
    assert verdict.problem == f"{path.name}: segment 1 is altered or out of its place."


def test_a_torn_part_may_end_without_its_mark_and_only_it(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.finish(facts, recorder.write_part(facts, key, torn=True))
    assert [verdict.ok for verdict in verdicts(recorder)] == [True]
    whole = replace(measure_part(recorder.part_path(facts), 1), torn=False)
    recorder.finish(facts, whole)
    assert "without its last-segment mark" in (verdicts(recorder)[0].problem or "")


def test_an_altered_torn_part_is_named_with_its_segment(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    recover(recorder.vault, recorder.index, recorder.keys.node)
    path = recorder.part_path(facts)
    data = bytearray(path.read_bytes())
    data[9000] ^= 1
    path.write_bytes(data)
    text = verdicts(recorder)[0].problem or ""
    assert "segment 2 is altered" in text
    assert "SHA-256" in text


def test_a_call_finished_while_it_was_read_is_read_again(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, key = recorder.begin(1)
    part = recorder.write_part(facts, key)
    recorder.index.remove(facts.id)  # a fault that is gone once the call is finished
    rows = recorder.index.rows

    def finishing(call_id: str) -> object:
        found = rows(call_id)
        if found is None:
            recorder.finish(facts, part)
        return found

    monkeypatch.setattr(recorder.index, "rows", finishing)
    assert [verdict.ok for verdict in verdicts(recorder)] == [True]


def test_a_recording_is_read_back_part_by_part(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, 1, torn=True)
    path = recorder.part_path(facts)
    path.write_bytes(path.read_bytes()[:30_000])
    done = recorder.finish(facts, measure_part(path, 1, torn=True), recorder.write_part(facts, key, 2))
    with recorder.read(done) as parts:
        assert [part.tracks for part in parts] == [TRACKS] * 2
        first, second = ([*part.blocks()] for part in parts)
    assert second == BLOCKS
    assert first == BLOCKS[: len(first)] != BLOCKS


def test_reading_stops_at_the_first_byte_that_is_not_authentic(recorder: Recorder, facts: CallFacts) -> None:
    path = recorder.part_path(facts)
    path.write_bytes(path.read_bytes()[:-5000])
    with recorder.read(facts) as (reader,):
        given, blocks = reader.blocks(), []
        blocks += [next(given) for _ in range(40)]
        with pytest.raises(TruncatedError):
            blocks.extend(given)
    assert blocks == BLOCKS[: len(blocks)]
