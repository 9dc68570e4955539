"""Bodies of several parts (RFC 2046 section 5.1), as recording clients build them.

MultipartError   the body is no multipart body; the message is one sentence without its contents
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.sip.headers import parse_params

MAX_PARTS = 16  # SDP, metadata and a vendor's part or two
MAX_PART_HEADERS = 4096  # bytes before a part's body: a type, a disposition, an id

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_BOUNDARY = re.compile(r"[\w'()+,./:=? -]{1,70}", re.ASCII)


class MultipartError(Exception):
    """What was sent cannot be split into parts."""


@dataclass(frozen=True, slots=True)
class Part:
    media_type: str  # type and subtype, lower case, without parameters
    body: bytes


def split(content_type: str, body: bytes) -> tuple[Part, ...]:
    """The parts in order; a body that is not multipart is its own only part.

    Line ends may be bare line feeds, the closing boundary may be missing. Raises MultipartError.
    """
    media_type, _, params = content_type.partition(";")
    media_type = "".join(media_type.split()).lower()
    if not media_type.startswith("multipart/"):
        return (Part(media_type, body),)
    boundary = dict(parse_params(";" + params)).get("boundary") or ""
    if boundary.startswith('"'):
        boundary = boundary.strip('"')
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError("a multipart body has no usable boundary")
    return _parts(
        re.compile(rb"^--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*\r?$", re.MULTILINE), body
    )


def _parts(delimiter: re.Pattern[bytes], body: bytes) -> tuple[Part, ...]:
    parts: list[Part] = []
    start: int | None = None
    for found in delimiter.finditer(body):
        if start is not None:
            parts.append(_part(body[start : found.start()]))
        if len(parts) > MAX_PARTS:
            raise MultipartError(f"a multipart body has more than {MAX_PARTS} parts")
        start = None if found[1] else found.end() + 1
        if start is None:
            break
    if start is not None and body[start:].strip():
        parts.append(_part(body[start:]))  # the closing boundary is missing
    if not parts:
        raise MultipartError("a multipart body does not hold its boundary")
    return tuple(parts)


def _part(data: bytes) -> Part:
    """One part; the line end before the next boundary belongs to the boundary."""
    data = re.sub(rb"\r?\n\Z", b"", data)
    end = _HEAD_END.search(data, 0, MAX_PART_HEADERS)
    if data.startswith((b"\r\n", b"\n")) or not end:
        return Part("text/plain", data.lstrip(b"\r\n"))  # RFC 2045 section 5.2: without headers
    unfolded = re.sub(r"\r?\n[ \t]+", " ", data[: end.start()].decode("utf-8", "replace"))
    fields = (line.partition(":") for line in unfolded.splitlines())
    types = [value for name, _, value in fields if name.strip().lower() in ("content-type", "c")]
    media_type = types[0].partition(";")[0] if types else "text/plain"
    return Part("".join(media_type.split()).lower(), data[end.end() :])
