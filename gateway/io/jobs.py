"""What the analyst process is asked and what it answers, each a line of JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.recording.model import Announcement, Direction, LegReport, Part, Redaction, Role, Speech


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One file to be read."""

    path: str
    recording_id: str
    key: str = field(repr=False)  # the data key, hexadecimal
    torn: bool
    swapped: bool = False  # its tracks are named by the other role each


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice to be recognised."""

    name: str
    samples: str  # at 8 kHz, 16 bits, little-endian, Base64


@dataclass(frozen=True, slots=True)
class Notices:
    """What a new analyst is told first, so that it searches for what was read when the gateway started."""

    references: tuple[Notice, ...] = ()
    share_percent: int = 100
    within_units: int = 0
    directions: tuple[Direction, ...] = ()  # of calls that need one


@dataclass(frozen=True, slots=True)
class Job:
    """One call to be measured."""

    parts: tuple[SealedPart, ...]
    legs: tuple[LegReport, ...]
    length_units: int
    redactions: tuple[Redaction, ...]
    speech: bool = True  # its figures are wanted
    notice: bool = False  # whether a notice was heard is wanted
    earlier: str = ""  # why the call has a beginning that its audio does not hold; empty where it has none

    @property
    def roles(self) -> tuple[Role, ...]:
        return tuple(leg.role for leg in self.legs)


@dataclass(frozen=True, slots=True)
class Measured:
    """A job's outcome."""

    speech: tuple[Speech, ...]
    problem: str  # why there are no figures; else empty
    announcement: Announcement | None = None
    cpu_ns: int = 0  # processor time that the process used since its last answer
    resident_bytes: int = 0  # of its memory, in use now


@dataclass(frozen=True, slots=True)
class Cutter:
    """What became of parts that were to be cut, in their order; None of one that held nothing."""

    parts: tuple[Part | None, ...]
    problem: str  # why they were not cut; else empty
    cpu_ns: int = 0  # processor time that the process used
