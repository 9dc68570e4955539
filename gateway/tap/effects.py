"""What becomes of calls whose signalling is overheard: facts, to be acted on in order.

Every Seen is followed by exactly one Over. Times are ns on the clock of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from gateway.recording.model import Personal, Wish
from gateway.redaction.digit import Digit
from gateway.rtp.suites import MasterKey
from gateway.sip.sdp import Format

TappedId = NewType("TappedId", int)
Place = tuple[str, int]  # address and port


class Side(StrEnum):
    CALLER = "caller"
    CALLEE = "callee"


class End(StrEnum):
    """How a call ended, as far as the signalling tells."""

    BYE = "bye"
    CANCELLED = "cancelled"  # the caller hung up before the answer
    REFUSED = "refused"  # a final response other than 2xx; its status is told
    REPLACED = "replaced"  # another dialog took its place (RFC 3891)
    LOST = "lost"  # nothing was heard of it for too long


@dataclass(frozen=True, slots=True)
class Party:
    """Whom the signalling names; the number of a sip or tel URI in `user`."""

    user: Personal | None = None
    aor: Personal | None = None
    name: Personal | None = None


@dataclass(frozen=True, slots=True)
class TappedStream:
    """The audio that one side sends, as both descriptions agree on it."""

    side: Side  # who speaks
    to: Place | None  # where it goes: what the other side's description announced; None: that was not heard
    # Where the speaker's own description says it listens, None where that was not heard; packets may come from
    # elsewhere (NAT). One of both is always known: without `to` a stream is what comes from here.
    source: Place | None
    # Payload types as the receiver wants them, without events and noise; empty: of those agreed none can be recorded.
    formats: tuple[Format, ...]
    events: tuple[int, ...] = ()  # payload types of telephone-event
    event_rates: tuple[int, ...] = ()  # their clock rates, Hz
    noise: tuple[int, ...] = ()  # payload types of comfort noise
    keys: tuple[MasterKey, ...] = ()  # that the speaker sends under (SDES)
    secret: bool = False  # SRTP whose keys the signalling does not tell: cannot be recorded
    paused: bool = False  # hold: nothing, or nothing meant for the other side, is sent
    recordpref: str | None = None
    besides: tuple[Format, ...] = ()  # that were not agreed on, and that some send all the same
    unknown: tuple[str, ...] = ()  # what was agreed, for people, where none of it can be recorded
    redundant: tuple[int, ...] = ()  # payload types of redundant payloads


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody calls somebody: the INVITE of a call that was not known."""

    call: TappedId
    at_ns: int
    sip_call_id: str  # stands for the Call-ID, which may tell of persons and hosts
    caller: Party
    callee: Party
    peers: tuple[Place, Place]  # from and to where the INVITE went
    wish: Wish | None = None  # that a header tells of
    notes: tuple[str, ...] = ()
    midway: bool = False  # the call was running when it was first heard of
    offered: tuple[TappedStream, ...] = ()  # by the offer alone: what may arrive before an answer is seen


@dataclass(frozen=True, slots=True)
class MediaAgreed:
    """What the sides send: at first by early media or the answer, later by a re-INVITE or UPDATE. Replaces all before."""

    call: TappedId
    at_ns: int
    streams: tuple[TappedStream, ...]
    other: tuple[str, ...] = ()  # what goes between them that is no audio, for people
    places: tuple[Place, ...] = ()  # where they listen, for whatever it is


@dataclass(frozen=True, slots=True)
class Answered:
    """The callee took the call."""

    call: TappedId
    at_ns: int


@dataclass(frozen=True, slots=True)
class PartiesChanged:
    """Other people, or better known ones; with `transfer` one side was handed to somebody else."""

    call: TappedId
    at_ns: int
    caller: Party
    callee: Party
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class Wished:
    """A header in mid-call asks for recording to stop or go on; what descriptions ask is in their streams."""

    call: TappedId
    at_ns: int
    wish: Wish


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """A key told of by INFO."""

    call: TappedId
    at_ns: int
    side: Side  # whose key it was
    digit: Digit
    lasts_ms: int  # 0: not told


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth a marker happened; it may have been before the audio that is recorded."""

    call: TappedId
    at_ns: int
    kind: str  # few and fixed


@dataclass(frozen=True, slots=True)
class Over:
    call: TappedId
    at_ns: int
    how: End
    answered: bool
    status: int = 0  # of the final response, where it was refused
    why: str = ""  # one sentence, where it is known better than by `how`


@dataclass(frozen=True, slots=True)
class Unheard:
    """Something of telephony that cannot be followed went by: few fixed kinds, a metric label."""

    kind: str  # sip_tls, bad_sip, cut_sip, bad_sdp, bad_info, siprec, too_many_calls, too_much_sdp, tcp_gap, ...
    at_ns: int
    number: int  # of the frame


TapEffect = Seen | MediaAgreed | Answered | PartiesChanged | Wished | KeyPressed | Noted | Over | Unheard
