"""Structured header values (RFC 3261 sections 19.1, 20 and 25.1).

Every `parse` raises BadMessage (400), and nothing else, for text it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.sip.errors import BadMessage

MAGIC_COOKIE = "z9hG4bK"  # a branch that starts so identifies its transaction alone, section 8.1.1.7
MAX_CSEQ = 2**31 - 1  # section 8.1.1.5
MAX_PORT = 65_535

Params = tuple[tuple[str, str | None], ...]

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_VIA = re.compile(
    r"SIP\s*/\s*\d+\.\d+\s*/\s*(?P<transport>[\w.-]+)\s+(?P<by>[^;]+)(?P<params>;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[\w.-]+)\s*(?::\s*(?P<port>\d{1,5}))?")
_CSEQ = re.compile(r"(?P<number>\d{1,10})\s+(?P<method>[\w.!%*+`'~-]+)")
_URI = re.compile(
    r"(?P<scheme>sips?):(?:(?P<user>[^@:]*)(?::[^@]*)?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::(?P<port>\d{1,5}))?(?P<params>;[^?]*)?(?:\?.*)?",
    re.IGNORECASE,
)


def split(text: str, separator: str) -> Iterator[str]:
    """Pieces between separators, which count neither in quoted strings nor in angle brackets."""
    if separator not in text:
        yield text.strip()
        return
    start, quoted, bracketed, escaped = 0, False, False, False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "<>":
            bracketed = char == "<"
        elif char == separator and not bracketed:
            yield text[start:at].strip()
            start = at + 1
    yield text[start:].strip()


def parse_params(text: str | None) -> Params:
    """`;name=value;flag` as pairs: names in lower case, values as written."""
    if not text:
        return ()
    pieces = (piece.partition("=") for piece in split(text, ";") if piece)
    return tuple((name.strip().lower(), value.strip() if equals else None) for name, equals, value in pieces)


def write_params(params: Params) -> str:
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)


def _param(params: Params, name: str) -> str | None:
    """The parameter's value, empty for a flag, None when it is absent."""
    return next((value or "" for key, value in params if key == name), None)


def _host_port(text: str, where: str) -> tuple[str, int | None]:
    found = _HOST_PORT.fullmatch(text.strip())
    if not found or int(found["port"] or 0) > MAX_PORT:
        raise BadMessage(400, f"{where} has no readable host and port", f"bad_{where.lower()}")
    return found["host"], int(found["port"]) if found["port"] else None


@dataclass(frozen=True, slots=True)
class Via:
    """One hop, section 20.42."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> Via:
        found = _VIA.fullmatch(text.strip())
        if not found:
            raise BadMessage(400, "Via is not a protocol, a sent-by and parameters", "bad_via")
        host, port = _host_port(found["by"], "Via")
        return cls(found["transport"].upper(), host, port, parse_params(found["params"]))

    @property
    def branch(self) -> str:
        return _param(self.params, "branch") or ""

    def stamped(self, peer: tuple[str, int]) -> Via:
        """With where the message really came from (section 18.2.1, RFC 3581 section 4)."""
        asked = _param(self.params, "rport") is not None
        params = tuple((n, str(peer[1]) if n == "rport" else v) for n, v in self.params if n != "received")
        if asked or self.host.strip("[]") != peer[0]:
            params += (("received", peer[0]),)
        return replace(self, params=params)

    def reply_to(self, peer: tuple[str, int]) -> tuple[str, int]:
        """Where a UDP answer goes: the real address, and the real port when rport asked for it."""
        return peer if _param(self.params, "rport") is not None else (peer[0], self.port or 5060)

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{write_params(self.params)}"


@dataclass(frozen=True, slots=True)
class NameAddr:
    """From, To, Contact, Route: a display name, a URI, parameters of the header."""

    uri: str
    display: str = ""  # without quotes and escapes
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        text = text.strip()
        display = ""
        if quoted := _QUOTED.match(text):
            display = re.sub(r"\\(.)", r"\1", quoted[0][1:-1], flags=re.DOTALL)
            text = text[quoted.end() :].lstrip()
        before, opened, rest = text.partition("<")
        if opened:
            uri, closed, params = rest.partition(">")
            display = display or before.strip()
        else:
            # Section 20.10: without angle brackets, parameters belong to the header.
            uri, closed, params = before.partition(";")
            closed = "" if quoted else "none needed"
        uri = uri.strip()
        if not closed or not uri or set('">') & set(uri):
            raise BadMessage(400, "an address header holds no readable address", "bad_address")
        return cls(uri, display, parse_params(params))

    @property
    def tag(self) -> str | None:
        return _param(self.params, "tag") or None

    def __str__(self) -> str:
        escaped = self.display.replace("\\", "\\\\").replace('"', '\\"')
        return (f'"{escaped}" ' if self.display else "") + f"<{self.uri}>{write_params(self.params)}"


@dataclass(frozen=True, slots=True)
class SipUri:
    """A sip or sips URI, section 19.1; a password and headers are read over."""

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: Params = ()

    @classmethod
    def parse(cls, text: str) -> SipUri:
        found = _URI.fullmatch(text)
        if not found or int(found["port"] or 0) > MAX_PORT:
            raise BadMessage(400, "a URI is not a readable sip or sips URI", "bad_uri")
        port = int(found["port"]) if found["port"] else None
        params = parse_params(found["params"])
        return cls(found["scheme"].lower(), found["user"], found["host"], port, params)

    @property
    def loose(self) -> bool:
        """Whether a route of this URI is a loose router, section 19.1.1."""
        return _param(self.params, "lr") is not None

    def __str__(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}:{user}{self.host}{port}{write_params(self.params)}"


@dataclass(frozen=True, slots=True)
class CSeq:
    """The sequence number of a request, section 20.16."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        found = _CSEQ.fullmatch(text.strip())
        if not found or int(found["number"]) > MAX_CSEQ:
            raise BadMessage(400, f"CSeq is not a number up to {MAX_CSEQ} and a method", "bad_cseq")
        return cls(int(found["number"]), found["method"])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def bracketed(host: str) -> str:
    """A host as URIs and Via write it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
