"""Calls of the endpoint in the words of overheard ones, so that one path records both.

A call is recorded from the moment at which caller and practice hear each other: nothing of what is said before the notice
has ended, or while the phone rings, is kept. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gateway.endpoint import messages
from gateway.endpoint.messages import (
    Arrived,
    Bridged,
    Cause,
    Connected,
    Described,
    Dialling,
    FromProcess,
    Noticed,
    Over,
)
from gateway.recording.model import Announcement, AnnouncementState, Marker
from gateway.redaction.digit import Digit
from gateway.sip.sdp import Media, SdpError, Supported, parse
from gateway.tap.effects import (
    Answered,
    End,
    KeyPressed,
    MediaAgreed,
    Noted,
    PartiesChanged,
    Party,
    Place,
    Seen,
    Side,
    TapEffect,
    TappedId,
    TappedStream,
)
from gateway.tap.effects import Over as TapOver
from gateway.tap.parties import asserted, callee_of, caller_of, notes_of, party

NOBODY = Party()
NOTICE, UNANNOUNCED = "notice", "unannounced"  # markers of a call; the first is where the notice ended
ENDPOINTS_NOTICE = "endpoint"  # the name of the notice that the endpoint plays
KEYS = "0123456789*#ABCD"  # in the order of their events, RFC 4733 section 3.2
ENDS = {
    Cause.CALLER_BYE: End.BYE,
    Cause.CALLEE_BYE: End.BYE,
    Cause.CANCELLED: End.CANCELLED,
    Cause.REFUSED: End.REFUSED,
    Cause.NO_ANSWER: End.REFUSED,
    Cause.UNREACHABLE: End.REFUSED,
    Cause.NO_NOTICE: End.CANCELLED,
    Cause.FAILED: End.LOST,
}
WHY = {
    Cause.CANCELLED: "the caller hung up before the practice answered",
    Cause.NO_ANSWER: "nobody answered",
    Cause.UNREACHABLE: "the practice's number could not be called",
    Cause.NO_NOTICE: "the notice, which is required, could not be played",
    Cause.FAILED: "the endpoint process that had the call ended",
}


@dataclass(slots=True)
class _Call:
    number: TappedId
    caller: Party
    called: Party = NOBODY
    taken: bool = False  # by somebody of the practice, for the first time
    streams: dict[Side, TappedStream] = field(default_factory=dict)
    noticed: Noticed | None = None
    bridged: bool = False


class Telling:
    """What the processes tell becomes effects; `supported` says what can be recorded."""

    def __init__(self, supported: Supported, here: Place) -> None:
        self._supported, self._here = supported, here
        self._calls: dict[str, _Call] = {}
        self._numbers = 0

    def name(self, number: TappedId) -> str | None:
        """The name by which the processes know a call."""
        return next((name for name, call in self._calls.items() if call.number == number), None)

    def hear(self, message: FromProcess) -> list[TapEffect]:
        """Every Arrived gives a Seen, and the Over of the same call the last effect of it."""
        if isinstance(message, Arrived):
            return [self._seen(message)]
        call = self._calls.get(getattr(message, "call", ""))
        if call is None:
            return []
        match message:
            case Described():
                return self._described(call, message)
            case Noticed():
                call.noticed = message
                return []
            case Dialling(_, at_ns, target):
                return self._dialled(call, at_ns, target)
            case Connected(_, at_ns, messages.Side.CALLEE):
                return [Answered(call.number, at_ns), *self._took(call, message)]
            case Bridged(_, at_ns):
                return self._bridged(call, at_ns)
            case messages.KeyPressed(_, at_ns, side, key, lasts_ms) if key in KEYS:
                return [KeyPressed(call.number, at_ns, Side(side.value), Digit(KEYS.index(key)), lasts_ms)]
            case Over(name, at_ns, cause, status):
                del self._calls[name]
                return [TapOver(call.number, at_ns, ENDS[cause], call.bridged, status, WHY.get(cause, ""))]
            case _:
                return []

    def _seen(self, arrived: Arrived) -> Seen:
        self._numbers += 1
        invite = arrived.invite
        caller = caller_of(invite) if invite else Party()
        call = self._calls[arrived.call] = _Call(TappedId(self._numbers), caller)
        name = hashlib.sha256(arrived.call.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return Seen(
            call.number,
            arrived.at_ns,
            name,
            caller,
            callee_of(invite) if invite else Party(),
            (self._here, self._here),
            notes=notes_of(invite) if invite else (),
        )

    def _described(self, call: _Call, told: Described) -> list[TapEffect]:
        side = Side(told.side.value)
        stream = stream_of(side, told.sdp, told.held, self._supported)
        if stream is None or call.streams.get(side) == stream:
            return []
        call.streams[side] = stream
        return [self._agreed(call, told.at_ns)] if call.bridged else []

    def _bridged(self, call: _Call, at_ns: int) -> list[TapEffect]:
        again, call.bridged = call.bridged, True
        if again:
            call.streams = {side: replace(call.streams[side], paused=False) for side in call.streams}
            return [self._agreed(call, at_ns)]
        whole = call.noticed is not None and call.noticed.whole
        when = call.noticed.at_ns if call.noticed and whole else at_ns
        return [self._agreed(call, at_ns), Noted(call.number, when, NOTICE if whole else UNANNOUNCED)]

    def _took(self, call: _Call, connected: Connected) -> list[TapEffect]:
        """Who answered is whom the telephone system vouches for, else whom we called; not the number by which the call came."""
        found = asserted(connected.answer.headers) if connected.answer else None
        callee = found or call.called
        transfer, call.taken = call.taken, True
        if not callee.user:
            return []
        return [PartiesChanged(call.number, connected.at_ns, call.caller, callee, transfer)]

    def _dialled(self, call: _Call, at_ns: int, target: str) -> list[TapEffect]:
        """Nothing is kept of what a caller says who is handed on, until somebody else has answered."""
        target = target.partition("?")[0]
        call.called = party(f"<{target}>") if "@" in target else Party()
        if not call.bridged:
            return []
        call.streams = {side: replace(stream, paused=True) for side, stream in call.streams.items()}
        return [self._agreed(call, at_ns)]

    @staticmethod
    def _agreed(call: _Call, at_ns: int) -> MediaAgreed:
        return MediaAgreed(
            call.number, at_ns, tuple(call.streams[side] for side in Side if side in call.streams)
        )


def announcement_of(markers: Sequence[Marker]) -> Announcement | None:
    """What the endpoint knows of a call's notice, which it played itself, so that nobody need search for it."""
    kinds = {marker.kind for marker in markers}
    if NOTICE in kinds:
        return Announcement(AnnouncementState.ANNOUNCED, ENDPOINTS_NOTICE, share_percent=100)
    if UNANNOUNCED in kinds:
        return Announcement(
            AnnouncementState.UNANNOUNCED, reason="the endpoint did not play a notice to its end"
        )
    return None


def stream_of(side: Side, sdp: str, held: bool, supported: Supported) -> TappedStream | None:
    """The voice that comes to where this description of ours says; None where it says nothing of the kind."""
    try:
        lines = parse(sdp.encode("utf-8", "surrogateescape")).media
    except SdpError:
        return None
    media: Media | None = next((each for each in lines if each.kind == "audio" and each.port), None)
    if media is None or media.address is None:
        return None
    place = (media.address, media.port)
    events = media.events()
    return TappedStream(
        side,
        to=place,
        source=None,
        formats=media.accepted(supported),
        events=tuple(each.payload_type for each in events),
        event_rates=tuple(each.clock_rate for each in events),
        noise=tuple(each.payload_type for each in media.noise()),
        paused=held,
    )
