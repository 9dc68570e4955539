"""Session descriptions (RFC 8866) and the answer of a party that only listens (RFC 3264).

SdpError   the text is no session description; the message is one sentence without its contents
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import pairwise

from gateway.sip import sdes
from gateway.sip.sdes import Crypto

MAX_BYTES = 32_768  # a description of forty streams with every attribute seen in traffic fits twice
MAX_MEDIA = 64  # streams of one session; the largest conference offers seen have a dozen
MAX_FORMATS = 64  # payload types of one stream: there are 96 dynamic and static numbers in all

MAX_NAMED = 4  # encodings of a line that a sentence names
MAX_NAME = 32  # characters of such a name: the longest registered one has 26

DISCARD_PORT = 9  # stands for a port that is not known yet

PLAIN = frozenset({"RTP/AVP", "RTP/AVPF"})
SECURE = frozenset({"RTP/SAVP", "RTP/SAVPF"})  # SRTP, with its keys in `a=crypto`

# RFC 3551 tables 4 and 5: payload types that need no rtpmap.
STATIC = {
    0: ("PCMU", 8000), 2: ("G721", 8000), 3: ("GSM", 8000), 4: ("G723", 8000), 5: ("DVI4", 8000), 6: ("DVI4", 16000),
    7: ("LPC", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000), 10: ("L16", 44100), 11: ("L16", 44100),
    12: ("QCELP", 8000), 13: ("CN", 8000), 15: ("G728", 8000), 16: ("DVI4", 11025), 17: ("DVI4", 22050),
    18: ("G729", 8000),
}  # fmt: skip

STATIC_STEREO = 10  # the only one of several channels
EVENTS = "TELEPHONE-EVENT"
NOISE = "CN"
REDUNDANT = "RED"

# What is offered where an INVITE brings no offer: payload type, encoding, clock rate, channels, the whole rtpmap.
OFFERED = (
    (8, "PCMA", 8000, 1, "PCMA/8000"), (0, "PCMU", 8000, 1, "PCMU/8000"), (9, "G722", 8000, 1, "G722/8000"),
    (18, "G729", 8000, 1, "G729/8000"), (3, "GSM", 8000, 1, "GSM/8000"), (97, "ILBC", 8000, 1, "iLBC/8000"),
    (98, "OPUS", 48000, 2, "opus/48000/2"), (99, "G726-32", 8000, 1, "G726-32/8000"), (4, "G723", 8000, 1, "G723/8000"),
)  # fmt: skip
# Taken where a client has nothing else: they keep less of a voice, or cost more to listen to.
LAST = ("G726-", "AAL2-G726-", "G721", "G723", "SPEEX", "DVI4")
OFFERED_EVENTS = (101, "telephone-event/8000", "0-15")

Attributes = tuple[tuple[str, str | None], ...]
# Encoding name in upper case, clock rate, channels, format parameters ("" if there are none).
Supported = Callable[[str, int, int, str], bool]
# An m-line's place and a number of octets to a key of ours.
Secret = Callable[[int, int], bytes]

_RTPMAP = re.compile(r"(\d{1,3})\s+([\w.+-]+)\s*/\s*(\d{1,6})(?:\s*/\s*(\d{1,2}))?\s*", re.ASCII)
_MEDIA = re.compile(r"(\S+)\s+(\d{1,5})(?:/\d+)?\s+(\S+)\s*(.*)", re.ASCII)
_LINE = re.compile(r"([a-z])\s*=(.*)", re.ASCII)


class SdpError(Exception):
    """What was sent cannot be read as a session description."""


class Direction(StrEnum):
    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"


_DIRECTIONS = frozenset(Direction)


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type of a stream."""

    payload_type: int
    name: str  # upper case: "PCMA"
    clock_rate: int
    fmtp: str | None = None
    channels: int = 1

    @property
    def encoding(self) -> str:
        """As an rtpmap has it."""
        return f"{self.name}/{self.clock_rate}" + (f"/{self.channels}" if self.channels > 1 else "")


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line with what belongs to it; what it lacks is taken from the session."""

    kind: str  # "audio", "video"
    port: int
    transport: str
    payload_types: tuple[str, ...]
    address: str | None = None
    direction: Direction = Direction.SENDRECV
    attributes: Attributes = ()
    recordpref: str | None = None  # RFC 7866 section 7.3.2: on, off, pause, nopreference

    def attribute(self, name: str) -> str | None:
        return next((value for key, value in self.attributes if key == name), None)

    @property
    def label(self) -> str | None:
        """RFC 4574; metadata names streams by it."""
        return self.attribute("label")

    @property
    def ptime(self) -> int | None:
        value = self.attribute("ptime") or ""
        return int(value) if re.fullmatch(r"[0-9]{1,4}", value) else None

    @property
    def formats(self) -> tuple[Format, ...]:
        """Payload types whose encoding is known, in the order offered."""
        maps = self.rtpmaps()
        fmtps = {number: text for number, _, text in (v.partition(" ") for v in self._values("fmtp"))}
        found = []
        for text in dict.fromkeys(self.payload_types):
            if not re.fullmatch(r"[0-9]{1,3}", text) or int(text) > 127:
                continue
            name, rate = STATIC.get(int(text), ("", 0))
            channels = 2 if int(text) == STATIC_STEREO else 1
            if mapped := maps.get(int(text)):
                name, rate, channels = mapped[2].upper(), int(mapped[3]), int(mapped[4] or 1)
            if name:
                fmtp = fmtps.get(text, "").strip() or None
                found.append(Format(int(text), name, rate, fmtp, channels))
        return tuple(found)

    @property
    def crypto(self) -> Crypto | None:
        """The keys of a line that asks for SRTP, the first of those offered that can be taken."""
        return sdes.choose(self._values("crypto")) if self.transport in SECURE else None

    def accepted(self, supported: Supported) -> tuple[Format, ...]:
        """Audio formats that can be recorded, in the order offered but for LAST; empty refuses the line."""
        if self.kind != "audio" or not self.port or not (self.transport in PLAIN or self.crypto):
            return ()
        return _last_at_last(
            f
            for f in self.formats
            if f.name not in (EVENTS, NOISE) and supported(f.name, f.clock_rate, f.channels, f.fmtp or "")
        )

    def named(self) -> tuple[str, ...]:
        """What the line is about, for people: its encodings, or what it is instead of audio; a few of them."""
        if self.kind != "audio":
            known = self.kind if re.fullmatch(r"[a-z0-9-]{1,32}", self.kind) else "something that is no media"
            return (
                ("T.38 fax",)
                if self.kind == "image" and "t38" in "".join(self.payload_types).lower()
                else (known,)
            )
        known_types = {f.payload_type: f.encoding for f in self.formats if f.name not in (EVENTS, NOISE)}
        silent = {f.payload_type for f in (*self.events(), *self.noise())}
        unmapped = [
            f"payload type {number}"
            for number in self.payload_types
            if re.fullmatch(r"[0-9]{1,3}", number) and int(number) not in silent | known_types.keys()
        ]
        return tuple(name[:MAX_NAME] for name in dict.fromkeys([*known_types.values(), *unmapped]))[
            :MAX_NAMED
        ]

    def events(self) -> tuple[Format, ...]:
        """Payload types of telephone events (RFC 4733)."""
        return tuple(f for f in self.formats if f.name == EVENTS)

    def noise(self) -> tuple[Format, ...]:
        """Payload types of comfort noise (RFC 3389)."""
        return tuple(f for f in self.formats if f.name == NOISE)

    def redundant(self) -> tuple[Format, ...]:
        """Payload types of redundant payloads (RFC 2198). They are not taken, and come all the same where a client copies
        what others send."""
        return tuple(f for f in self.formats if f.name == REDUNDANT)

    def _values(self, name: str) -> list[str]:
        return [value for key, value in self.attributes if key == name and value]

    def rtpmaps(self) -> dict[int, re.Match[str]]:
        """By payload type; groups 2 to 4 are encoding name, clock rate and channels."""
        return {int(match[1]): match for value in self._values("rtpmap") if (match := _RTPMAP.match(value))}


@dataclass(frozen=True, slots=True)
class SessionDescription:
    origin: str
    media: tuple[Media, ...]
    attributes: Attributes = ()
    size: int = field(default=0, compare=False)  # octets that it was read from


def parse(data: bytes) -> SessionDescription:
    """Read tolerantly: any line ends, unknown lines skipped, missing session lines missed.

    Raises SdpError.
    """
    if len(data) > MAX_BYTES:
        raise SdpError(f"a session description of {len(data)} bytes; at most {MAX_BYTES} are read")
    lines = [
        (match[1], match[2].strip())
        for line in re.split(r"[\r\n]+", data.decode("utf-8", "replace").replace("\0", ""))
        if (match := _LINE.fullmatch(line.strip()))
    ]
    if not lines or lines[0][0] != "v":
        raise SdpError("a session description starts with v=0; this one does not")
    starts = [at for at, (kind, _) in enumerate(lines) if kind == "m"] + [len(lines)]
    if len(starts) > MAX_MEDIA + 1:
        raise SdpError(f"{len(starts) - 1} media lines; at most {MAX_MEDIA} are read")
    session = lines[: starts[0]]
    media = [lines[start:end] for start, end in pairwise(starts)]
    origin = next((value for kind, value in session if kind == "o"), "")
    read = tuple(_media(block, session) for block in media)
    return SessionDescription(origin, read, _attributes(session), len(data))


_Lines = list[tuple[str, str]]


def _media(block: _Lines, session: _Lines) -> Media:
    found = _MEDIA.fullmatch(block[0][1])
    if not found or int(found[2]) > 65535:
        raise SdpError("a media line is not a kind, a port, a transport and formats")
    kind, port, transport, formats = found.groups()
    payload_types = tuple(formats.split())
    if len(payload_types) > MAX_FORMATS:
        raise SdpError(f"{len(payload_types)} formats in a media line; at most {MAX_FORMATS} are read")
    address = _address(block) or _address(session)
    attributes = _attributes(block)
    preferences = [value for name, value in (*attributes, *_attributes(session)) if name == "recordpref"]
    direction = _direction(attributes) or _direction(_attributes(session)) or Direction.SENDRECV
    if address in ("0.0.0.0", "::"):  # noqa: S104  # RFC 3264 section 8.4: how RFC 2543 puts on hold
        direction = Direction.INACTIVE
    preference = (preferences[0] or "").lower() if preferences else None
    return Media(
        kind.lower(), int(port), transport.upper(), payload_types, address, direction, attributes, preference
    )


def _address(lines: _Lines) -> str | None:
    for kind, value in lines:
        parts = value.split()
        if kind == "c" and len(parts) == 3 and parts[1] in ("IP4", "IP6"):
            return parts[2].partition("/")[0]
    return None


def _attributes(lines: _Lines) -> Attributes:
    pieces = (value.partition(":") for kind, value in lines if kind == "a")
    return tuple((name.strip(), value.strip() if colon else None) for name, colon, value in pieces)


def _direction(attributes: Attributes) -> Direction | None:
    return next((Direction(name) for name, _ in attributes if name in _DIRECTIONS), None)


def wanted(labels: Sequence[str], supported: Supported) -> SessionDescription:
    """What a client would offer who has an audio stream for each label and every codec: its answer is our offer."""
    codecs = [
        (number, text)
        for number, name, rate, channels, text in OFFERED
        if supported(name, rate, channels, "")
    ]
    number, text, fmtp = OFFERED_EVENTS
    maps = [("rtpmap", f"{number} {text}") for number, text in [*codecs, (number, text)]]
    types = tuple(str(payload_type) for payload_type, _ in [*codecs, (number, text)])
    media = (
        Media(
            "audio",
            DISCARD_PORT,
            "RTP/AVP",
            types,
            direction=Direction.SENDONLY,
            attributes=(*maps, ("fmtp", f"{number} {fmtp}"), ("label", label)),
        )
        for label in labels
    )
    return SessionDescription("", tuple(media))


def open_again(description: SessionDescription) -> SessionDescription:
    """The same streams, none of them on hold."""
    media = tuple(replace(media, direction=Direction.SENDONLY) for media in description.media)
    return replace(description, media=media)


def completed(answered: SessionDescription, offered: SessionDescription) -> SessionDescription:
    """An answer with what it may leave to the offer: labels and the maps of payload types."""
    media = tuple(
        replace(theirs, attributes=(*ours.attributes, *theirs.attributes))
        for theirs, ours in zip(answered.media, offered.media, strict=False)
    )
    return replace(answered, media=media)


def answer(
    offer: SessionDescription, supported: Supported, ports: Sequence[int | None], address: str,
    session_id: int, version: int, secret: Secret,
) -> bytes:  # fmt: skip
    """The answer of a listener: every line of the offer in its order, with our port, or 0 to refuse it.

    `ports` has one entry a line; `secret` gives a line's key, of so many octets, for what we would send under SRTP.
    Raises ValueError for another number of ports.
    """
    family = "IP6" if ":" in address else "IP4"
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN {family} {address}",
        "s=-",
        f"c=IN {family} {address}",
        "t=0 0",
    ]
    for line, (media, port) in enumerate(zip(offer.media, ports, strict=True)):
        lines += _media_answer(media, supported, port or 0, partial(secret, line))
    return "".join(f"{line}\r\n" for line in lines).encode()


def _last_at_last(formats: Iterable[Format]) -> tuple[Format, ...]:
    return tuple(sorted(formats, key=lambda format: format.name.startswith(LAST)))


def _media_answer(media: Media, supported: Supported, port: int, secret: Callable[[int], bytes]) -> list[str]:
    accepted = media.accepted(supported)
    label = [f"a=label:{media.label}"] if media.label else []
    if not accepted or not port:
        formats = " ".join(media.payload_types) or "0"
        return [f"m={media.kind} 0 {media.transport} {formats}", *label]
    taken = {format.payload_type for format in (*accepted, *media.events(), *media.noise())}
    chosen = _last_at_last(format for format in media.formats if format.payload_type in taken)
    lines = [f"m={media.kind} {port} {media.transport} {' '.join(str(f.payload_type) for f in chosen)}"]
    originals = {number: found[0].strip() for number, found in media.rtpmaps().items()}
    for format in chosen:
        number = format.payload_type
        lines.append(f"a=rtpmap:{originals.get(number, f'{number} {format.encoding}')}")
        if format.fmtp:
            lines.append(f"a=fmtp:{number} {format.fmtp}")
    if crypto := media.crypto:
        lines.append(f"a=crypto:{sdes.answer(crypto, secret(sdes.secret_bytes(crypto.suite)))}")
    if ("rtcp-mux", None) in media.attributes:  # RFC 5761 section 5.1.1
        lines.append("a=rtcp-mux")
    receiving = media.direction in (Direction.SENDRECV, Direction.SENDONLY)
    return [*lines, f"a={Direction.RECVONLY if receiving else Direction.INACTIVE}", *label]
