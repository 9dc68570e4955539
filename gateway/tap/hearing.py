"""One overheard message, with all of it that is followed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from gateway.sip import sdp
from gateway.sip.errors import BadMessage
from gateway.sip.headers import CSeq, NameAddr, Via
from gateway.sip.message import Headers, Message, Request, parse, parse_head
from gateway.siprec.body import CISCO_PARTICIPANT, METADATA_TYPES, SDP_TYPE
from gateway.siprec.bridge import pair_of
from gateway.siprec.multipart import MultipartError, split
from gateway.tap.effects import Place

MAX_TEXT = 1024  # characters of a Call-ID or a tag; no equipment comes near

# What a recording client is refused for, and what of a message by others is only passed over: kinds of BadMessage.
CUT = frozenset({"truncated", "unfinished_head"})
ODD = frozenset(
    {"malformed_header", "malformed_start_line", "too_many_headers", "duplicate_header", "bad_content_length"}
)

_RACK = re.compile(r"\d{1,10}\s+(\d{1,10})\s+\S+", re.ASCII)
_REFUSED = re.compile(rb"\s*SIP/2\.0\s+[3-6]\d\d")
_HEAD_END = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class DialogName:
    """How Replaces names a dialog, by the tags of whoever receives it (RFC 3891 section 3)."""

    call_id: str
    to_tag: str
    from_tag: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A message, when and where it passed. Tags of peers that have none (RFC 2543) are empty."""

    message: Message
    at_ns: int
    number: int  # of the frame
    source: Place
    destination: Place
    call_id: str
    from_tag: str
    to_tag: str
    cseq: CSeq
    branch: str  # of the topmost Via: it tells transactions apart, and the hops of one request
    hops: int  # number of Vias
    description: sdp.SessionDescription | None = None
    fault: str | None = None  # the kind of Unheard that a part of it is worth
    copy: bool = False  # of a recording session: what it carries is recorded elsewhere

    @property
    def headers(self) -> Headers:
        return self.message.headers


def hear(data: bytes, at_ns: int, number: int, source: Place, destination: Place) -> Heard:
    """Read one whole message. Raises BadMessage."""
    message, fault = _read(data)
    via = Via.parse(next(iter(message.headers.all("Via")), ""))
    call_id = message.headers.get("Call-ID") or ""
    from_tag, to_tag = (_tag(message.headers.get(name) or "") for name in ("From", "To"))
    if not call_id or max(len(text) for text in (call_id, from_tag, to_tag)) > MAX_TEXT:
        raise BadMessage(400, f"a Call-ID or a tag is empty or longer than {MAX_TEXT} characters", "bad_name")
    description, bad, metadata = _body(message)
    cseq = message.cseq
    return Heard(
        message, at_ns, number, source, destination, call_id, from_tag, to_tag,
        CSeq(cseq.number, cseq.method.upper()), via.branch, len(message.headers.all("Via")),
        description, fault or bad, metadata or _records(message),
    )  # fmt: skip


def _read(data: bytes) -> tuple[Message, str | None]:
    """The message, and a fault where a part of it cannot be read: what is left may still tell of a call."""
    try:
        return parse(data), None
    except BadMessage as error:
        if error.kind not in (*CUT, *ODD):
            raise
        cut = error.kind in CUT
    data = data.lstrip(b"\r\n")
    if cut:
        data = data[: data.rfind(b"\n") + 1]  # half a line may tell something else
    end = _HEAD_END.search(data)
    head, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    return replace(parse_head(head)[0], body=body), "cut_sip" if cut else "bad_sip"


def _tag(address: str) -> str:
    try:
        return NameAddr.parse(address).tag or ""
    except BadMessage:
        return ""


def _body(message: Message) -> tuple[sdp.SessionDescription | None, str | None, bool]:
    """The description, or why there is none to be had; and whether the metadata of a recording is there."""
    if not message.body.strip(b"\r\n\0"):
        return None, None, False
    try:
        parts = split(message.headers.get("Content-Type") or SDP_TYPE, message.body)
        metadata = any(part.media_type in METADATA_TYPES for part in parts)
        described = next((part.body for part in parts if part.media_type == SDP_TYPE), None)
        return (sdp.parse(described) if described is not None else None), None, metadata
    except (MultipartError, sdp.SdpError):
        return None, "bad_sdp", False


def _records(message: Message) -> bool:
    """Whether a request begins or changes a recording session (RFC 7866 section 6.1), or one of a phone's bridge."""
    if not isinstance(message, Request) or message.method != "INVITE":
        return False
    required = any(option.lower() == "siprec" for option in message.headers.all("Require"))
    contact = (message.headers.get("Contact") or "").lower()
    network_based = message.headers.get(CISCO_PARTICIPANT) is not None
    return required or "+sip.src" in contact or network_based or pair_of(message) is not None


def replaced(headers: Headers) -> DialogName | None:
    """The dialog whose place an INVITE asks for."""
    return _dialog_name(headers.get("Replaces") or "")


def referred_dialog(headers: Headers) -> DialogName | None:
    """The dialog that whoever is referred is to ask for (RFC 3891 section 6): a Replaces within Refer-To."""
    try:
        uri = NameAddr.parse(headers.get("Refer-To") or "").uri
    except BadMessage:
        return None
    for field in uri.partition("?")[2].split("&"):
        name, _, value = field.partition("=")
        if name.lower() == "replaces":
            return _dialog_name(unquote(value))
    return None


def acknowledged_number(headers: Headers) -> int:
    """The CSeq number of the INVITE whose response a PRACK acknowledges (RFC 3262 section 7.2); -1: not told."""
    found = _RACK.fullmatch((headers.get("RAck") or "").strip())
    return int(found[1]) if found else -1


def fared_badly(notify: Request) -> bool:
    """Whether a NOTIFY tells that a reference came to nothing (RFC 3515 section 2.4.5)."""
    return bool(_REFUSED.match(notify.body))


def _dialog_name(text: str) -> DialogName | None:
    call_id, _, rest = text.partition(";")
    params = {
        name.strip().lower(): value.strip()
        for name, _, value in (piece.partition("=") for piece in rest.split(";"))
    }
    if not call_id.strip() or len(text) > 3 * MAX_TEXT:
        return None
    return DialogName(call_id.strip(), params.get("to-tag", ""), params.get("from-tag", ""))
