"""What is asked of a call's recording: the state told, the audio kept, and the record, by rules of their own."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import (
    Answered,
    Command,
    Event,
    Extend,
    Keyed,
    LateRedaction,
    Mark,
    Open,
    OpenRedaction,
    Outcome,
    Pause,
    Press,
    RecordingNow,
    Resume,
    Split,
    StartRecording,
    Status,
    StopRecording,
)
from gateway.recording.model import Cause, Redaction, Role
from gateway.recording.pauses import MAX_ENDED, Pauses
from gateway.recording.redacting import MAX_MARKERS, Asked, Redacting
from gateway.redaction.digit import Digit
from gateway.redaction.presses import Heard
from gateway.redaction.rules import CardRule, PauseRule, Rules
from gateway.storage import container
from tests.recording.simulation import MS, PLAN, SECOND, Datagram, Played, play, rtp, sent, speech

BOTH = (Role.EXTERNAL, Role.AGENT)
START = PLAN.started_ns
CALL = PLAN.call_id
LOOK_BACK, GUARD = 3 * 8000, 800
SECONDS = 10
UNITS = SECONDS * 8000
RULES = Rules(pause=PauseRule(600 * SECOND, 30 * SECOND, 300 * SECOND, 180 * SECOND))
TEST_CARD = "4111111111111111"

pausing = st.sampled_from([Cause.AGENT, Cause.FEATURE_CODE, Cause.SRC])


@st.composite
def asked(draw: st.DrawFn) -> tuple[int, Asked]:
    at = draw(st.integers(1, SECONDS * 1000 - 1)) * MS
    cause = draw(pausing)
    legs = draw(st.sampled_from([BOTH, *((role,) for role in BOTH)])) if cause is Cause.SRC else ()
    commands: list[Asked] = [
        Pause(CALL, legs, START + at, cause, "t", reach_back=cause is not Cause.SRC),
        Resume(CALL, legs, START + at, cause, "t"),
        Resume(CALL, legs, START + at, cause, "t"),
        StopRecording(CALL, START + at, Cause.NEVER_RECORD),
        StartRecording(CALL, START + at),
        Mark(CALL, START + at, "told_caller", "t"),
        Extend(CALL, START + at, "t"),
    ]
    return at, draw(st.sampled_from(commands))


class Model:
    """The rules, written down once more: which units of each leg are not kept, and why a call is paused."""

    def __init__(self) -> None:
        self.gone = {role: np.zeros(UNITS, np.bool_) for role in BOTH}
        self.shut = {role: np.zeros(UNITS, np.bool_) for role in BOTH}
        self.since: dict[tuple[Cause, Role | None], int] = {}

    def obey(self, at: int, command: Asked) -> None:
        units = at * 8 // MS
        match command:
            case Pause(cause=Cause.SRC, legs=legs):
                for role in legs:
                    self.since.setdefault((Cause.SRC, role), units)
            case Pause(cause=cause):
                self.since.setdefault((cause, None), units)
            case StopRecording():
                self.since.setdefault((Cause.NEVER_RECORD, None), units)
            case StartRecording():
                self.end(units, Cause.NEVER_RECORD)
            case Resume(cause=Cause.SRC, legs=legs):
                for role in legs:
                    self.end(units, Cause.SRC, role)
            case Resume():
                self.end(units, Cause.AGENT)
                self.end(units, Cause.FEATURE_CODE)

    def end(self, units: int, cause: Cause, role: Role | None = None) -> None:
        start = self.since.pop((cause, role), None)
        if start is not None:
            self.cover(cause, role, start, units)

    def close(self) -> None:
        for (cause, role), start in self.since.items():
            self.cover(cause, role, start, UNITS)

    def cover(self, cause: Cause, role: Role | None, start: int, stop: int) -> None:
        if cause is Cause.SRC:
            assert role
            self.gone[role][start:stop] = True
            self.shut[role][start:stop] = True
            return
        begin = start - (0 if cause is Cause.NEVER_RECORD else LOOK_BACK)
        for gone in self.gone.values():
            gone[max(0, begin) : stop + GUARD] = True

    @property
    def state(self) -> RecordingNow:
        causes = {cause for cause, _ in self.since}
        if Cause.NEVER_RECORD in causes:
            return RecordingNow.OFF
        held = all((Cause.SRC, role) in self.since for role in BOTH)
        return RecordingNow.PAUSED if held or causes - {Cause.SRC} else RecordingNow.RECORDING


def covered(redactions: Iterable[Redaction], role: Role) -> npt.NDArray[np.bool_]:
    units = np.zeros(UNITS, np.bool_)
    for redaction in redactions:
        if role in redaction.legs:
            units[redaction.start : redaction.end] = True
    return units


def kept(played: Played, role: Role, spoken: bytes) -> npt.NDArray[np.bool_]:
    """Which units are in what was written; they are what was spoken there."""
    units = np.zeros(UNITS, np.bool_)
    for time, payload in played.blocks(role):
        assert payload == spoken[time : time + len(payload)]
        assert not units[time : time + len(payload)].any()
        units[time : time + len(payload)] = True
    return units


@settings(max_examples=40)
@given(st.lists(asked(), max_size=12))
def test_whatever_is_asked_in_any_order_state_audio_and_record_agree(
    commands: list[tuple[int, Asked]],
) -> None:
    commands.sort(key=lambda each: each[0])
    spoken = {role: speech(SECONDS, seed) for seed, role in enumerate(BOTH)}
    played = play(
        [datagram for leg, role in enumerate(BOTH) for datagram in sent(spoken[role], leg)],
        commands=commands,
        closed=SECONDS * SECOND,
    )
    model = Model()
    states = [RecordingNow.RECORDING]
    for at, command in commands:
        model.obey(at, command)
        states.append(model.state)
    model.close()
    told = [states[0], *(event.state for event in played.events if isinstance(event, Status))]
    assert [state for n, state in enumerate(told) if state != ([None, *told])[n]] == [
        state for n, state in enumerate(states) if state != ([None, *states])[n]
    ]
    for role in BOTH:
        gone = model.gone[role]
        arrived = np.repeat(model.shut[role][::160], 160)
        assert (covered(played.finished.redactions, role) == gone).all()
        assert (kept(played, role, spoken[role]) == ~(gone | arrived)).all()
    assert all(each.end_cause for each in played.finished.redactions)
    assert not [event for event in played.events if isinstance(event, LateRedaction)]


@dataclass
class Talk:
    """A call of which only the redaction is there; times are ns after its start."""

    rules: Rules = RULES
    plan: Open = PLAN
    now: int = 0
    events: list[Event] = field(default_factory=list)
    reached: dict[Role, int] = field(default_factory=lambda: dict.fromkeys(BOTH, 0))

    def __post_init__(self) -> None:
        self.redacting = Redacting(self.plan, self.rules, START + self.now)

    def ask(self, at: int, command: Asked) -> Answered:
        self.until(at)
        command = replace(command, at_ns=START + at, request="r")
        self.events += self.redacting.obey(command, START + at, self.reached)
        answer = self.events[-1]
        assert isinstance(answer, Answered)
        return answer

    def pause(self, at: int, cause: Cause = Cause.AGENT, actor: str = "t1") -> Outcome:
        return self.ask(at, Pause(CALL, (), 0, cause, actor, reach_back=True)).outcome

    def resume(self, at: int, cause: Cause = Cause.AGENT, actor: str = "t1") -> Outcome:
        return self.ask(at, Resume(CALL, (), 0, cause, actor)).outcome

    def keys(self, at: int, digits: str, role: Role | None = Role.EXTERNAL, apart: int = 300 * MS) -> int:
        """Press keys; gives when the last one was."""
        for digit in digits:
            self.until(at)
            heard = Heard(
                "rfc4733", role, Digit("0123456789*#".index(digit)), START + at - 80 * MS, START + at
            )
            self.events += self.redacting.pressed(heard, START + at, self.reached)
            at += apart
        return at - apart

    def until(self, at: int) -> None:
        while self.now < at:
            self.now = min(at, self.now + 100 * MS)
            self.events += self.redacting.advance(START + self.now, self.reached)

    @property
    def status(self) -> Status:
        return [event for event in self.events if isinstance(event, Status)][-1]

    def state(self) -> RecordingNow:
        return self.redacting.pauses.state(self.redacting.roles)

    def redactions(self) -> list[Redaction]:
        return self.redacting.redactions(self.now * 8 // MS)


def test_every_start_and_end_has_its_cause_and_actor() -> None:
    talk = Talk()
    assert talk.pause(10 * SECOND, actor="t1") is Outcome.APPLIED
    assert talk.pause(11 * SECOND, actor="t2") is Outcome.UNCHANGED
    assert talk.resume(12 * SECOND, actor="t2") is Outcome.APPLIED
    assert talk.resume(13 * SECOND, actor="t1") is Outcome.UNCHANGED
    talk.until(20 * SECOND)
    expected = Redaction(56_000, 96_800, BOTH, "agent", "t1", "", "agent", "t2")
    assert talk.redactions() == [expected]


def test_a_pause_ends_by_itself_and_warns_before() -> None:
    talk = Talk()
    talk.pause(10 * SECOND)
    assert talk.status.resumes_ns == START + 610 * SECOND
    talk.until(579 * SECOND)
    assert not talk.status.warning
    talk.until(580 * SECOND)
    assert talk.status.warning
    assert talk.state() is RecordingNow.PAUSED
    talk.until(610 * SECOND)
    assert talk.state() is RecordingNow.RECORDING
    assert [(each.end_cause, each.end_actor) for each in talk.redactions()] == [("ceiling", None)]


def test_a_pause_asked_for_again_lasts_as_long_as_if_it_began_then() -> None:
    talk = Talk()
    talk.pause(10 * SECOND, actor="t1")
    assert talk.pause(600 * SECOND, actor="t2") is Outcome.UNCHANGED
    assert talk.status.resumes_ns == START + 1200 * SECOND
    talk.until(1199 * SECOND)
    assert talk.state() is RecordingNow.PAUSED


def test_one_press_puts_the_end_off_and_takes_the_warning_back() -> None:
    talk = Talk()
    assert talk.ask(SECOND, Extend(CALL, 0, "t1")).outcome is Outcome.UNCHANGED
    talk.pause(10 * SECOND)
    assert talk.ask(20 * SECOND, Extend(CALL, 0, "t1")).outcome is Outcome.UNCHANGED
    assert talk.ask(590 * SECOND, Extend(CALL, 0, "t1")).outcome is Outcome.APPLIED
    assert not talk.status.warning
    assert talk.status.resumes_ns == START + 890 * SECOND
    talk.until(889 * SECOND)
    assert talk.state() is RecordingNow.PAUSED
    talk.until(890 * SECOND)
    assert talk.state() is RecordingNow.RECORDING


def test_a_pause_without_a_ceiling_never_ends_by_itself() -> None:
    talk = Talk(replace(RULES, pause=replace(RULES.pause, ceiling_ns=0)))
    talk.pause(SECOND)
    talk.until(3000 * SECOND)
    assert talk.state() is RecordingNow.PAUSED
    assert talk.status.resumes_ns is None
    assert not talk.status.warning


def test_nothing_is_resumed_while_keys_are_pressed() -> None:
    talk = Talk(replace(RULES, pause=replace(RULES.pause, ceiling_ns=20 * SECOND)))
    talk.pause(SECOND)
    last = talk.keys(18 * SECOND, "123456789", apart=SECOND)
    answer = talk.ask(last + 1_999 * MS, Resume(CALL, (), 0, Cause.AGENT))
    assert (answer.outcome, answer.why) == (Outcome.REFUSED, "keys are still being pressed")
    talk.until(last + 1_999 * MS)
    assert talk.state() is RecordingNow.PAUSED  # though its ceiling has passed
    talk.until(last + 2_100 * MS)
    assert talk.state() is RecordingNow.RECORDING


def test_a_card_that_is_keyed_opens_a_pause_that_ends_in_quiet() -> None:
    talk = Talk()
    talk.reached = {Role.EXTERNAL: 80_000, Role.AGENT: 80_100}
    last = talk.keys(12 * SECOND, TEST_CARD)
    assert talk.state() is RecordingNow.PAUSED
    assert [each.cause for each in talk.status.open] == [Cause.CARD]
    assert talk.status.open[0].start == 96_000 - 640 - 320  # the first key, and the guard before it
    assert talk.status.resumes_ns == START + last - 80 * MS + 20 * SECOND
    last = talk.keys(last + 5 * SECOND, "1225")
    talk.until(last + 19 * SECOND)
    assert talk.state() is RecordingNow.PAUSED
    talk.until(last + 21 * SECOND)
    assert talk.state() is RecordingNow.RECORDING
    assert [(each.cause, each.end_cause) for each in talk.redactions()] == [("card", "quiet")]


def test_a_card_keyed_slowly_is_covered_as_far_back_as_audio_waits() -> None:
    talk = Talk()
    talk.reached = dict.fromkeys(BOTH, 100_000)
    talk.keys(8 * SECOND, TEST_CARD, apart=SECOND)
    assert talk.status.open[0].start == 100_000
    assert not [event for event in talk.events if isinstance(event, LateRedaction)]


@pytest.mark.parametrize("may", [True, False])
def test_an_agent_ends_the_card_rules_pause_where_that_may_be(may: bool) -> None:
    talk = Talk(replace(RULES, card=CardRule(agent_may_resume=may)))
    last = talk.keys(SECOND, TEST_CARD)
    answer = talk.ask(last + 3 * SECOND, Resume(CALL, (), 0, Cause.AGENT, "t1"))
    assert answer.outcome is (Outcome.APPLIED if may else Outcome.REFUSED)
    assert talk.state() is (RecordingNow.RECORDING if may else RecordingNow.PAUSED)
    talk.pause(last + 4 * SECOND)
    assert talk.resume(last + 5 * SECOND) is Outcome.APPLIED
    talk.keys(last + 6 * SECOND, TEST_CARD)
    assert talk.state() is RecordingNow.PAUSED


def test_codes_keyed_by_the_agent_are_obeyed_and_no_one_elses() -> None:
    talk = Talk()
    talk.keys(SECOND, "*7", Role.EXTERNAL)
    assert talk.state() is RecordingNow.RECORDING
    talk.keys(10 * SECOND, "*7", Role.AGENT)
    assert talk.state() is RecordingNow.PAUSED
    talk.keys(20 * SECOND, "*8", Role.AGENT)
    assert talk.state() is RecordingNow.RECORDING
    talk.keys(30 * SECOND, "*9", Role.AGENT)
    assert talk.state() is RecordingNow.OFF
    assert talk.resume(40 * SECOND) is Outcome.REFUSED
    assert talk.pause(41 * SECOND) is Outcome.UNCHANGED
    causes = [(each.cause, each.end_cause) for each in talk.redactions()]
    assert causes == [("feature_code", "feature_code"), ("opt_out", "")]


def test_a_code_does_not_resume_while_the_caller_presses_keys() -> None:
    talk = Talk()
    talk.keys(SECOND, "*7", Role.AGENT)
    talk.keys(10 * SECOND, "1", Role.EXTERNAL)
    talk.keys(10_500 * MS, "*8", Role.AGENT)
    assert talk.state() is RecordingNow.PAUSED


def test_a_key_heard_twice_counts_once() -> None:
    talk = Talk()
    for at, digit in enumerate(TEST_CARD[:12]):
        for role in BOTH:
            heard = Heard("rfc4733", role, Digit(int(digit)), START + at * SECOND, START + at * SECOND)
            talk.events += talk.redacting.pressed(heard, START + at * SECOND, talk.reached)
    assert talk.state() is RecordingNow.RECORDING


def test_a_late_pause_says_what_is_to_be_cut_and_counts_nothing_twice() -> None:
    talk = Talk()
    talk.pause(20 * SECOND)
    talk.resume(21 * SECOND)
    talk.reached = {Role.EXTERNAL: 200_000, Role.AGENT: 100_000}
    talk.now = 26 * SECOND
    command = Pause(CALL, (), START + 18 * SECOND, Cause.AGENT, "t1", reach_back=True, request="r")
    events = talk.redacting.obey(command, START + 26 * SECOND, talk.reached)
    answer = events[-1]
    assert isinstance(answer, Answered)
    assert answer.outcome is Outcome.LATE
    late = [(e.start, e.end, e.legs) for e in events if isinstance(e, LateRedaction)]
    # Up to 17 s, and after 21.1 s, where the earlier pause covers nothing.
    assert late == [(120_000, 136_000, (Role.EXTERNAL,)), (168_800, 200_000, (Role.EXTERNAL,))]
    assert talk.redacting.redactions(220_000)[1].start == 120_000


def test_a_hold_of_one_leg_is_no_pause_and_of_all_legs_is_one() -> None:
    talk = Talk()
    talk.ask(SECOND, Pause(CALL, (Role.AGENT,), 0))
    assert talk.state() is RecordingNow.RECORDING
    talk.ask(2 * SECOND, Pause(CALL, (Role.EXTERNAL,), 0))
    assert talk.state() is RecordingNow.PAUSED
    assert talk.resume(3 * SECOND) is Outcome.REFUSED
    talk.pause(4 * SECOND)
    talk.ask(5 * SECOND, Resume(CALL, BOTH, 0))
    assert talk.state() is RecordingNow.PAUSED
    assert talk.status.since_ns == START + 2 * SECOND
    talk.resume(6 * SECOND)
    assert talk.state() is RecordingNow.RECORDING


def test_a_leg_that_joins_is_paused_with_the_others() -> None:
    talk = Talk(plan=replace(PLAN, legs=PLAN.legs[:1]), reached={Role.EXTERNAL: 0})
    talk.ask(SECOND, Pause(CALL, (Role.EXTERNAL,), 0))
    assert talk.state() is RecordingNow.PAUSED
    talk.redacting.roles.append(Role.AGENT)
    assert talk.state() is RecordingNow.RECORDING
    talk.pause(2 * SECOND)
    assert talk.redacting.pauses.cut(Role.AGENT).spans


def test_what_was_stopped_goes_on_and_an_opt_out_stays() -> None:
    talk = Talk()
    talk.ask(0, StopRecording(CALL, 0, Cause.NEVER_RECORD, reason="list"))
    assert talk.state() is RecordingNow.OFF
    assert talk.ask(5 * SECOND, StartRecording(CALL, 0)).outcome is Outcome.APPLIED
    assert talk.state() is RecordingNow.RECORDING
    talk.ask(10 * SECOND, StopRecording(CALL, 0, Cause.OPT_OUT, "t1", reach_back=True))
    assert talk.ask(11 * SECOND, StartRecording(CALL, 0)).outcome is Outcome.UNCHANGED
    assert talk.state() is RecordingNow.OFF
    talk.until(20 * SECOND)
    assert [(each.start, each.end) for each in talk.redactions()] == [(0, 40_800), (56_000, 160_000)]


def test_another_worker_goes_on_with_what_was_open() -> None:
    talk = Talk()
    talk.pause(10 * SECOND)
    talk.keys(11 * SECOND, TEST_CARD)
    standing = talk.status.open
    other = Talk(plan=replace(PLAN, redactions=standing), now=20 * SECOND)
    (status,) = other.redacting.status(START + 20 * SECOND, START + 20 * SECOND)
    assert isinstance(status, Status)
    assert status.state is RecordingNow.PAUSED
    assert [(each.cause, each.start, each.since_ns) for each in status.open] == [
        (each.cause, each.start, each.since_ns) for each in standing
    ]
    other.until(39 * SECOND)
    assert {each.cause for each in other.redacting.pauses.open} == {Cause.AGENT, Cause.CARD}
    other.until(41 * SECOND)
    assert {each.cause for each in other.redacting.pauses.open} == {Cause.AGENT}


def test_another_worker_keeps_nothing_of_what_had_ended_before() -> None:
    spoken = speech(SECONDS, 1)
    ended = Redaction(8000, 16_000, BOTH, "agent", "t1", "", "agent", "t2")
    played = play(sent(spoken, 0), plan=replace(PLAN, ended=(ended,)))
    assert played.finished.redactions == (ended,)
    there = kept(played, Role.EXTERNAL, spoken)
    assert not there[8000:16_000].any()
    assert there[:8000].all()
    assert there[16_000:].all()


def test_what_another_worker_may_have_committed_is_to_be_cut() -> None:
    asked = Pause(CALL, (), START + 1000 * MS, Cause.AGENT, request="r")
    played = play(
        sent(speech(SECONDS, 1), 0), plan=replace(PLAN, reached=12_000), commands=[(3 * SECOND, asked)]
    )
    (late,) = [event for event in played.events if isinstance(event, LateRedaction)]
    assert (late.start, late.end, late.legs) == (8000, 12_000, BOTH)
    assert Answered(
        CALL, "r", Outcome.LATE, "0.5 s that it covers were stored before, and are cut out of the recording"
    ) in (played.events)


def test_a_flood_of_pauses_takes_bounded_memory_and_uncovers_nothing() -> None:
    pauses = Pauses(START)
    asked: list[tuple[int, int]] = []
    for number in range(3 * MAX_ENDED):
        at = (number * 1000 + number % 7 * 100) * MS
        pauses.begin(OpenRedaction(Cause.AGENT, (), START + at, start=at * 8 // MS))
        pauses.end((Cause.AGENT, ()), START + at + 200 * MS, Cause.AGENT)
        asked.append((at * 8 // MS, at * 8 // MS + 2400))
    redactions = pauses.redactions(BOTH, 1 << 60, ended=False)
    assert len(redactions) == MAX_ENDED
    assert all(any(r.start <= start and stop <= r.end for r in redactions) for start, stop in asked)
    cut = pauses.cut(Role.AGENT)
    assert not cut.touches(np.array([0]), np.array([0])).any()
    assert all(cut.touches(np.array([start]), np.array([stop])).all() for start, stop in asked)


def test_markers_are_kept_once_each_and_not_without_end() -> None:
    talk = Talk()
    assert talk.ask(SECOND, Mark(CALL, 0, "told_caller", "t1")).outcome is Outcome.APPLIED
    assert talk.ask(SECOND, Mark(CALL, 0, "told_caller", "t1")).outcome is Outcome.UNCHANGED
    for number in range(1, MAX_MARKERS):
        talk.ask(SECOND + number * 100 * MS, Mark(CALL, 0, "abuse_reminder", "t1"))
    assert talk.ask(100 * SECOND, Mark(CALL, 0, "told_caller", "t1")).outcome is Outcome.REFUSED
    assert len(talk.redacting.markers) == MAX_MARKERS
    assert talk.redacting.markers[0].at == 8000


def test_a_pause_that_comes_late_covers_what_waits_and_tells_of_what_does_not() -> None:
    spoken = speech(SECONDS)
    asked = Pause(CALL, (), START + 4 * SECOND, Cause.AGENT, "t", reach_back=True, request="r")
    played = play(sent(spoken), commands=[(9 * SECOND, asked)])
    units = kept(played, Role.EXTERNAL, spoken)
    (late,) = [event for event in played.events if isinstance(event, LateRedaction)]
    assert (late.start, late.legs, late.cause) == (8000, (Role.EXTERNAL,), Cause.AGENT)
    assert units[: late.end].all()
    assert not units[late.end :].any()
    assert 3 * 8000 < late.end <= 4 * 8000  # of the five seconds that wait, no more than a slice is lost
    (answer,) = [event for event in played.events if isinstance(event, Answered)]
    assert answer.outcome is Outcome.LATE
    assert answer.why.startswith(f"{(late.end - late.start) / 8000:.1f} s")
    assert played.finished.redactions[0].start == 8000


@pytest.mark.parametrize("after", [-1 * MS, 2 * SECOND])
def test_a_pause_around_the_end_of_a_call_covers_what_is_held_back(after: int) -> None:
    spoken, at = speech(SECONDS), SECONDS * SECOND + after
    asked = Pause(CALL, (), START + at, Cause.AGENT, "t", reach_back=True, request="r")
    played = play(sent(spoken), commands=[(at, asked)], closed=SECONDS * SECOND)
    start = at * 8 // MS - LOOK_BACK
    units = kept(played, Role.EXTERNAL, spoken)
    assert units[:start].all()
    assert not units[start:].any()
    (redaction,) = played.finished.redactions
    assert (redaction.start, redaction.end, redaction.end_cause) == (start, UNITS, "ended")


def test_a_request_of_a_call_that_is_over_is_refused() -> None:
    asked = Pause(CALL, (), START, Cause.AGENT, "t", reach_back=True, request="r")
    engine = Engine(EngineSettings(2, SECOND, 60 * SECOND, 100 * MS), lambda count: bytes(count))
    (answer,) = engine.obey([asked], START)
    assert isinstance(answer, Answered)
    assert answer.outcome is Outcome.REFUSED


def test_redactions_and_markers_are_chapters_of_the_segment_they_lie_in() -> None:
    spoken = speech(SECONDS)
    commands: list[tuple[int, Command]] = [
        (2 * SECOND, Mark(CALL, START + 2 * SECOND, "told_caller", "t")),
        (5 * SECOND, Pause(CALL, (), START + 5 * SECOND, Cause.AGENT, "t", reach_back=True)),
        (6 * SECOND, Split(CALL, "s", PLAN.recording_id[:-1] + "9", bytes(32).hex(), START + 6 * SECOND)),
        (7 * SECOND, Resume(CALL, (), START + 7 * SECOND, Cause.AGENT, "t")),
        (8 * SECOND, Mark(CALL, START + 8 * SECOND, "abuse_reminder", "t")),
    ]
    played = play(sent(spoken), commands=commands)
    reader = container.read([played.plain()])
    list(reader.blocks())
    assert sorted(reader.chapters, key=lambda chapter: (chapter.start, chapter.end)) == [
        container.Chapter(16_000, 16_001, "marker: told_caller"),
        container.Chapter(16_000, 48_000, "redaction: agent"),
    ]
    assert [marker.kind for marker in played.finished.markers] == ["told_caller", "abuse_reminder"]
    (redaction,) = played.finished.redactions
    assert (redaction.start, redaction.end) == (16_000, 56_800)


def test_what_is_discarded_is_forgotten_at_once_and_never_written_on() -> None:
    spoken = speech(SECONDS)
    stop = StopRecording(CALL, START + 7 * SECOND, Cause.OPT_OUT, "t", discard=True, request="r")
    secret = [False]

    def look(now: int, engine: Engine) -> None:
        if now > START + 7 * SECOND + 200 * MS and engine.legs(CALL):
            rings = engine._table.ring(engine.legs(CALL)[0])
            waited = slice(0, rings.shape.cells)
            old = rings.arrival[waited] < START + 7 * SECOND - 100 * MS
            secret[0] |= bool(rings.payload[waited][old].any())

    played = play(sent(spoken), commands=[(7 * SECOND, stop)], before=look)
    assert not secret[0]
    last = [number for number, write in enumerate(played.writes) if write.last]
    assert last == [len(played.writes) - 1]
    assert played.writes[-1].data == b""
    (redaction,) = played.finished.redactions
    assert (redaction.start, redaction.cause) == (0, "opt_out")
    assert played.finished.next_part == 2


def keyed(digits: str, leg: int, start: int) -> list[Datagram]:
    """Telephone-events of 100 ms on a stream of their own leg, one press every 400 ms."""
    datagrams = []
    for place, key in enumerate(digits):
        at, code = start + place * 400 * MS, "0123456789*#".index(key)
        for number, ticks in enumerate((160, 480, 800)):
            data = struct.pack(">BBH", code, 0x8A if number == 2 else 0x0A, ticks)
            sequence, timestamp = 3000 + 3 * place + number, 5000 + at * 8 // MS
            datagrams.append(
                Datagram(at + number * 40 * MS, leg, rtp(sequence, timestamp, data, payload_type=101))
            )
    return datagrams


@pytest.mark.parametrize(("leg", "swapped", "obeyed"), [(1, False, True), (0, False, False), (0, True, True)])
def test_codes_are_the_agents_whose_leg_that_is(leg: int, swapped: bool, obeyed: bool) -> None:
    spoken = sent(speech(2), leg)
    played = play(
        spoken + keyed("*7", leg, 3 * SECOND), plan=replace(PLAN, swapped=swapped), closed=6 * SECOND
    )
    causes = [each.cause for each in played.finished.redactions]
    assert causes.count(Cause.DTMF) == 2
    assert (Cause.FEATURE_CODE in causes) is obeyed
    counts = [event for event in played.events if isinstance(event, Keyed)]
    assert sum(event.count for event in counts) == 2
    assert {event.way for event in counts} == {"rfc4733"}


def test_a_card_keyed_by_telephone_events_leaves_nothing_from_its_first_key_on() -> None:
    spoken = speech(SECONDS)
    played = play(sent(spoken)[:100] + keyed(TEST_CARD, 0, 2_100 * MS), closed=SECONDS * SECOND)
    (card,) = [each for each in played.finished.redactions if each.cause == Cause.CARD]
    assert card.legs == BOTH
    assert abs(card.start - 2_100 * 8) <= 40 * 8 + 160
    assert card.end == UNITS


def test_keys_told_by_signalling_are_acted_on_and_counted() -> None:
    press = [
        (SECOND + n * 300 * MS, Press(CALL, Role.AGENT, Digit(code), START + SECOND + n * 300 * MS, 100 * MS))
        for n, code in enumerate((10, 7))
    ]
    played = play(sent(speech(4)), commands=press)
    assert [each.cause for each in played.finished.redactions] == [Cause.FEATURE_CODE]
    assert [(e.way, e.count) for e in played.events if isinstance(e, Keyed)] in (
        [("info", 2)],
        [("info", 1), ("info", 1)],
    )
