"""Keys made, shown and rotated, and what a first start does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli.errors import CannotRun
from gateway.cli.keys import ensure
from gateway.config.settings import Settings
from gateway.storage import access
from tests.cli.conftest import Hushtap
from tests.storage.recorder import NUMBER, Recorder

KEYS = Path("hushtap-data/keys")
NAMES = {"vault.pub", "vault.key", "node.pub", "node.key", "lookup.key"}


def test_init_makes_keys_once(hushtap: Hushtap) -> None:
    assert hushtap("keys", "init").status == 0
    assert {path.name for path in KEYS.iterdir()} == NAMES
    assert {path.stat().st_mode & 0o777 for path in KEYS.iterdir()} == {0o600}
    again = hushtap("keys", "init")
    assert again.status == 2
    assert "there already" in again.err


def test_show_tells_ids_and_no_secret(hushtap: Hushtap) -> None:
    assert hushtap("keys", "show").out.count("absent") == 5
    hushtap("keys", "init")
    outcome = hushtap("keys", "show")
    ids = {line[:14].strip(): line.split()[-2] for line in outcome.out.splitlines()}
    assert ids["vault public"] == ids["vault private"]
    assert ids["node public"] == ids["node private"]
    assert (KEYS / "lookup.key").read_text().strip() not in outcome.out


def test_a_key_that_others_can_read_is_refused(hushtap: Hushtap) -> None:
    hushtap("keys", "init")
    (KEYS / "vault.key").chmod(0o644)
    outcome = hushtap("keys", "show")
    assert outcome.status == 2
    assert "0644" in outcome.err


def test_calls_are_readable_after_a_rotation(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    export = ("export", call.id, "--format", "mka", "--reason", "before", "--output", "before.mka")
    assert hushtap(*export).status == 0
    before = recorder.keys.vault.id
    outcome = hushtap("keys", "rotate")
    assert outcome.status == 0, outcome.err
    assert before not in outcome.out
    assert before not in hushtap("keys", "show").out
    assert hushtap("show", call.id, "--json").json["participants"][0]["number"] == NUMBER
    export = ("export", call.id, "--format", "wav", "--reason", "after", "--output", "after.wav")
    assert hushtap(*export).status == 0
    entries = access.read(recorder.vault.directory, recorder.private)
    assert [entry.details["reason"] for entry in entries] == ["before", "after"]


def test_the_first_start_makes_keys_and_says_so(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    ensure(Settings())
    assert {path.name for path in KEYS.iterdir()} == NAMES
    assert "keep a copy" in caplog.text
    caplog.clear()
    ensure(Settings())
    assert caplog.text == ""


def test_recordings_without_keys_are_no_new_vault(recorder: Recorder) -> None:
    recorder.call(1)
    for path in recorder.paths.all():
        path.unlink()
    with pytest.raises(CannotRun, match="hushtap keys init"):
        ensure(Settings())


def test_a_recorder_starts_without_the_private_key_and_not_without_the_others(recorder: Recorder) -> None:
    recorder.paths.vault_private.unlink()
    ensure(Settings())
    recorder.paths.lookup.unlink()
    with pytest.raises(CannotRun, match=r"lookup\.key"):
        ensure(Settings())
