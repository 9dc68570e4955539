from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.recording.assurance import Why
from gateway.recording.call import MAX_CUTS, MAX_NOTES, Call, Opening, Phase, refused
from gateway.recording.messages import CallReport, Finished
from gateway.recording.model import (
    CallState,
    Cause,
    Cut,
    Direction,
    LegReport,
    Part,
    RecordingState,
    Redaction,
    Role,
)
from tests.recording.simulation import PLAN, SECOND

OPENING = Opening("c", "s", "r", 0, 1000, Direction.INBOUND, (), PLAN.legs, ("a note",))


def legs(packets: int, lost: int = 0, agent: int | None = None) -> tuple[LegReport, ...]:
    return (
        LegReport(Role.EXTERNAL, "PCMA", packets, lost, media_units=packets * 160),
        LegReport(Role.AGENT, "PCMA", packets if agent is None else agent),
    )


def ended(call: Call, reports: tuple[LegReport, ...], next_part: int = 2) -> None:
    finished = Finished("c", "r", reports, (), next_part)
    call.hang_up("the caller hung up", 2000)
    call.report(finished)
    call.drain(finished)


def part(number: int, torn: bool = False) -> Part:
    return Part(number, 100, "ff", torn)


def test_a_whole_call() -> None:
    call = Call(OPENING)
    assert call.facts().state is CallState.RECORDING
    call.report(CallReport("c", legs(5), ()))
    ended(call, legs(9))
    assert call.awaited_parts() == [("r", 1)]
    call.end_part("r", part(1))
    assert call.awaited_parts() == []
    call.settle()
    facts = call.facts()
    assert (facts.state, facts.reason, facts.ended_ns) == (CallState.RECORDED, "the caller hung up", 2000)
    assert facts.recordings[0].state is RecordingState.COMPLETE
    assert facts.recordings[0].parts == (part(1),)
    assert [leg.packets for leg in facts.legs] == [9, 9]


def test_a_call_without_audio_is_not_recorded() -> None:
    call = Call(OPENING)
    ended(call, legs(0), next_part=1)
    assert call.awaited_parts() == []
    call.settle()
    facts = call.facts()
    assert facts.state is CallState.NOT_RECORDED
    assert "no audio came" in facts.reason
    assert not facts.recordings


def test_a_call_that_was_paused_from_its_beginning_to_its_end_says_so() -> None:
    call = Call(OPENING)
    call.hang_up("the caller hung up", 2000)
    pause = Redaction(0, 9, (Role.EXTERNAL, Role.AGENT), Cause.FEATURE_CODE)
    finished = Finished("c", "r", legs(9), (pause,), 1)
    call.report(finished)
    call.drain(finished)
    call.settle()
    facts = call.facts()
    assert facts.state is CallState.NOT_RECORDED
    assert facts.reason == "all of its audio was paused; the caller hung up"
    assert call.why() is Why.CHOICE


def test_counts_go_on_over_workers_and_the_gap_is_told_of() -> None:
    call = Call(OPENING)
    mask = Redaction(1, 2, (Role.AGENT,), "dtmf")
    call.report(CallReport("c", legs(50, lost=2), (mask,)))
    call.worker_lost({"r": 2}, 3 * SECOND)
    assert call.plan("00", "").part == 2
    call.report(CallReport("c", legs(1), ()))
    call.worker_lost({"r": 3}, 5 * SECOND)
    later = replace(mask, start=9, end=10)
    changes = call.report(CallReport("c", legs(7, lost=1), (later,)))
    assert [(before.packets, now.packets) for before, now in changes] == [(51, 58), (51, 58)]
    assert call.facts().redactions == (mask, later)
    ended(call, legs(10), next_part=4)
    assert call.unfinished_parts() == [("r", 1), ("r", 2), ("r", 3)]
    assert call.awaited_parts() == [("r", 3)]
    for number in (1, 2, 3):
        call.end_part("r", part(number, torn=number < 3))
    call.settle()
    facts = call.facts()
    assert facts.legs[0] == LegReport(Role.EXTERNAL, "PCMA", 61, 2, media_units=61 * 160)
    assert facts.state is CallState.PARTIAL
    assert "3.0 s into the call" in facts.reason
    assert "5.0 s into the call" in facts.reason
    assert facts.recordings[0].state is RecordingState.RECOVERED
    assert [each.number for each in facts.recordings[0].parts] == [1, 2, 3]


def test_a_silent_party_makes_it_a_part() -> None:
    call = Call(OPENING)
    ended(call, legs(9, agent=0))
    call.end_part("r", part(1))
    call.settle()
    assert (call.facts().state, call.facts().reason) == (
        CallState.PARTIAL,
        "no audio came from the agent party",
    )


def test_it_ends_once_and_moves_no_way_back() -> None:
    call = Call(OPENING)
    assert call.hang_up("first", 2000)
    assert not call.hang_up("second", 3000)
    finished = Finished("c", "r", legs(1), (), 2)
    call.drain(finished)
    call.drain(finished)
    call.end_part("r", part(1))
    call.settle()
    assert call.phase is Phase.SETTLED
    assert not call.hang_up("third", 4000)
    assert (call.facts().reason, call.facts().ended_ns) == ("first", 2000)


@pytest.mark.parametrize("known", [0, 1, MAX_NOTES - 1, MAX_NOTES])
def test_notes_are_bounded_and_said_once(known: int) -> None:
    call = Call(replace(OPENING, notes=tuple(f"note {n}" for n in range(known))))
    call.note(f"note {n}" for n in range(MAX_NOTES + 10))
    call.note(["note 0", "more"])
    assert len(call.facts().notes) == len(set(call.facts().notes)) == MAX_NOTES


def test_a_problem_is_said_once() -> None:
    call = Call(OPENING)
    for _ in range(3):
        call.problem("storage failed: it was full", Why.STORAGE)
    ended(call, legs(1))
    call.end_part("r", part(1))
    call.settle()
    assert call.facts().reason == "storage failed: it was full"


def test_a_torn_part_is_not_waited_for() -> None:
    call = Call(OPENING)
    call.tear("r", 1)
    ended(call, legs(1))
    assert (call.unfinished_parts(), call.awaited_parts()) == ([("r", 1)], [])


def test_a_call_not_taken() -> None:
    facts = refused(OPENING, "too many")
    assert (facts.state, facts.reason, facts.started_ns, facts.ended_ns) == (
        CallState.NOT_RECORDED,
        "too many",
        1000,
        1000,
    )


def test_of_ever_more_cuts_the_latest_become_one_and_nothing_is_left_uncovered() -> None:
    call = Call(OPENING)
    for number in range(MAX_CUTS + 2):
        call.late(Cut(10 * number, 10 * number + 5, (Role.AGENT,), "agent", 0))
    cuts = call.facts().cuts
    assert len(cuts) == MAX_CUTS
    assert (cuts[0].start, cuts[-2].end) == (0, 10 * (MAX_CUTS - 2) + 5)
    assert (cuts[-1].start, cuts[-1].end) == (10 * (MAX_CUTS - 1), 10 * (MAX_CUTS + 1) + 5)
