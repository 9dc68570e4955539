"""SIP messages (RFC 3261 sections 7, 20 and 25): tolerant when read, strict when written.

Text outside UTF-8 survives a round trip (surrogate escapes), as section 7 lets bodies and names be anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from gateway.sip.errors import BadMessage
from gateway.sip.headers import CSeq, Via, split

MAX_START_LINE = 8192  # bytes; twice what URI-laden request lines of real traffic reach
MAX_HEADER_BYTES = 32_768  # the whole head; routes, identity and vendor headers stay far below
MAX_HEADER_FIELDS = 256  # a head of one-letter fields must not become a list of thousands

# Section 7.3.3 and the registry of header fields.
COMPACT = {
    "a": "Accept-Contact", "b": "Referred-By", "c": "Content-Type", "d": "Request-Disposition",
    "e": "Content-Encoding", "f": "From", "i": "Call-ID", "j": "Reject-Contact", "k": "Supported",
    "l": "Content-Length", "m": "Contact", "n": "Identity-Info", "o": "Event", "r": "Refer-To",
    "s": "Subject", "t": "To", "u": "Allow-Events", "v": "Via", "x": "Session-Expires", "y": "Identity",
}  # fmt: skip

# Fields whose grammar is a list: a comma there separates values as a further line would (section 7.3.1).
LISTS = frozenset(
    {
        "accept", "accept-encoding", "accept-language", "alert-info", "allow", "allow-events", "call-info",
        "contact", "content-encoding", "content-language", "error-info", "in-reply-to", "proxy-require",
        "record-route", "require", "route", "supported", "unsupported", "via", "warning",
    }
)  # fmt: skip
SINGLE = ("From", "To", "Call-ID", "CSeq", "Content-Length")  # two different ones leave no right reading

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(r"\r?\n")
_NAME = r"[\w.!%*+`'~-]+"
_REQUEST_LINE = re.compile(rf"({_NAME})[ \t]+(\S+)[ \t]+SIP/(\d+\.\d+)[ \t]*", re.IGNORECASE | re.ASCII)
# A request line with white space where none may be: enough to refuse the request by.
_LOOSE_LINE = re.compile(rf"({_NAME})[ \t]+(\S.*)[ \t]+SIP/(\d+\.\d+)[ \t]*", re.IGNORECASE | re.ASCII)
_STATUS_LINE = re.compile(r"SIP/(\d+\.\d+)[ \t]+([1-6]\d\d)(?:[ \t]+(.*))?", re.IGNORECASE | re.ASCII)
_FIELD = re.compile(rf"({_NAME})[ \t]*:(.*)", re.ASCII | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Headers:
    """Header fields in order; names compare without case, compact names are already written out."""

    fields: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str | None:
        """The first value of this name, or None."""
        return next((value for key, value in self.fields if key.lower() == name.lower()), None)

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of this name, lists split at their commas."""
        lines = (value for key, value in self.fields if key.lower() == name.lower())
        if name.lower() not in LISTS:
            return tuple(lines)
        return tuple(value for line in lines for value in split(line, ",") if value)

    def with_first(self, name: str, value: str) -> Headers:
        """The first value of a list exchanged, the others kept in order."""
        rest = tuple((name, other) for other in self.all(name)[1:])
        others = tuple(field for field in self.fields if field[0].lower() != name.lower())
        return Headers(((name, value), *rest, *others))


class _Placed:
    """What says to which transaction a message belongs. Raises BadMessage where it is missing or broken."""

    __slots__ = ()
    headers: Headers

    @property
    def cseq(self) -> CSeq:
        return CSeq.parse(self.headers.get("CSeq") or "")

    @property
    def via(self) -> Via:
        return Via.parse(next(iter(self.headers.all("Via")), ""))


@dataclass(frozen=True, slots=True)
class Request(_Placed):
    method: str
    uri: str = field(repr=False)  # numbers and names stay out of tracebacks
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Response(_Placed):
    status: int
    reason: str
    headers: Headers = field(repr=False)
    body: bytes = field(default=b"", repr=False)


Message = Request | Response


