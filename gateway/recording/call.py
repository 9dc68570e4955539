"""A call's life as the control process knows it: what was planned, what came, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, auto

from gateway.recording.messages import CallReport, Finished, LegPlan, Open
from gateway.recording.model import (
    UNIT_NS,
    UNITS_PER_SECOND,
    CallFacts,
    CallState,
    Direction,
    LegReport,
    Part,
    Participant,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
)

MAX_NOTES = 64  # kept of a call; a client that sends nonsense for hours fills no disk


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


class Call:
    """Gathers what happens to one call; `facts` is what there is to say of it at any time."""

    def __init__(self, opening: Opening, held: bool = False) -> None:
        self.opening = opening
        self.held = held  # the client says that no media will come for now
        self.phase = Phase.RECORDING
        self.legs = opening.legs
        self.direction = opening.direction
        self.participants = opening.participants
        self.next_part = 1
        self._notes = list(opening.notes)[:MAX_NOTES]
        self._problems: list[str] = []  # why it is recorded in part only
        self._cause = ""
        self._ended_ns: int | None = None  # UTC
        self._earlier: dict[Role, LegReport] = {}  # of workers that died
        self._legs: dict[Role, LegReport] = {
            leg.role: LegReport(leg.role, leg.formats[0].name) for leg in opening.legs
        }
        self._masked: tuple[Redaction, ...] = ()  # under workers that died
        self._redactions: tuple[Redaction, ...] = ()
        self._parts: dict[int, Part] = {}
        self._torn: set[int] = set()  # parts that no worker will end

    @property
    def id(self) -> str:
        return self.opening.call_id

    def plan(self, key: str, folder: str) -> Open:
        """What a worker is told to record it, or to go on with it."""
        opening = self.opening
        return Open(
            call_id=opening.call_id,
            segment_id=opening.segment_id,
            recording_id=opening.recording_id,
            key=key,
            folder=folder,
            started_ns=opening.started_ns,
            started_utc_ns=opening.started_utc_ns,
            legs=self.legs,
            part=self.next_part,
            held=self.held,
        )

    def note(self, notes: Iterable[str]) -> None:
        self._notes += [note for note in notes if note not in self._notes][: MAX_NOTES - len(self._notes)]

    def problem(self, text: str) -> None:
        """Something is missing from the recording, and why."""
        if text not in self._problems:
            self._problems.append(text)

    def hang_up(self, cause: str, ended_ns: int) -> bool:
        """The call ended at a UTC time; False when it had ended already."""
        if not self._move(Step.HANG_UP):
            return False
        self._cause, self._ended_ns = cause, ended_ns
        return True

    def report(self, report: CallReport | Finished) -> list[tuple[LegReport, LegReport]]:
        """How the legs stand; gives each leg's report before and now."""
        changes = []
        for leg in report.legs:
            total = _sum(self._earlier[leg.role], leg) if leg.role in self._earlier else leg
            changes.append((self._legs[leg.role], total))
            self._legs[leg.role] = total
        self._redactions = (*self._masked, *report.redactions)
        return changes

    def drain(self, finished: Finished) -> None:
        self._move(Step.DRAIN)
        self.next_part = finished.next_part

    def worker_lost(self, next_part: int, at_ns: int) -> None:
        """The worker died at a monotonic time; another goes on with part `next_part`."""
        seconds = (at_ns - self.opening.started_ns) / UNIT_NS / UNITS_PER_SECOND
        self.problem(
            f"the media worker was lost {seconds:.1f} s into the call and replaced; what it still held back is missing"
        )
        self._earlier = dict(self._legs)
        self._masked = self._redactions
        self._torn |= set(range(self.next_part, next_part))
        self.next_part = next_part

    def end_part(self, part: Part) -> None:
        self._parts[part.number] = part

    def tear(self, number: int) -> None:
        """A part that cannot be written on stays as it is."""
        self._torn.add(number)

    def unfinished_parts(self) -> list[int]:
        """Parts begun of which it is not known how they ended."""
        return [number for number in range(1, self.next_part) if number not in self._parts]

    def awaited_parts(self) -> list[int]:
        """Parts that a worker is still to end."""
        return [number for number in self.unfinished_parts() if number not in self._torn]

    def settle(self) -> None:
        """Nothing of the call is outstanding. A leg on which nothing came is a part that is missing."""
        self._move(Step.SETTLE)
        silent = [leg.role.value for leg in self._legs.values() if not leg.packets]
        if silent and len(silent) < len(self._legs):
            self.problem(f"no audio came from the {silent[0]} party")

    def leg_reports(self) -> tuple[LegReport, ...]:
        return tuple(self._legs.values())

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
            redactions=self._redactions,
            recordings=() if state is CallState.NOT_RECORDED else (self.recording(),),
            notes=tuple(self._notes),
        )

    def recording(self) -> RecordingFacts:
        opening = self.opening
        parts = tuple(self._parts[number] for number in sorted(self._parts))
        if self.phase is not Phase.SETTLED:
            return RecordingFacts(opening.recording_id, opening.segment_id, RecordingState.RECORDING)
        torn = any(part.torn for part in parts)
        state = RecordingState.RECOVERED if torn else RecordingState.COMPLETE
        return RecordingFacts(opening.recording_id, opening.segment_id, state, parts)

    def _verdict(self) -> tuple[CallState, str]:
        if self.phase is not Phase.SETTLED:
            return CallState.RECORDING, "being recorded"
        if not self._parts:
            return CallState.NOT_RECORDED, "; ".join(
                dict.fromkeys(["no audio came", self._cause, *self._problems])
            )
        if self._problems:
            return CallState.PARTIAL, "; ".join(self._problems)
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


def _sum(earlier: LegReport, later: LegReport) -> LegReport:
    return replace(
        later,
        packets=earlier.packets + later.packets,
        lost=earlier.lost + later.lost,
        late=earlier.late + later.late,
        duplicated=earlier.duplicated + later.duplicated,
        media_units=earlier.media_units + later.media_units,
    )
