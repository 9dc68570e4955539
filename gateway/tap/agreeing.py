"""What two sides send, as an offer and its answer agree on it (RFC 3264, RFC 4568)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

from gateway.rtp.suites import MasterKey
from gateway.sip import sdes
from gateway.sip.sdp import (
    DISCARD_PORT,
    EVENTS,
    MAX_NAMED,
    NOISE,
    REDUNDANT,
    SECURE,
    STATIC,
    Direction,
    Format,
    Media,
    SessionDescription,
    Supported,
)
from gateway.tap.effects import Place, Side, TappedStream

# RFC 3551 table 4: numbers that mean one encoding wherever nothing else is said.
FIXED = tuple(Format(number, name, rate) for number, (name, rate) in STATIC.items() if number not in (10, 11))
SENDS = (Direction.SENDRECV, Direction.SENDONLY)
RECEIVES = (Direction.SENDRECV, Direction.RECVONLY)
# RFC 5764, RFC 6189, RFC 3830: what tells of keys that are agreed on elsewhere, where both sides have it.
ELSEWHERE = ("fingerprint", "zrtp-hash", "key-mgmt")


@dataclass(frozen=True, slots=True)
class Agreement:
    """The descriptions that hold; None of a side that was not heard."""

    caller: SessionDescription | None = None
    callee: SessionDescription | None = None
    offerer: Side = Side.CALLER

    def __bool__(self) -> bool:
        return self.caller is not None or self.callee is not None

    @property
    def whole(self) -> bool:
        return self.caller is not None and self.callee is not None

    def with_side(self, side: Side, description: SessionDescription, offerer: Side) -> Agreement:
        """One side's description exchanged, the other's kept."""
        if side is Side.CALLER:
            return Agreement(description, self.callee, offerer)
        return Agreement(self.caller, description, offerer)


@dataclass(frozen=True, slots=True)
class _Line:
    media: Media
    formats: tuple[Format, ...]  # of it, read once


def streams(agreed: Agreement, supported: Supported) -> tuple[TappedStream, ...]:
    """The audio of every line that both sides keep open, in the order of lines, the caller's first."""
    return tuple(_streams(agreed, supported))


def _streams(agreed: Agreement, supported: Supported) -> Iterator[TappedStream]:
    caller = agreed.caller.media if agreed.caller else ()
    callee = agreed.callee.media if agreed.callee else ()
    one_sided = agreed.caller is None or agreed.callee is None
    for line in range(max(len(caller), len(callee)) if one_sided else min(len(caller), len(callee))):
        ours = caller[line] if agreed.caller else None
        theirs = callee[line] if agreed.callee else None
        if all(media is None or _is_open(media) for media in (ours, theirs)):
            make = partial(_stream, offerer=agreed.offerer, supported=supported)
            one, two = (_Line(media, media.formats) if media else None for media in (ours, theirs))
            yield make(Side.CALLER, one, two)
            yield make(Side.CALLEE, two, one)


def other_media(agreed: Agreement) -> tuple[str, ...]:
    """What both sides keep open besides audio in RTP, for people."""
    known = [description.media for description in (agreed.caller, agreed.callee) if description]
    lines = [line for line in zip(*known, strict=False) if all(media.port for media in line)]
    found = [name for line in lines if not all(map(_is_open, line)) for name in line[-1].named()]
    return tuple(dict.fromkeys(found))[:MAX_NAMED]


def places(agreed: Agreement) -> tuple[Place, ...]:
    """Where either side listens for anything."""
    known = [description.media for description in (agreed.caller, agreed.callee) if description]
    found = (_place(media) for lines in known for media in lines if media.port)
    return tuple(dict.fromkeys(place for place in found if place))


def _is_open(media: Media) -> bool:
    return media.kind == "audio" and media.port != 0 and "RTP/" in media.transport


def _stream(
    side: Side, spoken: _Line | None, heard: _Line | None, offerer: Side, supported: Supported
) -> TappedStream:
    speaker, listener = (line.media if line else None for line in (spoken, heard))
    keys, secret = _keys(speaker, listener, speaker_answers=side is not offerer)
    events, formats = _marks(spoken, heard, EVENTS), _formats(spoken, heard, supported)
    return TappedStream(
        side,
        to=_place(listener),
        source=_place(speaker),
        formats=formats,
        events=tuple(format.payload_type for format in events),
        event_rates=tuple(format.clock_rate for format in events),
        noise=tuple(format.payload_type for format in _marks(spoken, heard, NOISE)),
        keys=keys,
        secret=secret,
        paused=bool(
            (speaker and speaker.direction not in SENDS) or (listener and listener.direction not in RECEIVES)
        ),
        recordpref=speaker.recordpref if speaker else None,
        besides=_besides(spoken, heard, formats, supported) if formats else (),
        unknown=_unknown(listener or speaker) if not formats else (),
        redundant=tuple(format.payload_type for format in _marks(spoken, heard, REDUNDANT)),
    )


