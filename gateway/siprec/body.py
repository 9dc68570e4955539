"""What the body and the vendors' headers of a request say: description, metadata, and what was not understood."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gateway.recording.model import Personal
from gateway.sip import sdp
from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr
from gateway.sip.message import Request
from gateway.siprec.metadata import (
    MAX_PARTIES,
    Metadata,
    MetadataError,
    MetadataParticipant,
    MetadataStream,
    by_place,
    merge,
    user_of,
    without_address,
)
from gateway.siprec.metadata import parse as parse_metadata
from gateway.siprec.multipart import Part, split

METADATA_TYPES = ("application/rs-metadata+xml", "application/rs-metadata")
SDP_TYPE = "application/sdp"
CISCO_PARTICIPANT = "X-Cisco-Recording-Participant"
_PLAIN_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,64}", re.ASCII)
_INDEX = re.compile(r"\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a request holds."""

    offer: sdp.SessionDescription | None
    metadata: Metadata | None
    notes: tuple[str, ...]


def read(request: Request) -> Contents:
    """Only the description may fail; metadata that cannot be read leaves a note.

    Raises SdpError and MultipartError.
    """
    kind = request.headers.get("Content-Type") or SDP_TYPE
    parts = [_as_it_looks(part) for part in split(kind, request.body)] if request.body else []
    notes: list[str] = []
    offers = [sdp.parse(part.body) for part in parts if part.media_type == SDP_TYPE][:1]
    metadata = _metadata(parts, notes)
    if metadata is None:
        metadata = _recorded_participants(request)
    if metadata:
        metadata = without_address(metadata, _recorder(request))
        notes += metadata.notes
        metadata = replace(metadata, notes=())
    return Contents(offers[0] if offers else None, metadata, tuple(dict.fromkeys(notes)))


def _as_it_looks(part: Part) -> Part:
    """A part whose type says nothing of use is told by how it begins."""
    if part.media_type == SDP_TYPE or part.media_type in METADATA_TYPES:
        return part
    start = part.body[:512].lstrip(b"\xef\xbb\xbf\0 \t\r\n").lower()
    if part.media_type in ("text/plain", "application/octet-stream", "") and start.startswith(b"v=0"):
        return replace(part, media_type=SDP_TYPE)
    if part.media_type.endswith(("xml", "plain")) and start.startswith(b"<") and b"recording" in start:
        return replace(part, media_type=METADATA_TYPES[0])
    return part


def _metadata(parts: Sequence[Part], notes: list[str]) -> Metadata | None:
    metadata: Metadata | None = None
    for part in parts:
        if part.media_type in METADATA_TYPES:
            try:
                metadata = merge(metadata, parse_metadata(part.body))
            except MetadataError as error:
                notes.append(str(error))
        elif part.media_type != SDP_TYPE:
            known = part.media_type if _PLAIN_TYPE.fullmatch(part.media_type) else "an unreadable type"
            notes.append(f"a part of {known} was not read")
    return metadata


def _recorder(request: Request) -> list[str]:
    """By what addresses the client knows us; of a registrar's form without user many others could be known."""
    try:
        named = [request.uri, NameAddr.parse(request.headers.get("To") or "").uri]
    except BadMessage:
        named = [request.uri]
    return named


def _recorded_participants(request: Request) -> Metadata | None:
    """Network-based recording names a participant a header, with the places of its m-lines."""
    people: list[MetadataParticipant] = []
    sends: dict[str, tuple[str, ...]] = {}
    places: set[str] = set()
    for header in request.headers.all(CISCO_PARTICIPANT)[:MAX_PARTIES]:
        try:
            found = NameAddr.parse(header)
        except BadMessage:
            continue
        index = next((value or "" for name, value in found.params if name == "media-index"), "")
        mine = tuple(by_place(int(text)) for text in _INDEX.findall(index)[: sdp.MAX_MEDIA] if len(text) < 4)
        user = user_of(found.uri)
        party = MetadataParticipant(
            f"#{len(people)}",
            Personal(found.uri),
            Personal(user) if user else None,
            Personal(found.display) if found.display else None,
        )
        people.append(party)
        sends[party.id] = mine
        places |= set(mine)
    if not people:
        return None
    streams = tuple(MetadataStream(place, place) for place in sorted(places))
    return Metadata(participants=tuple(people), streams=streams, sends=sends)
