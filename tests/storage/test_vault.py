"""The vault: documents in one step, signed, personal data sealed."""

from __future__ import annotations

import base64
import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.recording.model import CallFacts, CallState, Direction
from gateway.storage import canonical
from gateway.storage.keys import NodeKey, NotOpened, Sealed
from gateway.storage.records import (
    CallRecord,
    RecordError,
    decode_call,
    decode_data_key,
    encode_call,
    open_call,
    seal_call,
)
from gateway.storage.sealing import open_sealed
from gateway.storage.vault import CALL_FILE, NotInVault, Vault, VaultBusy, VaultError
from tests.storage.recorder import EXTENSION, NAME, NUMBER, PATTERN, STARTED_NS, Recorder, identifier


def test_layout_and_modes(recorder: Recorder) -> None:
    facts = recorder.call(1)
    root, recording = recorder.vault.directory, facts.recordings[0].id
    folder = root / "audio/2026/11/18" / facts.id
    assert {path.name for path in folder.iterdir()} == {
        "call.json", f"{recording}.1.sealed", f"{recording}.manifest.json"
    }  # fmt: skip
    assert (root / "wrapped" / recording[-2:] / f"{recording}.json").is_file()
    documents = [*folder.glob("*.json"), *root.glob("wrapped/*/*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in documents} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*") if path.is_dir()} == {0o700}


def test_a_call_comes_back_with_its_participants(recorder: Recorder) -> None:
    facts = recorder.call(1)
    node = recorder.keys.node.public
    (record,) = recorder.vault.calls(node)
    assert record.facts == replace(facts, participants=())
    assert open_call(record, recorder.private) == facts
    manifest = recorder.vault.read_manifest(facts.id, facts.started_ns, facts.recordings[0].id, node)
    assert manifest.recording == facts.recordings[0]
    assert (manifest.legs, manifest.redactions) == (facts.legs, facts.redactions)


def test_nothing_on_disk_shows_audio_or_people(recorder: Recorder) -> None:
    recorder.call(1)
    recorder.begin(2)
    secrets = [
        PATTERN,
        *(text.encode() for text in (NUMBER, NUMBER[1:], NUMBER[-9:], NAME, "Lovelace", "2001@pbx")),
    ]
    everything = [path for path in recorder.vault.directory.rglob("*") if path.is_file()]
    assert {"index.sqlite3", "index.sqlite3-wal", CALL_FILE} <= {path.name for path in everything}
    for path in everything:
        data = path.read_bytes()
        assert not [secret for secret in secrets if secret in data], path
        assert f'"{EXTENSION}"'.encode() not in data


def test_the_data_key_opens_its_own_recording_only(recorder: Recorder) -> None:
    one, two = recorder.call(1), recorder.call(2)
    key = recorder.vault.data_key(one.recordings[0].id, recorder.private)
    with recorder.part_path(one).open("rb") as file:
        assert PATTERN in b"".join(open_sealed(file, key, one.recordings[0].id.encode()))
    mine, other = (recorder.vault.key_path(call.recordings[0].id) for call in (one, two))
    other.write_bytes(mine.read_bytes())
    with pytest.raises(RecordError, match="holds the wrapped key of recording"):
        recorder.vault.data_key(two.recordings[0].id, recorder.private)
    other.write_bytes(mine.read_bytes().replace(one.recordings[0].id.encode(), two.recordings[0].id.encode()))
    with pytest.raises(NotOpened):
        recorder.vault.data_key(two.recordings[0].id, recorder.private)


def test_a_recording_id_is_used_once(recorder: Recorder) -> None:
    facts, _ = recorder.begin(1)
    with pytest.raises(VaultError, match="used once"):
        recorder.vault.new_recording(facts.id, facts.recordings[0].id, STARTED_NS, recorder.keys.vault)


def test_a_destroyed_key_is_gone(recorder: Recorder) -> None:
    recording = recorder.call(1).recordings[0].id
    recorder.vault.destroy_key(recording)
    assert not recorder.vault.key_path(recording).exists()
    with pytest.raises(NotInVault):
        recorder.vault.data_key(recording, recorder.private)
    with pytest.raises(NotInVault):
        recorder.vault.destroy_key(recording)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (b'"state":"recorded"', b'"state":"partial"', "altered after it was signed"),
        (b'"type":"call"', b'"type":"manifest"', "altered after it was signed"),
        (b'{"body"', b'{ "body"', "not in the canonical form"),
        (b'"signature":"', b'"signature":"AA', "not a signed document|altered"),
        (b"{", b"", "not JSON"),
    ],
)
def test_an_edited_record_is_refused(recorder: Recorder, old: bytes, new: bytes, text: str) -> None:
    facts = recorder.call(1)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    path = folder / CALL_FILE
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    with pytest.raises(RecordError, match=text):
        recorder.vault.read_call(folder, recorder.keys.node.public)