def _place(media: Media | None) -> Place | None:
    """The default candidate, which is all that is used of ICE; nothing where an address is still to be told."""
    if media is None or media.address is None or media.port == DISCARD_PORT:
        return None
    try:
        return str(ip_address(media.address)), media.port
    except ValueError:
        return media.address, media.port  # a name, which nobody here resolves


def _formats(spoken: _Line | None, heard: _Line | None, supported: Supported) -> tuple[Format, ...]:
    """Encodings of both descriptions, under the numbers of the one who receives (RFC 3264 section 5.1)."""
    wanted = heard or spoken
    if wanted is None:
        return ()
    audio = [f for f in wanted.formats if f.name not in (EVENTS, NOISE, REDUNDANT)]
    if spoken and heard:
        # An answer that names nothing of the offer is wrong; what the receiver wants is the better guess.
        audio = [f for f in audio if _shared(f, audio, spoken.formats)] or audio
    return tuple(f for f in audio if supported(f.name, f.clock_rate, f.channels, f.fmtp or ""))


def _unknown(told: Media | None) -> tuple[str, ...]:
    return told.named() if told else ()


def _besides(
    spoken: _Line | None, heard: _Line | None, agreed: tuple[Format, ...], supported: Supported
) -> tuple[Format, ...]:
    """What a side may send that was not agreed on: encodings of its own, and those whose numbers are fixed.

    Many send so; a number means what the receiver says of it.
    """
    found = {format.payload_type: format for format in FIXED}
    for line in (spoken, heard):
        found |= {format.payload_type: format for format in line.formats} if line else {}
    numbers = {format.payload_type for format in agreed}
    return tuple(
        f
        for number, f in sorted(found.items())
        if number not in numbers
        and f.name not in (EVENTS, NOISE)
        and supported(f.name, f.clock_rate, f.channels, f.fmtp or "")
    )


def _shared(format: Format, wanted: Iterable[Format], spoken: Iterable[Format]) -> bool:
    """Whether the speaker knows an encoding; of one that is listed with several parameters the number decides."""
    known = {f.payload_type for f in spoken if f.encoding == format.encoding}
    alike = {f.payload_type for f in wanted if f.encoding == format.encoding}
    return bool(known) and (format.payload_type in known or not known & alike)


def _marks(spoken: _Line | None, heard: _Line | None, name: str) -> list[Format]:
    """Events or noise under the receiver's numbers, and under the speaker's own where these mean nothing else to
    the receiver: many send so, and a key must not pass for want of its number."""
    wanted = [f for f in heard.formats if f.name == name] if heard else []
    taken = {f.payload_type for f in heard.formats} if heard else set()
    own = [f for f in spoken.formats if f.name == name] if spoken else []
    return [*wanted, *(f for f in own if f.payload_type not in taken)]


def _keys(
    speaker: Media | None, listener: Media | None, speaker_answers: bool
) -> tuple[tuple[MasterKey, ...], bool]:
    """The keys that the speaker sends under, and whether it sends under keys that are not told of.

    An offer has several lines, each with keys of the offerer's; the answer has the tag of the line that it takes
    (RFC 4568 section 5.1.2).
    """
    known = [media for media in (speaker, listener) if media]
    secure = any(media.transport in SECURE or "TLS/" in media.transport for media in known)
    if speaker and listener:
        both = [_crypto(speaker), _crypto(listener)]
        tag = next(iter(both[0 if speaker_answers else 1]), None)
        if (secure or all(both)) and tag is not None and tag in both[0]:
            keys = both[0][tag]
            return keys, not keys
        elsewhere = any(all(_has(media, name) for media in known) for name in ELSEWHERE)
        return (), secure or elsewhere
    return (), secure


def _crypto(media: Media) -> dict[int, tuple[MasterKey, ...]]:
    """Keys by tag; none of a line that cannot be taken."""
    found: dict[int, tuple[MasterKey, ...]] = {}
    for name, value in media.attributes:
        tag = (value or "").split(" ", 1)[0]
        if name == "crypto" and tag.isascii() and tag.isdigit() and len(tag) < 10:
            crypto = sdes.parse(value or "")
            found.setdefault(int(tag), crypto.keys if crypto else ())
    return found


def _has(media: Media, name: str) -> bool:
    return any(key == name for key, _ in media.attributes)
