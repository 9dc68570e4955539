"""`cut`: what is pending is carried out with the private key, once."""

from __future__ import annotations

from dataclasses import replace

from gateway.recording.model import CallFacts, Cut, Role
from tests.cli.conftest import Hushtap
from tests.storage.recorder import STARTED_NS, Recorder


def late(recorder: Recorder, number: int) -> CallFacts:
    cut = Cut(8_000, 9_000, (Role.EXTERNAL, Role.AGENT), "agent", STARTED_NS)
    facts = replace(recorder.call(number), cuts=(cut,))
    recorder.index.put(recorder.vault.write_call(facts, recorder.keys))
    return facts


def test_all_that_is_pending(hushtap: Hushtap, recorder: Recorder) -> None:
    calls = [late(recorder, number) for number in (1, 2)]
    assert "cuts are pending" in hushtap("verify").out
    told = hushtap("cut", "--pending")
    assert told.status == 0
    assert all(call.recordings[0].id in told.out for call in calls)
    assert hushtap("verify").status == 0
    assert "pending" not in hushtap("verify").out
    assert hushtap("cut", "--pending").out == "no cuts are pending\n"
    shown = hushtap("show", calls[0].id)
    assert "0:00:01.0 to 0:00:01.1, external and agent: agent, done" in shown.out
    (rewrite,) = hushtap("show", calls[0].id, "--json").json["rewrites"]
    assert rewrite["old_id"] == calls[0].recordings[0].id


def test_one_call(hushtap: Hushtap, recorder: Recorder) -> None:
    first, second = late(recorder, 1), recorder.call(2)
    assert hushtap("cut", second.id).status == 2
    assert hushtap("cut", first.id).status == 0
    assert hushtap("cut", first.id).status == 2
    assert (
        hushtap("export", first.id, "--format", "wav", "--output", "a.wav", "--reason", "a look").status == 0
    )


def test_without_the_private_key_nothing_is_cut(hushtap: Hushtap, recorder: Recorder) -> None:
    late(recorder, 1)
    recorder.paths.vault_private.unlink()
    told = hushtap("cut", "--pending")
    assert told.status == 2
    assert "private key is not there" in told.err