def test_another_nodes_and_another_calls_record_are_refused(recorder: Recorder, tmp_path: Path) -> None:
    one, two = recorder.call(1), recorder.call(2)
    mine, other = (recorder.vault.call_folder(call.id, call.started_ns) for call in (one, two))
    stranger = Recorder.at(tmp_path / "other")
    stranger.index.close()
    with pytest.raises(RecordError, match="signed by node"):
        recorder.vault.read_call(mine, stranger.keys.node.public)
    (mine / CALL_FILE).write_bytes((other / CALL_FILE).read_bytes())
    with pytest.raises(RecordError, match="does not belong in this folder"):
        recorder.vault.read_call(mine, recorder.keys.node.public)


def test_a_manifest_does_not_pass_as_a_call(recorder: Recorder) -> None:
    facts = recorder.call(1)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    (manifest,) = folder.glob("*.manifest.json")
    (folder / CALL_FILE).write_bytes(manifest.read_bytes())
    with pytest.raises(RecordError, match="a manifest of version 1, expected a call"):
        recorder.vault.read_call(folder, recorder.keys.node.public)


def test_a_record_of_another_shape_is_refused(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = recorder.call(1)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    body = json.loads((folder / CALL_FILE).read_bytes())["body"]

    def signed(body: dict[str, object], node: NodeKey) -> bytes:
        signature = base64.b64encode(node.sign(canonical.dump(body))).decode()
        return canonical.dump({"body": body, "node": node.public.id, "signature": signature})

    for changed, text in (
        (body | {"started_ns": "soon"}, "started_ns is str"),
        (body | {"state": "lost"}, "state is not one of"),
        (body | {"extra": 1}, "has fields"),
        (body | {"lookup": 3}, "another shape"),
    ):
        (folder / CALL_FILE).write_bytes(signed(changed, recorder.keys.node))
        with pytest.raises(RecordError, match=text):
            recorder.vault.read_call(folder, recorder.keys.node.public)


@given(st.data())
def test_a_damaged_document_raises_only_record_error(data: st.DataObject) -> None:
    node = NodeKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    record = CallRecord(
        CallFacts("id", CallState.RECORDED, "", 1, 2, Direction.UNKNOWN), Sealed("key", b"x"), ()
    )
    document = encode_call(record, node)
    assert decode_call(document, node.public) == record
    start = data.draw(st.integers(0, len(document) - 1))
    stop = data.draw(st.integers(start, len(document)))
    noise = data.draw(
        st.binary(max_size=30) | st.sampled_from([b"null", b"[]", b"1e999", b'"\\ud800"', b"[" * 9999])
    )
    damaged = document[:start] + noise + document[stop:]
    assume(damaged != document)
    for decode in (lambda: decode_call(damaged, node.public), lambda: decode_data_key(damaged)):
        with pytest.raises(RecordError):
            decode()


def test_one_process_writes(recorder: Recorder) -> None:
    holder = (
        "import sys, pathlib; from gateway.storage.vault import Vault\n"
        "with Vault(pathlib.Path(sys.argv[1])).exclusive(): print('held', flush=True); sys.stdin.read()"
    )
    with recorder.vault.exclusive(), pytest.raises(VaultBusy), Vault(recorder.vault.directory).exclusive():
        pass
    with subprocess.Popen(
        [sys.executable, "-c", holder, recorder.vault.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(VaultBusy, match="stop the gateway first"), recorder.vault.exclusive():
            pass
        other.kill()
    with recorder.vault.exclusive():
        pass


def test_a_leftover_of_a_crash_does_not_matter(recorder: Recorder) -> None:
    facts, _ = recorder.begin(1)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    (folder / f".{CALL_FILE}.new").write_bytes(b"half a rec")
    recorder.vault.write_call(replace(facts, state=CallState.PARTIAL), recorder.keys)
    assert recorder.vault.read_call(folder, recorder.keys.node.public).facts.state is CallState.PARTIAL
    assert [path.name for path in folder.iterdir()] == [CALL_FILE]


def test_free_space_is_told(recorder: Recorder) -> None:
    assert recorder.vault.free_bytes() > 0


def test_parts_are_found_in_order(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    for number in (10, 2, 1):
        recorder.write_part(facts, key, number)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    assert recorder.vault.parts_on_disk(folder) == {identifier(2, 1): [1, 2, 10]}


def test_a_record_from_before_speech_was_measured_is_read(recorder: Recorder) -> None:
    record = seal_call(recorder.facts(1), recorder.keys)
    body = canonical.parse(encode_call(record, recorder.keys.node))["body"]
    del body["speech"]
    signature = base64.b64encode(recorder.keys.node.sign(canonical.dump(body))).decode()
    old = canonical.dump({"body": body, "node": recorder.keys.node.public.id, "signature": signature})
    assert decode_call(old, recorder.keys.node.public) == record
