"""Pauses by the client, legs that join, transfers that open a segment."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from gateway.recording.messages import (
    CallReport,
    Join,
    LegPlan,
    MediaStopped,
    Pause,
    Reformat,
    Resume,
    SegmentEnded,
    Split,
)
from gateway.recording.model import Redaction, Role
from gateway.storage import container
from gateway.storage.sealing import open_sealed
from tests.recording.simulation import MS, PCMA, PLAN, SECOND, Played, play, sent, speech

BOTH = (Role.EXTERNAL, Role.AGENT)
START = PLAN.started_ns
NEXT = "01900000-0000-7000-8000-00000000000%d"
KEY = bytes(range(100, 132))


def split(at: int, number: int = 4) -> tuple[int, Split]:
    return at, Split(PLAN.call_id, NEXT % (number + 4), NEXT % number, KEY.hex(), START + at)


def pause(at: int, *legs: Role) -> tuple[int, Pause]:
    return at, Pause(PLAN.call_id, legs or BOTH, START + at)


def resume(at: int, *legs: Role) -> tuple[int, Resume]:
    return at, Resume(PLAN.call_id, legs or BOTH, START + at)


def opened(played: Played, recording_id: str, key: bytes) -> container.Reader:
    (part,) = {w.part for w in played.writes if w.recording_id == recording_id}
    data = b"".join(w.data for w in played.writes if w.recording_id == recording_id)
    assert part == 1
    return container.read(open_sealed(io.BytesIO(data), key, recording_id.encode()))


def audio(reader: container.Reader) -> dict[Role, list[tuple[int, bytes]]]:
    roles = {track.number: track.role for track in reader.tracks}
    found: dict[Role, list[tuple[int, bytes]]] = {role: [] for role in BOTH}
    for block in reader.blocks():
        found[roles[block.track]].append((block.time, block.payload))
    return found


def test_what_arrives_in_a_pause_is_not_kept() -> None:
    spoken = speech(6)
    played = play(sent(spoken) + sent(spoken, 1), commands=[pause(2 * SECOND), resume(4 * SECOND)])
    for role in BOTH:
        runs = played.runs(role)
        assert runs[0][1] <= 16000
        assert all(stop <= 16000 or start >= 32000 for start, stop in runs)
        assert runs[-1][1] - runs[-1][0] >= 15_800
    assert played.finished.redactions == (Redaction(16000, 32000, BOTH, "src", end_cause="src"),)
    reader = container.read([played.plain()])
    list(reader.blocks())
    assert reader.chapters == (container.Chapter(16000, 32000, "redaction: src"),)


def test_a_late_packet_that_arrives_in_a_pause_is_not_kept_though_it_was_spoken_before() -> None:
    stream = sent(speech(3))
    late = [d for d in stream if d.arrival == 1_900 * MS]
    moved = [type(d)(2_100 * MS, d.leg, d.data) for d in late]
    rest = [d for d in stream if d not in late and d.arrival < 2 * SECOND]
    played = play(rest + moved, commands=[pause(2 * SECOND)], closed=3 * SECOND)
    assert all(stop <= 15_200 or start >= 15_360 for start, stop in played.runs(Role.EXTERNAL))


def test_one_leg_may_be_paused_and_a_pause_may_last_to_the_end() -> None:
    spoken = speech(4)
    played = play(sent(spoken) + sent(spoken, 1), commands=[pause(SECOND, Role.AGENT)], closed=4 * SECOND)
    assert played.audio(Role.EXTERNAL) == spoken
    assert played.runs(Role.AGENT)[-1][1] <= 8000
    assert played.finished.redactions == (Redaction(8000, 32000, (Role.AGENT,), "src", end_cause="ended"),)


def test_a_pause_from_the_start_leaves_no_file() -> None:
    played = play(sent(speech(2)), commands=[pause(1)])
    assert not played.writes
    assert played.finished.next_part == 1


def test_an_open_pause_is_reported_as_far_as_it_goes() -> None:
    played = play(sent(speech(4)), commands=[pause(SECOND)])
    reports = [e for e in played.events if isinstance(e, CallReport) and e.redactions]
    assert [r.redactions[0].start for r in reports] == [8000] * len(reports)
    assert reports[0].redactions[0].end < reports[-1].redactions[0].end


def test_a_held_call_is_not_ended_for_its_silence_and_has_all_the_time_again_afterwards() -> None:
    legs = PLAN.legs
    commands = [
        (SECOND, Reformat(PLAN.call_id, legs, held=True)),
        (100 * SECOND, Reformat(PLAN.call_id, legs, held=False)),
    ]
    held = play(sent(speech(1)), commands=commands, closed=150 * SECOND)
    assert not [e for e in held.events if isinstance(e, MediaStopped)]
    silent = play(sent(speech(1)), commands=commands, closed=170 * SECOND)
    assert len([e for e in silent.events if isinstance(e, MediaStopped)]) == 1


@pytest.mark.parametrize("at", [2 * SECOND, 2_007 * MS, 2_500 * MS])
def test_a_split_parts_the_audio_at_its_time(at: int) -> None:
    spoken, other = speech(6, 1), speech(6, 2)
    played = play(sent(spoken) + sent(other, 1), commands=[split(at)])
    first, second = opened(played, PLAN.recording_id, bytes.fromhex(PLAN.key)), opened(played, NEXT % 4, KEY)
    cut = at * 8 // MS
    befores, afters = audio(first), audio(second)
    for role, whole in zip(BOTH, (spoken, other), strict=True):
        before, after = befores[role], afters[role]
        assert b"".join(payload for _, payload in before + after) == whole
        assert all(time < cut for time, _ in before)
        assert all(time >= cut for time, _ in after)
    assert first.info
    assert second.info
    assert second.info.segment_id == NEXT % 8
    (ended,) = [e for e in played.events if isinstance(e, SegmentEnded)]
    assert (ended.recording_id, ended.next_part) == (PLAN.recording_id, 2)
    assert [leg.media_units for leg in ended.legs] == [
        sum(len(payload) for _, payload in befores[role]) for role in BOTH
    ]
    assert played.finished.recording_id == NEXT % 4
    assert [leg.packets for leg in played.finished.legs] == [300, 300]


def test_several_splits_and_a_call_that_ends_soon_after_one() -> None:
    spoken = speech(6)
    played = play(sent(spoken), commands=[split(2 * SECOND), split(5_900 * MS, 5)])
    pieces = [
        audio(opened(played, recording, key))[Role.EXTERNAL]
        for recording, key in ((PLAN.recording_id, bytes.fromhex(PLAN.key)), (NEXT % 4, KEY), (NEXT % 5, KEY))
    ]
    assert b"".join(payload for piece in pieces for _, payload in piece) == spoken
    assert len([e for e in played.events if isinstance(e, SegmentEnded)]) == 2


def test_a_pause_across_a_split_is_a_chapter_of_both() -> None:
    played = play(sent(speech(6)), commands=[pause(1 * SECOND), split(2 * SECOND), resume(3 * SECOND)])
    chapters = []
    for recording, key in ((PLAN.recording_id, bytes.fromhex(PLAN.key)), (NEXT % 4, KEY)):
        reader = opened(played, recording, key)
        list(reader.blocks())
        chapters += [(chapter.start, chapter.end) for chapter in reader.chapters]
    assert chapters == [(8000, 16000), (16000, 24000)]


def test_a_leg_joins() -> None:
    alone = replace(PLAN, legs=PLAN.legs[:1])
    spoken, other = speech(4, 1), speech(3, 2)
    leg = LegPlan(Role.AGENT, (PCMA,))
    played = play(
        sent(spoken) + sent(other, 1, start=SECOND, ssrc=7),
        plan=alone,
        commands=[(500 * MS, Join(PLAN.call_id, leg))],
    )
    assert played.audio(Role.EXTERNAL) == spoken
    assert played.audio(Role.AGENT) == other
    assert len(played.parts) == 1
