"""What was stored too early is cut out afterwards, and nothing of it can be read from anything that is left."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from gateway.recording.model import CallFacts, CallState, Cut, RecordingState, Role
from gateway.storage import cutting
from gateway.storage.container import Block, Chapter
from gateway.storage.cutting import CannotCut, carry_out, pending, plan, switch, tidy
from gateway.storage.records import CallRecord
from gateway.storage.recovery import recover
from gateway.storage.reindex import reindex
from gateway.storage.vault import VaultBusy
from gateway.storage.verify import Verdict, verify
from tests.storage.interruption import Stopped, stopped_after
from tests.storage.recorder import BLOCKS, PATTERN, STARTED_NS, Recorder, identifier

NOW = STARTED_NS + 10**12
BOTH = (Role.EXTERNAL, Role.AGENT)
SPAN = (8_123, 12_345)


def late(recorder: Recorder, facts: CallFacts, legs: tuple[Role, ...] = BOTH) -> CallRecord:
    """A finished call of which a span is to be cut."""
    facts = replace(facts, cuts=(Cut(*SPAN, legs, "agent", NOW),))
    record = recorder.vault.write_call(facts, recorder.keys)
    recorder.index.put(record)
    return record


def cut(recorder: Recorder, record: CallRecord) -> CallRecord:
    ids = (identifier(9, number) for number in range(1, 9))
    key = partial(recorder.vault.data_key, keys=recorder.private)
    made = carry_out(
        recorder.vault, record, key, partial(next, ids), NOW, recorder.keys.vault, recorder.keys.node
    )
    recorder.index.put(made)
    return made


def octets(blocks: Iterator[Block], track: int) -> dict[int, int]:
    return {b.time + at: octet for b in blocks if b.track == track for at, octet in enumerate(b.payload)}


def verdicts(recorder: Recorder) -> list[Verdict]:
    return list(verify(recorder.vault, recorder.index, recorder.private, recorder.keys.node.public))


def test_the_span_is_gone_and_all_else_is_where_it_was(recorder: Recorder) -> None:
    before = recorder.call(1)
    done = cut(recorder, late(recorder, before)).facts
    with recorder.read(done) as (reader,):
        blocks = list(reader.blocks())
        assert reader.tags == {"PARTS": "1"}
        assert Chapter(800, 1600, "pause") in reader.chapters
        assert reader.info
        assert reader.info.recording_id == done.recordings[0].id
    for track in (1, 2):
        whole = octets(iter(BLOCKS), track)
        assert octets(iter(blocks), track) == {at: whole[at] for at in whole if not SPAN[0] <= at < SPAN[1]}
    assert all(verdict.ok and verdict.note == "was cut" for verdict in verdicts(recorder))


def test_only_the_legs_named_are_cut_by_the_roles_they_have_in_the_end(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    part = recorder.write_part(facts, key)
    facts = replace(facts, recordings=(replace(facts.recordings[0], swapped=True),))
    done = recorder.finish(facts, part)
    swapped = replace(done, recordings=(replace(done.recordings[0], swapped=True),))
    recorder.vault.finish_recording(swapped, swapped.recordings[0], recorder.keys.node)
    made = cut(recorder, late(recorder, swapped, (Role.AGENT,))).facts
    with recorder.read(made) as (reader,):
        blocks = list(reader.blocks())
    assert octets(iter(blocks), 2) == octets(iter(BLOCKS), 2)  # named agent, and the external party's voice
    assert len(octets(iter(blocks), 1)) == len(octets(iter(BLOCKS), 1)) - (SPAN[1] - SPAN[0])
    assert all(verdict.ok for verdict in verdicts(recorder))


def test_the_old_recording_is_destroyed_and_the_record_says_so(recorder: Recorder) -> None:
    before = recorder.call(1)
    old = before.recordings[0]
    done = cut(recorder, late(recorder, before)).facts
    (new,), (rewrite,) = done.recordings, done.rewrites
    assert (rewrite.old_id, rewrite.new_id, rewrite.at_ns) == (old.id, new.id, NOW)
    assert (rewrite.before, rewrite.after) == (old.parts, new.parts)
    assert [c.done_ns for c in done.cuts] == [NOW]
    folder = recorder.vault.call_folder(before.id, before.started_ns)
    assert not any(old.id in path.name for path in folder.iterdir())
    assert [path.stem for path in recorder.vault.wrapped_keys()] == [new.id]
    assert reindex(recorder.vault, recorder.keys.node.public) == []


def test_a_pending_cut_is_named_and_its_audio_never_given_out(recorder: Recorder) -> None:
    late(recorder, recorder.call(1))
    (verdict,) = verdicts(recorder)
    assert verdict.ok
    assert verdict.note == "cuts pending: 1"
    assert [record.facts.id for record in recorder.index.calls(cuts_pending=True)] == [identifier(1, 1)]


def test_a_torn_part_is_whole_once_it_is_cut(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    recorder.write_part(facts, key, torn=True)
    recorder.part_path(facts, 2).write_bytes(b"")  # a part that was torn before anything was in it
    recover(recorder.vault, recorder.index, recorder.keys.node)
    torn = recorder.index.get(facts.id).facts
    done = cut(recorder, late(recorder, replace(torn, participants=facts.participants))).facts
    assert [(part.number, part.torn) for part in done.recordings[0].parts] == [(1, False)]
    assert done.recordings[0].state is RecordingState.RECOVERED
    assert all(verdict.ok for verdict in verdicts(recorder))


def test_every_segment_is_cut(recorder: Recorder) -> None:
    facts, key = recorder.begin(1)
    second = replace(
        facts.recordings[0], id=identifier(4, 1), segment_id=identifier(5, 1), segment=2, start=9_000
    )
    later = recorder.vault.new_recording(facts.id, second.id, facts.started_ns, recorder.keys.vault)
    done = recorder.finish(facts, recorder.write_part(facts, key))
    part = recorder.write_part(replace(facts, recordings=(second,)), later)
    second = replace(second, state=RecordingState.COMPLETE, parts=(part,))
    recorder.vault.finish_recording(done, second, recorder.keys.node)
    made = cut(recorder, late(recorder, replace(done, recordings=(done.recordings[0], second)))).facts
    assert [(each.segment, each.start) for each in made.recordings] == [(1, 0), (2, 9_000)]
    assert len(made.rewrites) == 2
    assert all(verdict.ok for verdict in verdicts(recorder))


@pytest.mark.parametrize("documents", range(4))
def test_stopped_anywhere_it_is_carried_out_by_the_next_try(
    recorder: Recorder, documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The documents are the wrapped key, the manifest, the call's record."""
    record = late(recorder, recorder.call(1))
    with stopped_after(documents, monkeypatch), suppress(Stopped):
        cut(recorder, record)
    recover(recorder.vault, recorder.index, recorder.keys.node)
    left = recorder.vault.read_call(
        recorder.vault.call_folder(record.facts.id, record.facts.started_ns), recorder.keys.node.public
    )
    assert all(verdict.ok for verdict in verdicts(recorder)), verdicts(recorder)
    assert bool(pending(left.facts)) is (documents < 3)
    done = cut(recorder, left).facts if pending(left.facts) else left.facts
    assert not pending(done)
    assert len(done.rewrites) == 1
    assert len(list(recorder.vault.wrapped_keys())) == 1


