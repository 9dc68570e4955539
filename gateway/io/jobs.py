"""What the analyst process is asked and what it answers, each a line of JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.recording.model import Part, Redaction, Role, Speech


@dataclass(frozen=True, slots=True)
class SealedPart:
    """One file to be read."""

    path: str
    recording_id: str
    key: str = field(repr=False)  # the data key, hexadecimal
    torn: bool
    swapped: bool = False  # its tracks are named by the other role each


@dataclass(frozen=True, slots=True)
class Job:
    """One call to be measured."""

    parts: tuple[SealedPart, ...]
    legs: tuple[Role, ...]
    length_units: int
    redactions: tuple[Redaction, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """A job's outcome."""

    speech: tuple[Speech, ...]
    problem: str  # why there are no figures; else empty
    cpu_ns: int = 0  # processor time that the process used since its last answer
    resident_bytes: int = 0  # of its memory, in use now


@dataclass(frozen=True, slots=True)
class Cutter:
    """What became of parts that were to be cut, in their order; None of one that held nothing."""

    parts: tuple[Part | None, ...]
    problem: str  # why they were not cut; else empty
    cpu_ns: int = 0  # processor time that the process used
