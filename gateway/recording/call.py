"""A call's life as the control process knows it: what was planned, what came, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TypeVar

from gateway.recording.assurance import Why, chief
from gateway.recording.counts import Change, LegCounts, since
from gateway.recording.messages import CallReport, Finished, LegPlan, Open, OpenRedaction, SegmentEnded
from gateway.recording.model import (
    RUNNING,
    UNIT_NS,
    UNITS_PER_SECOND,
    CallFacts,
    CallState,
    Cause,
    Cut,
    Direction,
    Discard,
    LegReport,
    Marker,
    Part,
    Participant,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
)
from gateway.recording.policy import DISCARDED, unrecorded, with_cuts

Spans = TypeVar("Spans", Redaction, Cut)
MAX_NOTES = 64  # kept of a call; a client that sends nonsense for hours fills no disk
MAX_CUTS = 256  # likewise; of pauses that come too late beyond, the latest two are one, and what lies between goes, too


class Phase(Enum):
    RECORDING = auto()
    CLOSING = auto()  # ended by either side; the last audio waits in the hold-back
    DRAINED = auto()  # everything is committed; its parts become durable
    SETTLED = auto()  # nothing more will come


class Step(Enum):
    HANG_UP, DRAIN, SETTLE = auto(), auto(), auto()


MOVES: dict[Phase, dict[Step, Phase]] = {
    Phase.RECORDING: {Step.HANG_UP: Phase.CLOSING},
    Phase.CLOSING: {Step.DRAIN: Phase.DRAINED},
    Phase.DRAINED: {Step.SETTLE: Phase.SETTLED},
    Phase.SETTLED: {},
}


@dataclass(frozen=True, slots=True)
class Opening:
    """What is known of a call when it begins to be recorded."""

    call_id: str
    segment_id: str
    recording_id: str
    started_ns: int  # monotonic
    started_utc_ns: int
    direction: Direction
    participants: tuple[Participant, ...]
    legs: tuple[LegPlan, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Segment:
    """A part of the call, and the recording of its audio."""

    number: int  # from 1
    segment_id: str
    recording_id: str
    start: int  # call units
    participants: tuple[Participant, ...]
    next_part: int = 1
    parts: dict[int, Part] = field(default_factory=dict)
    torn: set[int] = field(default_factory=set)  # parts that no worker will end
    counted: tuple[LegReport, ...] | None = None  # of the call up to its end, once it has ended

    def unfinished(self) -> list[int]:
        """Parts begun of which it is not known how they ended."""
        return [number for number in range(1, self.next_part) if number not in self.parts]


class Call:
    """Gathers what happens to one call; `facts` is what there is to say of it at any time."""

    def __init__(self, opening: Opening, held: bool = False) -> None:
        self.opening = opening
        self.held = held  # the client says that no media will come for now
        self.phase = Phase.RECORDING
        self.legs = opening.legs
        self.direction = opening.direction
        self.swapped = False  # whether the roles of `legs` turned out to be the wrong way round
        self.follows: str | None = None
        self.stopped: OpenRedaction | None = None  # why nothing more of it is to be recorded, now
        self.segments = [Segment(1, opening.segment_id, opening.recording_id, 0, opening.participants)]
        self._notes = list(opening.notes)[:MAX_NOTES]
        self._problems: dict[str, Why] = {}  # sentences why it is recorded in part only
        self._cause = ""
        self._ended_ns: int | None = None  # UTC
        self._counts = LegCounts(opening.legs)
        self._masked: tuple[Redaction, ...] = ()  # under workers that died
        self._redactions: tuple[Redaction, ...] = ()
        self.discard: Discard | None = None  # nothing of it is kept
        self._cuts: list[Cut] = []  # by the roles of `legs`
        self._noted: tuple[Marker, ...] = ()  # under workers that died
        self._markers: tuple[Marker, ...] = ()

    @property
    def id(self) -> str:
        return self.opening.call_id

    @property
    def segment(self) -> Segment:
        """The present one."""
        return self.segments[-1]

    @property
    def participants(self) -> tuple[Participant, ...]:
        """Everybody, each with the segments they took part in."""
        people: dict[Participant, tuple[int, ...]] = {}
        for segment in self.segments:
            for person in segment.participants:
                key = replace(person, segments=())
                people[key] = (*people.get(key, ()), segment.number)
        return tuple(replace(person, segments=numbers) for person, numbers in people.items())

    def plan(self, key: str, folder: str) -> Open:
        """What a worker is told to record it, or to go on with it."""
        opening, segment = self.opening, self.segment
        return Open(
            call_id=opening.call_id,
            segment_id=segment.segment_id,
            recording_id=segment.recording_id,
            key=key,
            folder=folder,
            started_ns=opening.started_ns,
            started_utc_ns=opening.started_utc_ns,
            legs=self.legs,
            part=segment.next_part,
            segment_start=segment.start,
            held=self.held,
            swapped=self.swapped,
        )

    def join(self, leg: LegPlan) -> None:
        """Another leg is recorded from now on."""
        self.legs = (*self.legs, leg)
        self._counts.join(leg)

    def split(
        self, segment_id: str, recording_id: str, at_ns: int, participants: tuple[Participant, ...]
    ) -> None:
        """A new segment begins at a monotonic time."""
        start = max(self.segment.start, (at_ns - self.opening.started_ns) // UNIT_NS)
        number = self.segment.number + 1
        self.segments.append(Segment(number, segment_id, recording_id, start, participants))

    def note(self, notes: Iterable[str]) -> None:
        self._notes += [note for note in notes if note not in self._notes][: MAX_NOTES - len(self._notes)]

    def problem(self, text: str, why: Why) -> None:
        """Something is missing from the recording, and why."""
        if text not in self._problems:
            self._problems[text] = why

    def hang_up(self, cause: str, ended_ns: int) -> bool:
        """The call ended at a UTC time; False when it had ended already."""
        if not self._move(Step.HANG_UP):
            return False
        self._cause, self._ended_ns = cause, ended_ns
        return True

    def report(self, report: CallReport | Finished) -> list[Change]:
        """How the legs stand; gives each leg's report before and now."""
        self._redactions = (*self._masked, *report.redactions)
        self._markers = tuple(dict.fromkeys((*self._noted, *report.markers)))
        return self._counts.report(report.legs)

    def count(self, counts: Iterable[Sequence[int]]) -> list[Change]:
        """As `report` when nothing but the numbers of its legs, in their order, has changed."""
        return self._counts.count((leg.role for leg in self.legs), counts)

    def late(self, cut: Cut) -> None:
        """Something was stored that must not be kept: it is to be cut from the recording."""
        if any((cut.start, cut.end, cut.legs) == (each.start, each.end, each.legs) for each in self._cuts):
            return
        if len(self._cuts) == MAX_CUTS:
            last = self._cuts.pop()
            start, end = min(last.start, cut.start), max(last.end, cut.end)
            cut = replace(cut, start=start, end=end, legs=tuple(dict.fromkeys((*last.legs, *cut.legs))))
        self._cuts.append(cut)

    def end_segment(self, ended: SegmentEnded) -> None:
        """A segment that is not the present one is wholly committed."""
        if segment := self._segment(ended.recording_id):
            segment.next_part = ended.next_part
            segment.counted = self._counts.totals(ended.legs)

    def drain(self, finished: Finished) -> None:
        self._move(Step.DRAIN)
        self.segment.next_part = finished.next_part

    def worker_lost(self, next_parts: Mapping[str, int], at_ns: int) -> None:
        """The worker died at a monotonic time; another goes on with the present recording's next part."""
        seconds = (at_ns - self.opening.started_ns) / UNIT_NS / UNITS_PER_SECOND
        self.problem(
            f"the media worker was lost {seconds:.1f} s into the call and replaced; what it still held back is missing",
            Why.WORKER,
        )
        self._counts.worker_lost()
        # The next worker tells of pauses again: of those that last from their beginning, of those that ended as told.
        self._masked = tuple(each for each in self._redactions if each.cause == Cause.DTMF)
        self._noted = self._markers
        for segment in self.segments:
            next_part = next_parts[segment.recording_id]
            segment.torn |= set(range(segment.next_part, next_part)) | set(segment.unfinished())
            segment.next_part = max(segment.next_part, next_part)
            if segment is not self.segment:
                segment.counted = segment.counted or self._counts.reports()

    def ended_pauses(self) -> tuple[Redaction, ...]:
        """Those that a worker said have ended."""
        return tuple(each for each in self._redactions if each.end_cause and each.cause != Cause.DTMF)

    def end_part(self, recording_id: str, part: Part) -> None:
        if segment := self._segment(recording_id):
            segment.parts[part.number] = part

    def tear(self, recording_id: str, number: int) -> None:
        """A part that cannot be written on stays as it is."""
        if segment := self._segment(recording_id):
            segment.torn.add(number)

    def unfinished_parts(self) -> list[tuple[str, int]]:
        """Recording and number of parts begun of which it is not known how they ended."""
        return [
            (segment.recording_id, number) for segment in self.segments for number in segment.unfinished()
        ]

    def awaited_parts(self) -> list[tuple[str, int]]:
        """Parts that a worker is still to end."""
        return [
            (segment.recording_id, number)
            for segment in self.segments
            for number in segment.unfinished()
            if number not in segment.torn
        ]

    def settle(self) -> None:
        """Nothing of the call is outstanding. A leg on which nothing came is a part that is missing."""
        self._move(Step.SETTLE)
        silent = [leg.role.value for leg in self.leg_reports() if not leg.packets]
        if silent and len(silent) < len(self._counts):
            self.problem(f"no audio came from the {silent[0]} party", Why.ONE_LEG)

    def leg_reports(self) -> tuple[LegReport, ...]:
        return self._by_voice(self._counts.reports())

    def facts(self) -> CallFacts:
        opening = self.opening
        state, reason = self._verdict()
        return CallFacts(
            id=opening.call_id,
            state=state,
            reason=reason,
            started_ns=opening.started_utc_ns,
            ended_ns=self._ended_ns if self.phase is Phase.SETTLED else None,
            direction=self.direction,
            participants=self.participants,
            legs=self.leg_reports(),
            redactions=self._voiced(with_cuts(self._redactions, self._cuts)),
            recordings=() if state is CallState.NOT_RECORDED else tuple(map(self.recording, self.recorded())),
            notes=tuple(self._notes),
            markers=self._markers,
            follows=self.follows,
            discard=self.discard,
            cuts=() if self.discard else self._voiced(tuple(self._cuts)),
        )

    def recorded(self) -> list[Segment]:
        """The segments that have audio, or may yet have."""
        if self.discard:
            return []
        return [segment for segment in self.segments if segment.parts or self.phase is not Phase.SETTLED]

    def recording(self, segment: Segment) -> RecordingFacts:
        state, parts = (
            RecordingState.RECORDING,
            tuple(segment.parts[number] for number in sorted(segment.parts)),
        )
        if self.phase is Phase.SETTLED:
            torn = any(part.torn for part in parts)
            state = RecordingState.RECOVERED if torn else RecordingState.COMPLETE
        return RecordingFacts(
            segment.recording_id,
            segment.segment_id,
            state,
            parts if self.phase is Phase.SETTLED else (),
            segment.number,
            segment.start,
            self.swapped,
        )

    def of_segment(self, segment: Segment, facts: CallFacts) -> CallFacts:
        """The facts with the counts and redactions of one segment alone, for its manifest."""
        later = self.segments[segment.number :]
        before = self.segments[segment.number - 2].counted if segment.number > 1 else None
        legs = since(segment.counted or self._counts.reports(), before or ())
        redactions = tuple(
            redaction
            for redaction in facts.redactions
            if redaction.end > segment.start and (not later or redaction.start < later[0].start)
        )
        return replace(facts, legs=self._by_voice(legs), redactions=redactions)

    def _segment(self, recording_id: str) -> Segment | None:
        return next((each for each in self.segments if each.recording_id == recording_id), None)

    def _by_voice(self, legs: Iterable[LegReport]) -> tuple[LegReport, ...]:
        if not self.swapped:
            return tuple(legs)
        return tuple(sorted((replace(leg, role=leg.role.other) for leg in legs), key=_external_first))

    def _voiced(self, spans: tuple[Spans, ...]) -> tuple[Spans, ...]:
        if not self.swapped:
            return spans
        return tuple(replace(each, legs=tuple(role.other for role in each.legs)) for each in spans)

    def why(self) -> Why:
        """The class of what a call that ended other than recorded lacks."""
        found = set(self._problems.values())
        stops = self.discard or unrecorded(self._redactions, self.stopped, self.opening.started_ns)
        if not (stops or self._paused_whole or any(segment.parts for segment in self.segments)):
            found.add(Why.NO_MEDIA)
        return chief(found)

    @property
    def _paused_whole(self) -> bool:
        """Of a call of which nothing is stored: whether audio came, and was left out."""
        pauses = any(each.cause != Cause.DTMF for each in self._redactions)
        return pauses and any(leg.packets for leg in self.leg_reports())

    def _verdict(self) -> tuple[CallState, str]:
        stops = unrecorded(self._redactions, self.stopped, self.opening.started_ns)
        if self.discard:
            state = CallState.NOT_RECORDED if self.phase is Phase.SETTLED else CallState.RECORDING
            return state, "; ".join([*stops, DISCARDED])
        if self.phase is not Phase.SETTLED:
            return CallState.RECORDING, "; ".join(stops) or RUNNING
        if not any(segment.parts for segment in self.segments):
            nothing = "all of its audio was paused" if self._paused_whole else "no audio came"
            why = stops or [nothing, self._cause]
            return CallState.NOT_RECORDED, "; ".join(dict.fromkeys([*why, *self._problems]))
        if stops or self._problems:
            return CallState.PARTIAL, "; ".join([*stops, *self._problems])
        return CallState.RECORDED, self._cause

    def _move(self, step: Step) -> bool:
        legal = step in MOVES[self.phase]
        if legal:
            self.phase = MOVES[self.phase][step]
        return legal


def refused(opening: Opening, reason: str) -> CallFacts:
    """What there is to say of a call that was not taken."""
    return CallFacts(
        id=opening.call_id,
        state=CallState.NOT_RECORDED,
        reason=reason,
        started_ns=opening.started_utc_ns,
        ended_ns=opening.started_utc_ns,
        direction=opening.direction,
        participants=opening.participants,
        notes=opening.notes[:MAX_NOTES],
    )


def _external_first(leg: LegReport) -> bool:
    return leg.role is not Role.EXTERNAL