def test_stopped_before_the_old_key_is_destroyed_the_next_start_destroys_it(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = late(recorder, recorder.call(1))
    with monkeypatch.context() as patch:
        patch.setattr(cutting, "tidy", _stop_the_second_time())
        with pytest.raises(Stopped):
            cut(recorder, record)
    (fault,) = {verdict.problem for verdict in verdicts(recorder)}
    assert fault
    assert "which was cut, is still there" in fault
    recover(recorder.vault, recorder.index, recorder.keys.node)
    assert [verdict.problem for verdict in verdicts(recorder)] == [None]
    assert len(list(recorder.vault.wrapped_keys())) == 1


def test_a_running_call_is_not_cut(recorder: Recorder) -> None:
    facts, _ = recorder.begin(1)
    with pytest.raises(CannotCut, match="still being recorded"):
        cut(recorder, late(recorder, facts))
    assert facts.state is CallState.RECORDING


def test_two_that_cut_one_call_do_not_lose_it(recorder: Recorder) -> None:
    """The second one tidies up what the first has written, and fails."""
    record = late(recorder, recorder.call(1))
    key = partial(recorder.vault.data_key, keys=recorder.private)
    planned = plan(recorder.vault, record.facts, key, lambda: identifier(9, 1))
    parts = {planned.parts[0].new_id: [part for each in planned.parts if (part := cutting.cut_part(each))]}
    tidy(recorder.vault, record.facts)
    with pytest.raises(CannotCut, match="by another process"):
        switch(recorder.vault, record, planned, parts, NOW, recorder.keys.vault, recorder.keys.node)
    assert [verdict.problem for verdict in verdicts(recorder)] == [None]


def test_no_rotation_passes_while_a_cut_wraps_a_key(recorder: Recorder) -> None:
    with recorder.vault.wrapping():
        with recorder.vault.wrapping():
            pass
        with pytest.raises(VaultBusy), recorder.vault.wrapping(anew=True):
            pass


def test_what_is_cut_is_in_no_file_under_any_key_that_is_left(recorder: Recorder) -> None:
    """The plaintext of all that is left, and every byte on disk, lack what only the cut span held."""
    marked = secrets.token_bytes(SPAN[1] - SPAN[0])
    facts, key = recorder.begin(1)
    with pytest.MonkeyPatch.context() as patch:
        blocks = [Block(1, 0, PATTERN * 40), Block(1, SPAN[0], marked), Block(1, SPAN[1], PATTERN * 40)]
        patch.setattr("tests.storage.recorder.BLOCKS", blocks)
        before = recorder.finish(facts, recorder.write_part(facts, key))
    done = cut(recorder, late(recorder, before)).facts
    with recorder.read(done) as (reader,):
        plain = b"".join(block.payload for block in reader.blocks())
    assert marked[:16] not in plain
    assert plain == PATTERN * 80
    tidy(recorder.vault, done)
    assert all(verdict.ok for verdict in verdicts(recorder))


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _stop_the_second_time() -> Callable[..., None]:
    """The first tidying is before anything is written."""
    calls = 0

    def stopping(*_: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise Stopped

    return stopping
