"""What is asked of a call while it is recorded: state told, audio kept and record agree, by rules of their own."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import (
    Answered,
    Command,
    Extend,
    Keyed,
    LateRedaction,
    Mark,
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
from gateway.recording.redacting import Asked
from gateway.redaction.digit import Digit
from gateway.storage import container
from tests.recording.simulation import MS, PLAN, SECOND, Datagram, Played, play, rtp, sent, speech

BOTH = (Role.EXTERNAL, Role.AGENT)
START = PLAN.started_ns
CALL = PLAN.call_id
LOOK_BACK, GUARD = 3 * 8000, 800
SECONDS = 10
UNITS = SECONDS * 8000

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
    played = play(sent(spoken)[:100] + keyed("4111111111111111", 0, 2_100 * MS), closed=SECONDS * SECOND)
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
