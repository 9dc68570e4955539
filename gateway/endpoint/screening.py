"""What of a message from outside reaches an endpoint process. Pure.

pjsip as published ends its process at some of what it does not expect (an INFO without a key, an address of another
family), and does not answer what it cannot read. So only fields that it needs pass, one by one, in the plainest writing;
a description passes as the lines that audio needs, a key as one of the keypad's. All else is refused here, in one sentence.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.endpoint.describing import described, offers_audio
from gateway.sip.answers import media_type
from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr, SipUri
from gateway.sip.message import Headers, Message, Request
from gateway.sip.sdp import SdpError
from gateway.siprec.dtmf import KEYS, TYPES, DtmfError, key_of
from gateway.siprec.multipart import MultipartError, split

MAX_OCTETS = (
    3_800  # of a message; the published build of pjsip reads 4,000, and puts in a little before it counts
)
MAX_VALUE = 512  # characters of a field's value
MAX_ROUTES = 16  # of one message
OFFERING = ("INVITE", "UPDATE")  # methods whose description is an offer
SDP, KEY = "application/sdp", "application/dtmf-relay"

# The fields of a dialog, of what is agreed for it, and of authentication; what each must look like.
_WORD = r"[\w.!%*+`'~-]+"
_TOKENS = re.compile(rf"{_WORD}(?:\s*,\s*{_WORD})*", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_INTERVAL = re.compile(r"\d{1,9}(?:\s*;\s*refresher\s*=\s*ua[cs])?", re.ASCII | re.IGNORECASE)
_FIELDS = {
    "require": _TOKENS, "supported": _TOKENS, "allow": _TOKENS, "unsupported": _TOKENS,
    "session-expires": _INTERVAL, "min-se": _NUMBER, "expires": _NUMBER, "min-expires": _NUMBER,
    "rseq": _NUMBER, "rack": re.compile(rf"\d{{1,9}}\s+\d{{1,9}}\s+{_WORD}", re.ASCII), "retry-after": _NUMBER,
    "www-authenticate": re.compile(r"Digest\s[ -~]+", re.IGNORECASE),
    "proxy-authenticate": re.compile(r"Digest\s[ -~]+", re.IGNORECASE),
}  # fmt: skip
_PARAMETERS = frozenset({"min-se"})  # of which only the value before any parameter passes
_PLAIN = re.compile(r"[!-~]+")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]+", re.IGNORECASE)
_DISPLAY = re.compile(r"[ -~]{1,128}")


def screened(message: Message) -> Message:
    """As a process may see it, but for its Via. Raises BadMessage with what to answer."""
    headers = message.headers
    call_id = headers.get("Call-ID") or ""
    if not _PLAIN.fullmatch(call_id) or len(call_id) > MAX_VALUE:
        raise BadMessage(400, "Call-ID is not a word", "bad_call_id")
    fields = [
        ("From", _person(headers.get("From"))), ("To", _person(headers.get("To"))), ("Call-ID", call_id),
        ("CSeq", str(message.cseq)), *_contact(message),
    ]  # fmt: skip
    for name in ("Route", "Record-Route"):
        fields += [(name, _route(each)) for each in headers.all(name)[:MAX_ROUTES]]
    for name, form in _FIELDS.items():
        values = (value.partition(";")[0] if name in _PARAMETERS else value for value in headers.all(name))
        fields += [(name, value) for value in values if len(value) <= MAX_VALUE and form.fullmatch(value)]
    body, kind = _body(message)
    if body:
        fields.append(("Content-Type", kind))
    if isinstance(message, Request):
        if not _URI.fullmatch(message.uri):
            raise BadMessage(400, "the request's URI has octets that none has", "bad_uri")
        return replace(message, headers=Headers(tuple(fields)), body=body)
    return replace(message, reason="Answered", headers=Headers(tuple(fields)), body=body)


def fits(data: bytes) -> None:
    """Raises BadMessage for what pjsip would cut off."""
    if len(data) > MAX_OCTETS:
        raise BadMessage(513, f"more than {MAX_OCTETS:,} octets that matter", "too_large")


def _person(value: str | None) -> str:
    address = NameAddr.parse(value or "")
    if not _URI.fullmatch(address.uri) or len(address.uri) > MAX_VALUE:
        raise BadMessage(400, "an address header holds no readable address", "bad_address")
    tag = address.tag
    if tag is not None and not re.fullmatch(_WORD, tag, re.ASCII):
        raise BadMessage(400, "a tag is not a token", "bad_address")
    display = address.display if _DISPLAY.fullmatch(address.display) else ""
    return str(NameAddr(address.uri, display, (("tag", tag),) if tag else ()))


def _contact(message: Message) -> list[tuple[str, str]]:
    """The first one; a dialog cannot be without, RFC 3261 section 12.1."""
    value = next(iter(message.headers.all("Contact")), None)
    if value is None:
        if isinstance(message, Request) and message.method == "INVITE":
            raise BadMessage(400, "an INVITE has no Contact", "missing_header")
        return []
    try:
        address = NameAddr.parse(value)
        hop = _hop(address.uri)
    except BadMessage:
        if message.cseq.method == "INVITE":
            raise
        return []  # else no matter: a BYE above all is to be heard
    expires = tuple((name, text) for name, text in address.params if name == "expires" and text)
    if any(not _NUMBER.fullmatch(text or "") for _, text in expires):
        expires = ()
    return [("Contact", str(NameAddr(hop, "", expires)))]


def _route(value: str) -> str:
    return f"<{_hop(NameAddr.parse(value).uri)}>"


def _hop(uri: str) -> str:
    """A place that a request can be sent to. Raises BadMessage."""
    if not _URI.fullmatch(uri) or len(uri) > MAX_VALUE or SipUri.parse(uri).scheme != "sip":
        raise BadMessage(400, "a Contact or a route is no sip URI", "bad_uri")
    return uri


def _body(message: Message) -> tuple[bytes, str]:
    if isinstance(message, Request) and message.method == "INFO":
        return _key(message)
    if not message.body:
        return b"", ""
    try:
        parts = split(message.headers.get("Content-Type") or SDP, message.body)
        sdp = next((part.body for part in parts if part.media_type == SDP), None)
        if sdp is not None:
            text = described(sdp)
            offered = isinstance(message, Request) and message.method in OFFERING
            if offered and not offers_audio(text):  # pjsip has no answer to it
                raise BadMessage(488, "the description has no audio over RTP and IPv4", "no_audio")
            return text, SDP
    except (MultipartError, SdpError) as error:
        raise BadMessage(400, "the description cannot be read", "bad_description") from error
    if isinstance(message, Request) and message.method in OFFERING:
        raise BadMessage(415, "the body is no description", "unsupported_body")
    return b"", ""


def _key(request: Request) -> tuple[bytes, str]:
    """A key, written in one way; nothing, where none is told of (RFC 6086 section 4.2.2)."""
    try:
        found = key_of(request)
    except DtmfError as error:
        raise BadMessage(400, "the body tells of no key", "bad_key") from error
    if found is None:
        if request.body and media_type(request.headers) not in TYPES:
            raise BadMessage(415, "the body tells of no key", "unsupported_body")
        return b"", ""
    digit, lasts_ms = found
    key = next(name for name, each in KEYS.items() if each is digit and len(name) == 1)
    lasts = f"Duration={lasts_ms}\r\n" if lasts_ms else ""
    return f"Signal={key}\r\n{lasts}".encode(), KEY
