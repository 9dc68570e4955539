"""What the control process asks of the engine, and what the engine tells it.

Monotonic times are ns and the same for both sides; call times are units of the call clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.recording.model import LegReport, Redaction, Role


@dataclass(frozen=True, slots=True)
class PayloadFormat:
    """What one RTP payload type carries."""

    payload_type: int
    name: str  # RTP encoding name
    clock_rate: int  # Hz
    channels: int = 1
    parameters: str = ""  # of the fmtp


@dataclass(frozen=True, slots=True)
class SrtpKey:
    """A master key of a leg that carries SRTP, as in gateway.rtp.suites, in hexadecimal."""

    suite: str
    secret: str = field(repr=False)
    mki: str = ""


@dataclass(frozen=True, slots=True)
class LegPlan:
    """One leg as negotiated."""

    role: Role
    formats: tuple[PayloadFormat, ...]  # in order of preference
    events: tuple[int, ...] = ()  # payload types of telephone-event (RFC 4733)
    keys: tuple[SrtpKey, ...] = ()  # none: plain RTP
    event_rates: tuple[int, ...] = ()  # of each of these, Hz; where not said, as the audio's
    noise: tuple[int, ...] = ()  # payload types of comfort noise (RFC 3389), besides the static one


@dataclass(frozen=True, slots=True)
class Open:
    """Record a call from now on; with `part` above 1, go on with one that another worker began."""

    call_id: str
    segment_id: str
    recording_id: str
    key: str = field(repr=False)  # the data key, hexadecimal
    folder: str  # where the recording's files are written
    started_ns: int  # monotonic: zero of the call clock
    started_utc_ns: int
    legs: tuple[LegPlan, ...] = ()
    part: int = 1  # number of the next part
    segment_start: int = 0  # call units: where the segment that is recorded begins
    held: bool = False  # the client says that no media will come for now


@dataclass(frozen=True, slots=True)
class Reformat:
    """The legs of a call were negotiated anew; `held` while the client says that no media will come."""

    call_id: str
    legs: tuple[LegPlan, ...]
    held: bool = False


@dataclass(frozen=True, slots=True)
class Close:
    """The call ended; what was said until then is committed when it has waited its time.

    With `at_once` the wait is skipped: the gateway itself is being stopped.
    """

    call_id: str
    at_ns: int
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """Another leg of a call, recorded from now on."""

    call_id: str
    leg: LegPlan


@dataclass(frozen=True, slots=True)
class Split:
    """A segment begins: what is said from `at_ns` on goes to a recording of its own, under its own key."""

    call_id: str
    segment_id: str
    recording_id: str
    key: str = field(repr=False)
    at_ns: int


@dataclass(frozen=True, slots=True)
class Pause:
    """The client pauses legs: nothing that arrives from `at_ns` on is kept until they are resumed."""

    call_id: str
    legs: tuple[Role, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Resume:
    """The client goes on with legs that it paused."""

    call_id: str
    legs: tuple[Role, ...]
    at_ns: int


Command = Open | Reformat | Close | Join | Split | Pause | Resume


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes to append to a part; `last` ends it."""

    recording_id: str
    part: int
    folder: str
    data: bytes
    last: bool = False


@dataclass(frozen=True, slots=True)
class CallReport:
    """How a call's legs stand."""

    call_id: str
    legs: tuple[LegReport, ...]
    redactions: tuple[Redaction, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """SRTP of a call goes on under a key that was not told: its audio is lost."""

    call_id: str


@dataclass(frozen=True, slots=True)
class MediaStopped:
    """No leg of a call that is not held has carried a packet for the media timeout."""

    call_id: str


@dataclass(frozen=True, slots=True)
class SegmentEnded:
    """A segment's audio is wholly committed, while its call goes on in the next one."""

    call_id: str
    recording_id: str
    legs: tuple[LegReport, ...]  # of the call up to the end of the segment
    next_part: int


@dataclass(frozen=True, slots=True)
class Finished:
    """A call's audio is wholly committed; its last Write has been given out."""

    call_id: str
    recording_id: str
    legs: tuple[LegReport, ...]
    redactions: tuple[Redaction, ...]
    next_part: int  # one above the last part written


@dataclass(frozen=True, slots=True)
class Refused:
    """Datagrams of one kind refused on media ports since this was last told."""

    kind: str
    count: int


Event = CallReport | MediaStopped | Unreadable | SegmentEnded | Finished | Refused