def parse(data: bytes) -> Message:
    """Read one whole message: a datagram, or what the stream framer cut out.

    Bytes past Content-Length are discarded (section 18.3). Raises BadMessage.
    """
    data = data.lstrip(b"\r\n")
    end = _HEAD_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data.rstrip(b"\r\n"), b"")
    message, fault = parse_head(head)
    if not end:
        fault = (400, "no empty line ends the head", "unfinished_head")
    fault = fault or _fault(message)
    if not fault:
        length = content_length(message.headers)
        if length is None or length <= len(body):
            return replace(message, body=body[:length])
        fault = (400, f"the body has {len(body)} bytes, Content-Length says {length}", "truncated")
    raise BadMessage(*fault, request=message if isinstance(message, Request) else None)


_Fault = tuple[int, str, str]  # status, reason, kind


def parse_head(head: bytes) -> tuple[Message, _Fault | None]:
    """As much of the head as can be read, so that a bad request can still be answered."""
    if len(head) > MAX_HEADER_BYTES:
        raise BadMessage(513, f"the head has more than {MAX_HEADER_BYTES} bytes", "head_too_large")
    text = head.decode("utf-8", "surrogateescape")
    start, _, rest = text.partition("\n")
    start = start.rstrip("\r")
    if len(start) > MAX_START_LINE:
        raise BadMessage(414, f"the first line has more than {MAX_START_LINE} bytes", "start_line_too_long")
    headers, fault = _parse_fields(rest)
    if found := _STATUS_LINE.fullmatch(start):
        version, status, reason = found.groups()
        message: Message = Response(int(status), reason or "", headers)
    elif found := _REQUEST_LINE.fullmatch(start):
        method, uri, version = found.groups()
        message = Request(method, uri, headers)
    elif found := _LOOSE_LINE.fullmatch(start):
        method, uri, version = found.groups()
        message = Request(method, uri, headers)
        fault = (400, "the request line has white space within its URI", "malformed_start_line")
    else:
        raise BadMessage(
            400, "the first line is neither a request line nor a status line", "malformed_start_line"
        )
    if version != "2.0":
        fault = (505, "the version is not SIP/2.0", "unsupported_version")
    return message, fault


def _parse_fields(text: str) -> tuple[Headers, _Fault | None]:
    fault: _Fault | None = None
    # Section 7.3.1: a line that starts with white space continues the one before.
    lines = re.sub(r"\r?\n[ \t]+", " ", text)
    fields: list[tuple[str, str]] = []
    for line in _LINE_END.split(lines):
        if not line.strip():
            continue
        found = _FIELD.fullmatch(line)
        if not found or "\r" in line:
            fault = (400, "a header line is not a name, a colon and a value", "malformed_header")
            continue
        if len(fields) == MAX_HEADER_FIELDS:
            fault = (513, f"there are more than {MAX_HEADER_FIELDS} header fields", "too_many_headers")
            break
        name, value = found.groups()
        fields.append((COMPACT.get(name.lower(), name), value.strip()))
    return Headers(tuple(fields)), fault


def _fault(message: Message) -> _Fault | None:
    """What section 8.1.1 asks of every message. Max-Forwards may be missing: peers of RFC 2543 omit it."""
    headers = message.headers
    for name in ("Via", "From", "To", "Call-ID", "CSeq"):
        if not headers.get(name):
            return 400, f"the header {name} is missing", "missing_header"
    for name in SINGLE:
        if len(set(headers.all(name))) > 1:
            return 400, f"the header {name} occurs with different values", "duplicate_header"
    try:
        cseq = message.cseq
        for via in headers.all("Via"):
            Via.parse(via)
        _ = content_length(headers)
    except BadMessage as error:
        return error.status, error.reason, error.kind
    if isinstance(message, Request) and cseq.method.upper() != message.method.upper():
        return 400, "CSeq names another method than the request line", "bad_cseq"
    return None


def content_length(headers: Headers) -> int | None:
    """Content-Length, or None when it is absent. Raises BadMessage."""
    value = headers.get("Content-Length")
    if value is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise BadMessage(400, "Content-Length is not a number", "bad_content_length")
    return int(value)


def serialise(message: Message) -> bytes:
    """The message on the wire, Content-Length added.

    Raises ValueError for text that would break out of its line: our own mistake, never a peer's.
    """
    match message:
        case Request():
            start = f"{message.method} {message.uri} SIP/2.0"
        case Response():
            start = f"SIP/2.0 {message.status} {message.reason}"
    fields = [(n, v) for n, v in message.headers.fields if n.lower() != "content-length"]
    lines = [start, *(f"{n}: {v}" for n, v in fields), f"Content-Length: {len(message.body)}"]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a header value holds a line break")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + message.body
