"""A peer's session description as an endpoint process may see it: audio over RTP and IPv4, each line in one writing. Pure.

What it offers besides keeps its place, refused (RFC 3264 section 6), since an answer has a line for each of an offer's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address

from gateway.sip.sdp import PLAIN, Format, Media, parse

LEAST_HZ, MOST_HZ = 8_000, 96_000  # clock rates that a payload type may have
MOST_CHANNELS = 2
MAX_LINES = 8  # of media; nobody offers a telephone more
_ORIGIN = re.compile(r"\S+ (\d{1,18}) (\d{1,18}) .*")
_WORD = re.compile(r"[\w/.-]{1,32}", re.ASCII)
_PARAMETERS = re.compile(r"[!-~ ]{1,160}")
_RTCP = re.compile(r"(\d{1,5})(?: IN IP4 \S+)?", re.ASCII)


def described(sdp: bytes) -> bytes:
    """Raises SdpError."""
    found = parse(sdp)
    origin = _ORIGIN.fullmatch(found.origin)
    session, version = origin.groups() if origin else ("1", "1")
    lines = [
        "v=0", f"o=- {session} {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
        *(line for media in found.media[:MAX_LINES] for line in _lines(media)),
    ]  # fmt: skip
    return "".join(f"{line}\r\n" for line in lines).encode()


def offers_audio(sdp: bytes) -> bool:
    """Whether something so described has a line that is not refused."""
    return re.search(rb"^m=audio [1-9]", sdp, re.MULTILINE) is not None


def count(sdp: bytes) -> int:
    """Its lines of media."""
    return sdp.count(b"\r\nm=")


def _lines(media: Media) -> Iterator[str]:
    formats = [
        each
        for each in media.formats
        if LEAST_HZ <= each.clock_rate <= MOST_HZ and each.channels <= MOST_CHANNELS
    ]
    if (
        media.kind != "audio"
        or not media.port
        or media.transport not in PLAIN
        or not formats
        or not _is_ipv4(media.address)
    ):
        yield from _refused(media)
        return
    yield f"m=audio {media.port} {media.transport} {' '.join(str(each.payload_type) for each in formats)}"
    yield f"c=IN IP4 {media.address}"
    for each in formats:
        yield from _mapped(media, each)
    if media.ptime:
        yield f"a=ptime:{media.ptime}"
    if rtcp := _RTCP.fullmatch(media.attribute("rtcp") or ""):
        yield f"a=rtcp:{min(int(rtcp[1]), 65_535)}"
    yield f"a={media.direction.value}"


def _mapped(media: Media, each: Format) -> Iterator[str]:
    if found := media.rtpmaps().get(each.payload_type):  # its name as it was written
        yield f"a=rtpmap:{each.payload_type} {found[2]}/{found[3]}" + (f"/{found[4]}" if found[4] else "")
    if each.fmtp and _PARAMETERS.fullmatch(each.fmtp):
        yield f"a=fmtp:{each.payload_type} {each.fmtp}"


def _refused(media: Media) -> Iterator[str]:
    words = [media.kind, media.transport, *media.payload_types[:1]]
    kind, transport, form = (
        words if len(words) == 3 and all(map(_WORD.fullmatch, words)) else ("audio", "RTP/AVP", "0")
    )
    yield f"m={kind} 0 {transport} {form}"


def _is_ipv4(address: str | None) -> bool:
    try:
        return bool(IPv4Address(address or ""))
    except AddressValueError:
        return False
