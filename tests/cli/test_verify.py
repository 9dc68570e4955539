"""`verify` and `reindex`: their verdicts, shapes and exit statuses. What is found is tested with the storage."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Hushtap
from tests.storage.recorder import Recorder


def flip(recorder: Recorder, call_number: int, at: int = 5000) -> str:
    """Alter a byte of a call's recording; gives the recording's id."""
    facts = recorder.facts(call_number)
    path = recorder.part_path(facts)
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    return facts.recordings[0].id


def test_everything_is_good(hushtap: Hushtap, recorder: Recorder) -> None:
    calls = [recorder.call(n) for n in (1, 2)]
    outcome = hushtap("verify", "--all", "--json")
    assert outcome.status == 0
    rows = outcome.json
    assert {row["id"] for row in rows} == {call.recordings[0].id for call in calls}
    assert all(set(row) == {"id", "ok", "segments", "problem", "note"} for row in rows)
    assert all(row["ok"] is True and row["segments"] > 10 and row["problem"] is None for row in rows)
    for words in (["verify"], ["verify", "--all"]):
        assert hushtap(*words).out.splitlines()[-1] == "2 good, 0 bad"


def test_a_flipped_byte_is_named_and_ends_with_1(hushtap: Hushtap, recorder: Recorder) -> None:
    recorder.call(1)
    recorder.call(2)
    bad = flip(recorder, 2)
    outcome = hushtap("verify", "--all", "--json")
    assert outcome.status == 1
    (row,) = (row for row in outcome.json if not row["ok"])
    assert row["id"] == bad
    assert "segment 1" in row["problem"]
    text = hushtap("verify", "--all")
    assert text.status == 1
    assert f"BAD   {bad}" in text.out


def test_one_call_by_its_id_or_its_recording(hushtap: Hushtap, recorder: Recorder) -> None:
    good, _ = recorder.call(1), recorder.call(2)
    flip(recorder, 2)
    for chosen in (good.id, good.id.upper(), good.recordings[0].id):
        outcome = hushtap("verify", chosen, "--json")
        assert outcome.status == 0
        assert [row["id"] for row in outcome.json] == [good.recordings[0].id]


@pytest.mark.parametrize(("begins", "said"), [("01", "several calls"), ("ff", "no call")])
def test_what_is_not_one_call(hushtap: Hushtap, recorder: Recorder, begins: str, said: str) -> None:
    recorder.call(1)
    recorder.call(2)
    outcome = hushtap("verify", begins)
    assert (outcome.status, outcome.out) == (2, "")
    assert said in outcome.err


def test_an_empty_vault_is_good(hushtap: Hushtap, recorder: Recorder) -> None:
    outcome = hushtap("verify", "--all", "--json")
    assert (outcome.status, outcome.json) == (0, [])


def test_verifying_needs_the_private_key(hushtap: Hushtap, recorder: Recorder) -> None:
    recorder.call(1)
    recorder.paths.vault_private.unlink()
    outcome = hushtap("verify", "--all")
    assert outcome.status == 2
    assert "private key" in outcome.err


def test_a_lost_index_is_made_anew(hushtap: Hushtap, recorder: Recorder) -> None:
    calls = [recorder.call(n) for n in (1, 2)]
    before = hushtap("calls", "--json").json
    recorder.index.close()
    for path in recorder.vault.directory.glob("index.sqlite3*"):
        path.unlink()
    assert hushtap("calls").status == 2
    assert hushtap("reindex").status == 0
    assert hushtap("calls", "--json").json == before
    assert hushtap("verify", "--all").status == 0
    (recorder.part_path(calls[0]).parent / "call.json").write_text("{}")
    outcome = hushtap("reindex")
    assert outcome.status == 1
    assert calls[0].id in outcome.err


def test_reindex_waits_for_no_gateway(hushtap: Hushtap, recorder: Recorder) -> None:
    with recorder.vault.exclusive():
        outcome = hushtap("reindex")
    assert outcome.status == 2
    assert "stop the gateway" in outcome.err
