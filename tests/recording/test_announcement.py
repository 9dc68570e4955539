"""What is said of a call, from what was heard in it and where there was nothing to hear."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.announcement import (
    Coverage,
    Demand,
    Found,
    Hidden,
    NoticeMeter,
    announcement,
    hidden_spans,
)
from gateway.recording.model import (
    UNITS_PER_SECOND,
    AnnouncementState,
    Cause,
    LegReport,
    Redaction,
    Role,
)
from gateway.recording.notice import Heard, Reference
from gateway.redaction.timeline import Span, Timeline
from tests.recording import noticed

S = UNITS_PER_SECOND
BOTH = (Role.EXTERNAL, Role.AGENT)
DEMAND = Demand(share_percent=80, within=60 * S)
LEGS = tuple(LegReport(role, "PCMA", packets=1000) for role in BOTH)
WHOLE = {role: Timeline((Span(0, 70 * S),)) for role in BOTH}
END = 70 * S


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference("welcome", noticed.notice())  # 8.6 s


def found(reference: Reference, share: float, start: float = 2, first: float = 0, last: float = 1) -> Found:
    return Found(reference, Role.AGENT, Heard(int(start * S), share, first, last))


def redacted(start: float, end: float, role: Role = Role.AGENT, cause: Cause = Cause.AGENT) -> Redaction:
    return Redaction(int(start * S), int(end * S), (role,), cause)


def hidden(*redactions: Redaction, covered: dict[Role, Timeline] = WHOLE) -> list[Hidden]:
    return list(hidden_spans(LEGS, redactions, covered, END))


def test_a_notice_heard_is_told_with_its_place(reference: Reference) -> None:
    told = announcement(found(reference, 0.8), [reference], hidden(), DEMAND)
    assert told.state is AnnouncementState.ANNOUNCED
    assert (told.notice, told.leg, told.at, told.share_percent) == ("welcome", Role.AGENT, 2 * S, 80)
    assert told.reason == ""


@pytest.mark.parametrize(
    ("share", "first", "last", "reason"),
    [
        (0.62, 0, 0.62, "heard to 62 %"),
        (0.62, 0.38, 1, "heard from 38 % to 100 %"),
        (0.5, 0, 1, "heard to 50 %, in pieces"),
        (0.799, 0, 0.8, "heard to 80 %"),
    ],
)
def test_one_cut_off_is_no_announcement(
    reference: Reference, share: float, first: float, last: float, reason: str
) -> None:
    told = announcement(found(reference, share, 2, first, last), [reference], hidden(), DEMAND)
    assert (told.state, told.reason) == (AnnouncementState.UNANNOUNCED, reason)
    assert told.share_percent == int(share * 100)


def test_none_at_all(reference: Reference) -> None:
    told = announcement(None, [reference], hidden(), DEMAND)
    assert (told.state, told.reason) == (AnnouncementState.UNANNOUNCED, "no notice was heard")
    assert (told.notice, told.leg, told.at) == ("", None, None)


@pytest.mark.parametrize(
    ("redaction", "state"),
    [
        (redacted(5, 15), AnnouncementState.NOT_MEASURED),
        (redacted(5, 15, Role.EXTERNAL), AnnouncementState.NOT_MEASURED),
        (redacted(5, 15, cause=Cause.SRC), AnnouncementState.NOT_MEASURED),
        (redacted(5, 15, cause=Cause.DTMF), AnnouncementState.UNANNOUNCED),  # keys do not sound for so long
        (redacted(5, 8), AnnouncementState.UNANNOUNCED),  # of a notice in there the rest were heard
        (redacted(61, 69), AnnouncementState.UNANNOUNCED),  # it would have begun too late
    ],
)
def test_a_redaction_may_hide_it(
    reference: Reference, redaction: Redaction, state: AnnouncementState
) -> None:
    told = announcement(None, [reference], hidden(redaction), DEMAND)
    assert told.state is state
    assert ("redacted" in told.reason) == (state is AnnouncementState.NOT_MEASURED)


def test_a_redaction_may_hide_the_rest_of_it(reference: Reference) -> None:
    partly = found(reference, 0.6, 2, 0, 0.6)
    rest = redacted(7, 11)
    assert announcement(partly, [reference], hidden(rest), DEMAND).state is AnnouncementState.NOT_MEASURED
    beside = redacted(12, 15)
    assert announcement(partly, [reference], hidden(beside), DEMAND).state is AnnouncementState.UNANNOUNCED
    whole = announcement(found(reference, 0.9), [reference], hidden(rest), DEMAND)
    assert whole.state is AnnouncementState.ANNOUNCED


def test_one_that_began_before_the_recording_is_not_measured(reference: Reference) -> None:
    told = announcement(found(reference, 0.7, -2.6, 0.3, 1), [reference], hidden(), DEMAND)
    assert told.state is AnnouncementState.NOT_MEASURED
    assert told.reason == "the notice began before the recording"
    cut_too = announcement(found(reference, 0.4, -2.6, 0.3, 0.7), [reference], hidden(), DEMAND)
    assert cut_too.state is AnnouncementState.UNANNOUNCED


def test_a_call_that_had_begun_before_may_have_been_announced_then(reference: Reference) -> None:
    before = list(hidden_spans(LEGS, (), WHOLE, END, "it had begun before"))
    told = announcement(None, [reference], before, DEMAND)
    assert (told.state, told.reason) == (AnnouncementState.NOT_MEASURED, "it had begun before")
    rest = announcement(found(reference, 0.7, -2.6, 0.3, 1), [reference], before, DEMAND)
    assert (rest.state, rest.reason) == (AnnouncementState.NOT_MEASURED, "it had begun before")
    cut_off = announcement(found(reference, 0.6, 2, 0, 0.6), [reference], before, DEMAND)
    assert cut_off.state is AnnouncementState.UNANNOUNCED


def test_audio_that_is_missing_on_all_legs_may_hide_it(reference: Reference) -> None:
    late = {role: Timeline((Span(9 * S, 70 * S),)) for role in BOTH}
    told = announcement(None, [reference], hidden(covered=late), DEMAND)
    assert told.state is AnnouncementState.NOT_MEASURED
    assert told.reason == "audio of the beginning is missing"


def test_a_leg_that_sends_nothing_while_another_speaks_hides_nothing(reference: Reference) -> None:
    quiet = WHOLE | {Role.AGENT: Timeline((Span(20 * S, 70 * S),))}
    assert announcement(None, [reference], hidden(covered=quiet), DEMAND).reason == "no notice was heard"


def test_a_leg_without_any_audio_may_hide_it(reference: Reference) -> None:
    told = announcement(None, [reference], hidden(covered={Role.EXTERNAL: WHOLE[Role.EXTERNAL]}), DEMAND)
    assert told.state is AnnouncementState.NOT_MEASURED
    assert told.reason == "there is no audio of the agent leg's beginning"


def test_a_leg_that_lost_too_much_may_hide_it(reference: Reference) -> None:
    legs = (LEGS[0], LegReport(Role.AGENT, "PCMA", packets=600, lost=400))
    told = announcement(None, [reference], hidden_spans(legs, (), WHOLE, END), DEMAND)
    assert told.state is AnnouncementState.NOT_MEASURED
    assert told.reason == "more than 30 % of the agent leg's packets are lost"


def test_a_call_too_short_for_a_notice_has_none(reference: Reference) -> None:
    spans = hidden_spans(LEGS, (), {Role.EXTERNAL: Timeline((Span(0, 3 * S),))}, 3 * S)
    assert announcement(None, [reference], list(spans), DEMAND).state is AnnouncementState.UNANNOUNCED


def test_a_call_of_no_length(reference: Reference) -> None:
    spans = hidden_spans(LEGS, (), {}, 0)
    assert announcement(None, [reference], list(spans), DEMAND).state is AnnouncementState.UNANNOUNCED


@pytest.mark.parametrize("role", BOTH)
def test_either_leg_may_carry_any_notice(reference: Reference, role: Role) -> None:
    other = Reference("holiday", noticed.others()[0])
    meter = NoticeMeter([other, reference], BOTH, DEMAND)
    call = np.concatenate((noticed.silence(3), noticed.notice(), noticed.silence(5)))
    both = np.zeros((len(call), 2), np.int16)
    both[:, BOTH.index(role)] = call
    for at in range(0, len(both), 10 * S):
        meter.take(both[at : at + 10 * S])
    heard = meter.result()
    assert heard
    assert (heard.reference.name, heard.leg) == ("welcome", role)
    assert abs(heard.heard.start - 3 * S) < S // 50


def test_no_more_is_kept_than_can_matter(reference: Reference) -> None:
    meter = NoticeMeter([reference], BOTH, DEMAND)
    hour = np.ones((10 * S, 2), np.int16)
    for _ in range(12):
        meter.take(hour)
    assert not meter.wants_more
    assert 68 * S < meter.span < 72 * S


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 50)), max_size=30))
def test_coverage_is_what_was_added(pieces: list[tuple[int, int]]) -> None:
    coverage = Coverage(300)
    for start, length in pieces:
        coverage.add(Role.AGENT, start, start + length)
    spans = coverage.result().get(Role.AGENT, Timeline()).spans
    added = {at for start, length in pieces if start < 300 for at in range(start, start + length)}
    assert {at for span in spans for at in range(span.start, span.stop)} == added
