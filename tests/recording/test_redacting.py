"""What is asked of a call's recording, and who may: pauses, keys, codes, and the record of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from gateway.recording.messages import (
    Answered,
    Event,
    Extend,
    LateRedaction,
    Mark,
    Open,
    OpenRedaction,
    Outcome,
    Pause,
    RecordingNow,
    Resume,
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
from tests.recording.simulation import MS, PLAN, SECOND

BOTH = (Role.EXTERNAL, Role.AGENT)
START = PLAN.started_ns
CALL = PLAN.call_id
RULES = Rules(pause=PauseRule(600 * SECOND, 30 * SECOND, 300 * SECOND, 180 * SECOND))
TEST_CARD = "4111111111111111"


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
