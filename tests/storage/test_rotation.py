"""Rotation of the vault key: all or nothing is lost, wherever it stops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from gateway.storage.keys import FilePrivateKeys, NotOpened, PrivateKeyMissing, load_vault_public
from gateway.storage.records import RecordError, open_call
from gateway.storage.reindex import reindex
from gateway.storage.rotation import rotate
from gateway.storage.vault import VaultBusy
from tests.storage.interruption import Stopped, stopped_after
from tests.storage.recorder import Recorder


def readable(recorder: Recorder) -> None:
    """Every recording and every call record opens with what keys there are, index and vault agreeing."""
    for record in recorder.vault.calls(recorder.keys.node.public):
        assert open_call(record, recorder.private).participants
        recorder.vault.data_key(record.facts.recordings[0].id, recorder.private)


def test_all_moves_to_the_new_key_and_the_audio_stays(recorder: Recorder, tmp_path: Path) -> None:
    calls = [recorder.call(n) for n in range(3)]
    audio = [recorder.part_path(call).read_bytes() for call in calls]
    old = recorder.keys.vault.id
    saved = tmp_path / "old.key"
    saved.write_bytes(recorder.paths.vault_private.read_bytes())
    saved.chmod(0o600)
    steps: list[tuple[int, int]] = []
    new = rotate(
        recorder.vault, recorder.index, recorder.paths, lambda done, total: steps.append((done, total))
    )
    assert steps == [(n, 6) for n in range(1, 7)]
    assert new != old
    assert load_vault_public(recorder.paths.vault_public).id == new
    assert not recorder.paths.next_private.exists()
    readable(recorder)
    assert list(recorder.index.calls()) == list(recorder.vault.calls(recorder.keys.node.public))[::-1]
    assert [recorder.part_path(call).read_bytes() for call in calls] == audio
    with pytest.raises(NotOpened, match=new):
        recorder.vault.data_key(calls[0].recordings[0].id, FilePrivateKeys(saved))


def test_it_can_stop_anywhere_and_go_on(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(2):
        recorder.call(n)
    stops = 0
    for allowed in range(8):
        try:
            with stopped_after(allowed, monkeypatch):
                rotate(recorder.vault, recorder.index, recorder.paths)
        except Stopped:
            stops += 1
        readable(recorder)
    assert stops >= 3
    public = rotate(recorder.vault, recorder.index, recorder.paths)
    readable(recorder)
    assert {record.sealed.key_id for record in recorder.index.calls()} == {public}


@pytest.mark.parametrize("name", ["wrapped", "audio"])
def test_a_folder_that_cannot_be_read_stops_it_before_the_old_key_goes(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recorder.call(1)
    before = recorder.paths.vault_private.read_bytes()
    iterdir, closed = Path.iterdir, recorder.vault.directory / name

    def refusing(path: Path) -> Iterator[Path]:
        if path.parent == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refusing)
        with pytest.raises(PermissionError):
            rotate(recorder.vault, recorder.index, recorder.paths)
        with pytest.raises(PermissionError) if name == "audio" else nullcontext():
            reindex(recorder.vault, recorder.keys.node.public)
    assert recorder.paths.vault_private.read_bytes() == before
    readable(recorder)
    assert len(list(recorder.index.calls())) == 1


def test_an_altered_record_is_named_with_its_folder(recorder: Recorder) -> None:
    facts = recorder.call(1)
    folder = recorder.vault.call_folder(facts.id, facts.started_ns)
    (folder / "call.json").write_bytes(b"{}")
    with pytest.raises(RecordError, match=f"{folder}: .*rotate again"):
        rotate(recorder.vault, recorder.index, recorder.paths)


def test_a_stop_between_the_two_last_steps(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder.call(1)

    def stop(self: Path, target: Path) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(
            Path,
            "replace",
            lambda self, target: stop(self, target) if self.suffix == ".next" else self.rename(target),
        )
        with pytest.raises(Stopped):
            rotate(recorder.vault, recorder.index, recorder.paths)
    recorder = Recorder(recorder.vault, recorder.paths, recorder.keys, recorder.index)
    readable(recorder)
    rotate(recorder.vault, recorder.index, recorder.paths)
    readable(recorder)


def test_it_needs_the_private_key_and_no_running_gateway(recorder: Recorder) -> None:
    with recorder.vault.exclusive(), pytest.raises(VaultBusy):
        rotate(recorder.vault, recorder.index, recorder.paths)
    recorder.paths.vault_private.unlink()
    with pytest.raises(PrivateKeyMissing, match="rotation needs it"):
        rotate(recorder.vault, recorder.index, recorder.paths)
