"""SIP messages as a client makes and reads them (RFC 3261 section 7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

COMPACT = {
    "v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length", "c": "content-type"
}  # RFC 3261 section 7.3.3  # fmt: skip
MAX_MESSAGE = 65_535  # bytes; a server's messages to a recording client are far smaller
BOUNDARY = "recording-session"

Headers = Sequence[tuple[str, str]]


class MessageError(ValueError):
    """The bytes are not a SIP message; the text says what was found."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response as received."""

    start: str
    headers: tuple[tuple[str, str], ...]  # names in lower case, written out
    body: bytes

    @property
    def status(self) -> int | None:
        """The code of a response; of a request, None."""
        return int(self.start.split(" ", 2)[1]) if self.start.startswith("SIP/2.0 ") else None

    @property
    def method(self) -> str:
        """Of a request, or of what a response answers."""
        return self.start.split(" ", 1)[0] if self.status is None else self.get("cseq").split()[-1]

    def get(self, name: str) -> str:
        """The first value, or the empty text."""
        return next((value for known, value in self.headers if known == name), "")

    def all(self, name: str) -> list[tuple[str, str]]:
        return [(known, value) for known, value in self.headers if known == name]

    @property
    def branch(self) -> str:
        found = re.search(r";\s*branch=([^;,\s]+)", self.get("via"))
        return found[1] if found else ""


def parse(data: bytes) -> Message:
    """Read one whole message. Raises MessageError."""
    head, _, body = data.partition(b"\r\n\r\n")
    start, *lines = re.sub(r"\r\n[ \t]+", " ", head.decode("utf-8", "replace")).split("\r\n")
    if not re.fullmatch(r"SIP/2\.0 \d{3} .*|[A-Z]+ \S+ SIP/2\.0", start):
        raise MessageError(f"a message starts with {start[:40]!r}")
    pairs = (line.partition(":") for line in lines)
    headers = tuple(
        (COMPACT.get(name.strip().lower(), name.strip().lower()), text.strip()) for name, _, text in pairs
    )
    return Message(start, headers, body)


def first_message(buffer: bytes) -> tuple[bytes, bytes] | None:
    """The first message of a byte stream and what follows it; None while it is not whole (section 18.3).

    Raises MessageError.
    """
    buffer = buffer.lstrip(b"\r\n")
    head, found, rest = buffer.partition(b"\r\n\r\n")
    if not found:
        if len(buffer) > MAX_MESSAGE:
            raise MessageError(f"a header of over {MAX_MESSAGE} bytes")
        return None
    length = re.search(rb"(?im)^(?:content-length|l)\s*:\s*(\d+)", head)
    size = int(length[1]) if length else 0
    if size > MAX_MESSAGE:
        raise MessageError(f"a body of {size} bytes, at most {MAX_MESSAGE} are taken")
    if len(rest) < size:
        return None
    end = len(head) + 4 + size
    return buffer[:end], buffer[end:]


def build(start: str, headers: Headers, body: bytes = b"") -> bytes:
    """A message with its Content-Length."""
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def multipart(sdp: bytes, metadata: bytes) -> tuple[str, bytes]:
    """Content type and body of an INVITE that carries both (RFC 7866 section 9.1)."""
    parts = [
        ("application/sdp", "session", sdp),
        ("application/rs-metadata+xml", "recording-session", metadata),
    ]
    body = b"".join(
        f"--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Disposition: {use}\r\n\r\n".encode()
        + part
        + b"\r\n"
        for kind, use, part in parts
    )
    return f"multipart/mixed;boundary={BOUNDARY}", body + f"--{BOUNDARY}--\r\n".encode()
