"""An overheard call in the words of recording sessions: who takes part, what lines there are, why it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address

from gateway.recording.assurance import Why
from gateway.recording.messages import MediaFlow
from gateway.siprec.effects import Stream
from gateway.siprec.metadata import Metadata, MetadataParticipant, MetadataStream
from gateway.tap.effects import End, Over, Party, Place, Side, TappedStream

SIDES = (Side.CALLER, Side.CALLEE)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a call is not recorded."""

    text: str  # one sentence
    why: Why


KEYLESS = Reason("the audio is SRTP whose keys the signalling does not tell", Why.UNREADABLE)
NO_CODEC = Reason("no codec that can be recorded was agreed", Why.REFUSED)
NO_PLACE = Reason("the signalling does not tell where the audio goes", Why.NO_MEDIA)
NO_MEDIA = Reason("the signalling told of no audio", Why.NO_MEDIA)
AUDIO_ALONE = Reason("audio went both ways of which no signalling was seen", Why.UNREADABLE)
AUDIO_ONE_WAY = Reason("RTP went one way of which no signalling was seen", Why.UNREADABLE)
AUDIO_OF_TLS = Reason(
    "audio went both ways whose signalling was not seen, or was SIP over TLS, which cannot be read",
    Why.UNREADABLE,
)
STOPPED = Reason("the gateway was stopped", Why.SETUP)
CAPTURE_OVER = Reason("the capture ended before the call did", Why.NO_MEDIA)
ENDS = {
    End.BYE: "a party hung up",
    End.CANCELLED: "the caller hung up before the call was answered",
    End.REPLACED: "another call took its place",
}


def metadata_of(people: Mapping[Side, MetadataParticipant]) -> Metadata:
    """Who takes part, each with the stream of their voice."""
    present = [side for side in SIDES if side in people]
    return Metadata(
        participants=tuple(people[side] for side in present),
        streams=tuple(MetadataStream(side.value, side.value) for side in present),
        sends={people[side].id: (side.value,) for side in present},
    )


def participant(party: Party, side: Side, number: int = 1) -> MetadataParticipant:
    """Whom the signalling names; `number` tells apart those who take one side after another."""
    return MetadataParticipant(
        f"{side.value} {number}", party.aor, party.user, party.name, calling=side is Side.CALLER
    )


def streams_of(tap: int, streams: Sequence[TappedStream]) -> tuple[Stream, ...]:
    """What can be recorded of a call, a line for each side."""
    return tuple(_stream(tap, each) for each in streams)


def _stream(tap: int, told: TappedStream) -> Stream:
    flow = _flow(tap, told)
    return Stream(
        index=SIDES.index(told.side),
        label=told.side.value,
        kind="audio",
        acceptable=bool(told.formats) and not told.secret and flow is not None,
        direction="inactive" if told.paused else "sendonly",
        remote=None,
        formats=told.formats,
        events=told.events,
        ptime=None,
        event_rates=told.event_rates,
        noise=told.noise,
        keys=told.keys,
        recordpref=told.recordpref,
        flow=flow,
        besides=told.besides,
        redundant=told.redundant,
    )


def _flow(tap: int, told: TappedStream) -> MediaFlow | None:
    to, source = _known(told.to), _known(told.source)
    return MediaFlow(tap, *(to or ("", 0)), *(source or ("", 0))) if to or source else None


def _known(place: Place | None) -> Place | None:
    """A place where packets can come: no name, and not the `0.0.0.0` by which a hold is told (RFC 2543)."""
    try:
        return place if place and place[1] and not ip_address(place[0]).is_unspecified else None
    except ValueError:
        return None


def why_silent(streams: Sequence[TappedStream], other: Sequence[str] = ()) -> Reason | None:
    """Why nothing of these streams can be recorded; None where something can. `other` goes on besides audio."""
    if any(stream.acceptable for stream in streams_of(0, streams)):
        return None
    if not streams:
        return replace(NO_MEDIA, text=f"{NO_MEDIA.text}, only of {listed(other)}") if other else NO_MEDIA
    if any(each.secret for each in streams):
        return KEYLESS
    return NO_PLACE if any(each.formats for each in streams) else no_codec(streams)


def no_codec(streams: Sequence[TappedStream]) -> Reason:
    """Why those streams are not recorded whose codecs are not known."""
    names = dict.fromkeys(name for each in streams for name in each.unknown)
    return replace(NO_CODEC, text=f"{NO_CODEC.text}, only {listed(tuple(names))}") if names else NO_CODEC


def listed(names: Sequence[str]) -> str:
    """As a sentence lists them."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def ending(over: Over) -> str:
    """How a call ended, one sentence."""
    if over.why:
        return over.why
    match over.how:
        case End.REFUSED:
            return f"the call was refused with {over.status}" if over.status else "the call was refused"
        case End.LOST:
            return (
                "nothing more was heard of the call: its end was missed"
                if over.answered
                else "nothing more was heard of the call before it was answered"
            )
        case how:
            return ENDS[how]
