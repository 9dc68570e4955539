"""Facts about calls, shared by the engine, the registry, the storage and the command line.

Call times are integers in units of 1/8000 s (125 us) from the start of the call, the call clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

UNITS_PER_SECOND = 8000
UNIT_NS = 125_000
MIDWAY = "the call had begun before it was first heard of"  # a note
RUNNING = "being recorded"  # the reason of a call of which there is nothing else to say yet


class Personal(str):
    """Text about a person (number, name, extension); prints as redacted, compares as text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "REDACTED"

    def __str__(self) -> str:
        return "REDACTED"

    def __format__(self, spec: str) -> str:
        return format("REDACTED", spec)

    def reveal(self) -> str:
        """The plain text, for sealing, matching and showing to a person who may see it."""
        return str.__str__(self)


class Role(StrEnum):
    EXTERNAL = "external"
    AGENT = "agent"

    __hash__ = str.__hash__  # Enum's own is a Python function; roles are keys on the media path

    @property
    def other(self) -> Role:
        return Role.AGENT if self is Role.EXTERNAL else Role.EXTERNAL


class Direction(StrEnum):
    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"
    UNKNOWN = "unknown"


class CallState(StrEnum):
    RECORDING = "recording"
    RECORDED = "recorded"
    PARTIAL = "partial"
    NOT_RECORDED = "not_recorded"


class RecordingState(StrEnum):
    RECORDING = "recording"  # being written
    COMPLETE = "complete"  # every part ends with its last-segment mark
    RECOVERED = "recovered"  # at least one part was torn by a crash; its authentic prefix is kept


@dataclass(frozen=True, slots=True)
class Participant:
    role: Role
    number: Personal | None = None
    name: Personal | None = None
    extension: Personal | None = None
    segments: tuple[int, ...] = (1,)  # numbers of those this party took part in


@dataclass(frozen=True, slots=True)
class LegReport:
    """What arrived on one leg so far."""

    role: Role
    codec: str  # the codec last received, by its RTP name: PCMA, PCMU
    packets: int = 0  # distinct media packets received
    lost: int = 0  # sequence numbers passed over and never received
    late: int = 0  # packets that came after their place was committed
    duplicated: int = 0
    media_units: int = 0  # length of the audio received, in units of the call clock


@dataclass(frozen=True, slots=True)
class Speech:
    """How much of a call one party talked. Talk and silence together are as long as the call, to the frame."""

    role: Role
    talk_ms: int
    silence_ms: int  # redacted and missing audio included
    overtalk_ms: int  # of the talk, while the other party talked too


class AnnouncementState(StrEnum):
    ANNOUNCED = "announced"  # as much of a notice was heard as must be, early enough
    UNANNOUNCED = "unannounced"
    NOT_MEASURED = "not_measured"  # nobody can tell: audio that could hold it is not there


@dataclass(frozen=True, slots=True)
class Announcement:
    """Whether the practice's notice that the call is recorded was heard in it."""

    state: AnnouncementState
    notice: str = ""  # the name of the reference that was heard, in part at least
    leg: Role | None = None  # that it was heard on
    at: int | None = (
        None  # where the whole notice begins, call units; negative where it began before the call's start
    )
    share_percent: int = 0  # of the notice, as was heard
    reason: str = ""  # what was amiss; empty when announced


class Wish(StrEnum):
    """What a recording client asks for a call: that it be recorded, or not."""

    ON = "on"
    OFF = "off"


class Cause(StrEnum):
    """Why a redaction begins or ends."""

    DTMF = "dtmf"  # a key that sounds
    SRC = "src"  # the recording client pauses, or asks that nothing be recorded
    AGENT = "agent"  # by a button, an action URL, a hotkey
    FEATURE_CODE = "feature_code"  # keys pressed on the agent's telephone
    CARD = "card"  # the card rule
    OPT_OUT = "opt_out"  # the call, or the rest of it, is not to be recorded
    NEVER_RECORD = "never_record"  # an extension or a number that is never recorded
    QUIET = "quiet"  # no key for a while: the card rule's end
    CEILING = "ceiling"  # the longest that a pause may last
    ENDED = "ended"  # the call was over


@dataclass(frozen=True, slots=True)
class Redaction:
    """An interval of the call clock in which nothing of the named legs is kept."""

    start: int
    end: int
    legs: tuple[Role, ...]
    cause: str  # a Cause, as text
    actor: str | None = None  # the id of an agent's token
    reason: str = ""  # a code of the policy's, where it wants one
    end_cause: str = ""  # why it ended; empty for tones, and while it is open
    end_actor: str | None = None


@dataclass(frozen=True, slots=True)
class Marker:
    """Something a person noted at a moment of the call."""

    at: int  # call units
    kind: str  # told_caller, abuse_reminder, decision_read_back
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed file of a recording."""

    number: int
    bytes: int
    sha256: str  # of the ciphertext, hexadecimal
    torn: bool = False  # ends without its last-segment mark, as a crash left it


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """One segment's stored audio."""

    id: str
    segment_id: str
    state: RecordingState
    parts: tuple[Part, ...] = ()
    segment: int = 1  # its number in the call, from 1
    start: int = 0  # where the segment begins, in units of the call clock
    swapped: bool = False  # the roles by which its tracks are named turned out to be the wrong way round


@dataclass(frozen=True, slots=True)
class Destroyed:
    """A recording that was destroyed, or is to be: what its files were, and whether its key is gone."""

    recording_id: str
    parts: tuple[Part, ...] = ()
    key_destroyed: bool = False


@dataclass(frozen=True, slots=True)
class Discard:
    """Nothing of a call is kept, not even what was recorded before that was known. Times are UTC, ns since 1970."""

    asked_ns: int
    cause: str  # a Cause, as text
    actor: str | None = None
    reason: str = ""  # a code of the policy's
    recordings: tuple[Destroyed, ...] = ()
    done_ns: int | None = None  # when nothing was left; None: not yet


@dataclass(frozen=True, slots=True)
class Cut:
    """Audio that was stored before it was known that it must not be kept, and is cut out of its recordings."""

    start: int  # call units
    end: int
    legs: tuple[Role, ...]
    cause: str  # a Cause, as text
    known_ns: int  # UTC, ns since 1970
    done_ns: int | None = None  # likewise; None: pending


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A recording that was written anew without what was cut, under another id and key; the old one is destroyed."""

    old_id: str
    new_id: str
    at_ns: int  # UTC, ns since 1970
    before: tuple[Part, ...]
    after: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class CallFacts:
    """Everything known of one call. `participants` is personal: sealed wherever it is stored."""

    id: str
    state: CallState
    reason: str  # why the call is in this state, one sentence without personal data
    started_ns: int  # UTC, nanoseconds since 1970
    ended_ns: int | None
    direction: Direction
    participants: tuple[Participant, ...] = ()
    legs: tuple[LegReport, ...] = ()
    redactions: tuple[Redaction, ...] = ()
    recordings: tuple[RecordingFacts, ...] = ()
    notes: tuple[str, ...] = ()  # what was not understood or went wrong; no personal data
    speech: tuple[Speech, ...] = ()  # by leg; empty until it is measured after the end, or where it was not
    markers: tuple[Marker, ...] = ()
    follows: str | None = None  # the call before it of the same group, where it was too late to be one call
    discard: Discard | None = None
    cuts: tuple[Cut, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    announcement: Announcement | None = None  # None: not searched for, or not yet
