"""What the control process asks of the engine, and what the engine tells it.

Monotonic times are ns and the same for both sides; call times are units of the call clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.recording.model import Cause, LegReport, Marker, Redaction, Role
from gateway.redaction.digit import Digit


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
class MediaFlow:
    """Where the packets of a leg go that a tap overhears; such a leg has no socket."""

    tap: int  # the number of the tap among those attached
    address: str  # that the packets are sent to; empty: that is not known
    port: int
    # From where they are expected, where that is known: they are taken from there while none comes where they should
    # go, since what stands in a description may be private to its network (NAT).
    source_address: str = ""
    source_port: int = 0


@dataclass(frozen=True, slots=True)
class LegPlan:
    """One leg as negotiated."""

    role: Role
    formats: tuple[PayloadFormat, ...]  # in order of preference
    events: tuple[int, ...] = ()  # payload types of telephone-event (RFC 4733)
    keys: tuple[SrtpKey, ...] = ()  # none: plain RTP
    event_rates: tuple[int, ...] = ()  # of each of these, Hz; where not said, as the audio's
    noise: tuple[int, ...] = ()  # payload types of comfort noise (RFC 3389), besides the static one
    flow: MediaFlow | None = None  # where a tap overhears it; none: it comes to a socket
    besides: tuple[PayloadFormat, ...] = ()  # not agreed on, and stored all the same where they come
    redundant: tuple[int, ...] = ()  # payload types of redundant payloads (RFC 2198)


@dataclass(frozen=True, slots=True)
class OpenRedaction:
    """A pause that lasts, or recording that was stopped."""

    cause: Cause
    legs: tuple[Role, ...]  # none: all
    since_ns: int  # when it was asked for
    actor: str | None = None
    reason: str = ""
    ends_ns: int | None = None  # when it ends by itself, unless put off
    start: int = 0  # call units: from where on nothing is kept
    discard: bool = False  # nothing of what came before is kept either


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
    redactions: tuple[OpenRedaction, ...] = ()  # that another worker had begun, and that last
    swapped: bool = False  # each leg is the other party's than its role says
    ended: tuple[Redaction, ...] = ()  # pauses that had ended before: what came in their time may still wait
    reached: int = 0  # call units: up to where another worker may have committed
    agreed_ns: int | None = None  # monotonic: when its media was agreed on, of a call that is overheard


@dataclass(frozen=True, slots=True)
class Reformat:
    """The legs of a call were negotiated anew, or whose they are; `held` and `swapped` as in Open."""

    call_id: str
    legs: tuple[LegPlan, ...]
    held: bool = False
    swapped: bool = False


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
    """Keep nothing of some legs from `at_ns` on, or with `reach_back` from a look-back before it, until they are resumed.

    Causes are counted apart: a leg is kept again when every cause that paused it has resumed it.
    """

    call_id: str
    legs: tuple[Role, ...]  # none: all, those that join later included
    at_ns: int
    cause: Cause = Cause.SRC
    actor: str | None = None
    reason: str = ""
    reach_back: bool = False
    request: str = ""  # is named in the Answered that follows; empty: none does


@dataclass(frozen=True, slots=True)
class Resume:
    """One cause of a pause ends; an agent's resume ends the card rule's, too, where that may be."""

    call_id: str
    legs: tuple[Role, ...]  # none: all
    at_ns: int
    cause: Cause = Cause.SRC
    actor: str | None = None
    request: str = ""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Keep nothing from `at_ns` on, less the look-back where `reach_back`; with `discard`, nothing of what came before either."""

    call_id: str
    at_ns: int
    cause: Cause  # OPT_OUT or NEVER_RECORD
    actor: str | None = None
    reason: str = ""
    discard: bool = False
    reach_back: bool = False
    request: str = ""


@dataclass(frozen=True, slots=True)
class StartRecording:
    """What NEVER_RECORD stopped goes on: the call came to somebody who is recorded. An opt-out stays."""

    call_id: str
    at_ns: int
    request: str = ""


@dataclass(frozen=True, slots=True)
class Extend:
    """Put the automatic end of the pauses that are open off, by as long as the rule says from `at_ns` on."""

    call_id: str
    at_ns: int
    actor: str | None = None
    request: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Note something at a moment of the call."""

    call_id: str
    at_ns: int
    kind: str
    actor: str | None = None
    request: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    """A key was pressed, as signalling tells (SIP INFO); `role` where it is known whose key it was."""

    call_id: str
    role: Role | None
    digit: Digit
    at_ns: int  # when it was heard of
    lasts_ns: int


Command = (
    Open | Reformat | Close | Join | Split
    | Pause | Resume | StopRecording | StartRecording | Extend | Mark | Press
)  # fmt: skip


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
    markers: tuple[Marker, ...] = ()


@dataclass(frozen=True, slots=True)
class Counted:
    """How the legs of calls stand of which nothing but these counts has changed since their last CallReport."""

    calls: tuple[str, ...]
    legs: tuple[int, ...]  # how many each has
    counts: tuple[int, ...]  # of each leg, in the order of its call: the numbers of a LegReport


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
    markers: tuple[Marker, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Datagrams of one kind refused on media ports since this was last told."""

    kind: str
    count: int


class RecordingNow(StrEnum):
    RECORDING = "recording"
    PAUSED = "paused"
    OFF = "off"  # not to be recorded any more
    UNKNOWN = "unknown"  # no media worker says so; the control process's own word


class Outcome(StrEnum):
    APPLIED = "applied"
    UNCHANGED = "unchanged"  # it was so already
    LATE = "late"  # applied from now on; what it should have covered besides was stored and is to be cut
    REFUSED = "refused"
    UNCONFIRMED = "unconfirmed"  # nobody can say: the control process's own word


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a call is being recorded has changed, or may have: what is true from now on."""

    call_id: str
    state: RecordingNow
    since_ns: int  # of this state
    open: tuple[OpenRedaction, ...] = ()  # in the order in which they began
    resumes_ns: int | None = None  # when it is recorded again by itself, unless that is put off
    warning: bool = False  # that is soon


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a command with a request, told after the Status it made."""

    call_id: str
    request: str
    outcome: Outcome
    why: str = ""  # a sentence, where it is not APPLIED


@dataclass(frozen=True, slots=True)
class LateRedaction:
    """Audio that a redaction covers was committed before it was known of: it must be cut from what is stored."""

    call_id: str
    start: int  # call units
    end: int
    legs: tuple[Role, ...]
    cause: Cause


@dataclass(frozen=True, slots=True)
class Keyed:
    """Keys were masked: how many were heard, and in which ways. Never which."""

    call_id: str
    way: str  # rfc4733, info, inband
    count: int


Event = (
    CallReport | Counted | MediaStopped | Unreadable | SegmentEnded | Finished | Refused
    | Status | Answered | LateRedaction | Keyed
)  # fmt: skip
