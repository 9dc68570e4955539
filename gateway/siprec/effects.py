"""What becomes of recording sessions: for the shell and for whoever takes calls to carry out, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from gateway.recording.messages import MediaFlow
from gateway.recording.model import Wish
from gateway.redaction.digit import Digit
from gateway.rtp.suites import MasterKey
from gateway.sip.effects import Flow, Rejected, Send
from gateway.sip.sdp import Format
from gateway.siprec.bridge import Pair
from gateway.siprec.metadata import Metadata

SessionId = NewType("SessionId", int)


@dataclass(frozen=True, slots=True)
class Stream:
    """One m-line of the offer."""

    index: int
    label: str | None
    kind: str
    acceptable: bool
    direction: str  # what the client offers: sendonly, sendrecv, recvonly, inactive
    remote: tuple[str, int] | None
    formats: tuple[Format, ...]  # that can be recorded, in the order offered, without telephone-event
    events: tuple[int, ...]  # payload types of telephone-event
    ptime: int | None
    event_rates: tuple[int, ...] = ()  # their clock rates, Hz
    noise: tuple[int, ...] = ()  # payload types of comfort noise
    keys: tuple[MasterKey, ...] = ()  # that the client sends under; none: plain RTP
    recordpref: str | None = None
    flow: MediaFlow | None = None  # where a tap overhears it; none: it comes to a socket of ours
    besides: tuple[
        Format, ...
    ] = ()  # that can be recorded, too, should they come though they were not agreed on
    named: tuple[str, ...] = ()  # what was offered, for people, where no codec of it is known
    redundant: tuple[int, ...] = ()  # payload types of redundant payloads

    @property
    def paused(self) -> bool:
        """Whether the client sends nothing now, or asks that nothing be recorded."""
        return self.direction in ("inactive", "recvonly") or self.recordpref in ("off", "pause")


@dataclass(frozen=True, slots=True)
class Offered:
    """An INVITE waits for `answer` or `refuse`. Where it brings no offer, `streams` are those of ours."""

    session: SessionId
    call_id: str  # stands for the SIP Call-ID, which may tell of persons and hosts
    streams: tuple[Stream, ...]
    metadata: Metadata | None
    notes: tuple[str, ...]
    flow: Flow
    wish: Wish | None = None  # that a header tells of
    pair: Pair | None = None  # this session carries one side of a call that two sessions record


@dataclass(frozen=True, slots=True)
class Changed:
    """A re-INVITE or UPDATE, the answer to an offer of ours, or an INFO that tells of a wish."""

    session: SessionId
    streams: tuple[Stream, ...] | None  # None: the media stay as they were
    metadata: Metadata | None  # all that is known now, None when nothing ever was
    notes: tuple[str, ...]
    awaiting: bool  # `answer` or `refuse` is needed; else it is answered already
    wish: Wish | None = None  # that a header tells of


@dataclass(frozen=True, slots=True)
class Established:
    """The ACK is here."""

    session: SessionId


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """The client tells of a key (INFO)."""

    session: SessionId
    digit: Digit
    lasts_ms: int  # 0: not told


@dataclass(frozen=True, slots=True)
class Ended:
    session: SessionId
    # bye, cancel, no_ack, connection_lost, session_expired, refused, no_acceptable_media, or what `end` was told
    cause: str


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of a probe: whether the client still knows the session."""

    session: SessionId
    alive: bool


Effect = Send | Rejected | Offered | Changed | Established | KeyPressed | Probed | Ended
