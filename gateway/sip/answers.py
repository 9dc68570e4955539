"""Responses and what a request must satisfy before it is looked into (RFC 3261 section 8.2)."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sip.effects import Flow
from gateway.sip.headers import bracketed
from gateway.sip.message import Headers, Request, Response

Fields = tuple[tuple[str, str], ...]

METHODS = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "INFO")
ALLOW: Fields = (("Allow", ", ".join(METHODS)),)
SCHEMES = ("sip", "sips", "tel")
# Binds only provisional responses above 100 (RFC 3262), and none is ever sent.
NEVER_USED = frozenset({"100rel"})
RETRY_SECONDS = 5  # asked of a peer that comes at a bad time; longer than one setup, shorter than patience

REASONS = {
    100: "Trying", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    405: "Method Not Allowed", 414: "Request-URI Too Long", 422: "Session Interval Too Small",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension",
    480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected",
    487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error",
    503: "Service Unavailable", 505: "Version Not Supported", 513: "Message Too Large",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Profile:
    """What this user agent understands and says of itself."""

    accepts: tuple[str, ...] = ("application/sdp",)  # body types; any multipart goes with "multipart/mixed"
    options: tuple[str, ...] = ()  # option tags taken in Require
    contact_params: str = ""  # feature tags of our Contact, as ";+sip.srs"

    def described(self) -> Fields:
        """For the answer to OPTIONS, section 11.2."""
        return (*ALLOW, ("Accept", ", ".join(self.accepts)), ("Supported", ", ".join(self.options)))

    def contact(self, flow: Flow, uri: str = "") -> str:
        """Our address; a sips URI to a peer that used one, which says TLS by itself (RFC 5630 section 3.1.3)."""
        host, port = flow.local
        secure = flow.transport == "tls" and uri.partition(":")[0].lower() == "sips"
        transport = f";transport={flow.transport}" if flow.reliable and not secure else ""
        return f"<sip{'s' * secure}:{bracketed(host)}:{port}{transport}>{self.contact_params}"


@dataclass(frozen=True, slots=True)
class Objection:
    status: int
    kind: str
    fields: Fields = ()


def response(
    request: Request, status: int, tag: str = "", fields: Fields = (), body: bytes = b"", reason: str = ""
) -> Response:
    """A response as section 8.2.6 builds it; `tag` completes a To that has none."""
    headers = request.headers
    to = headers.get("To") or ""
    if to and tag and status > 100 and not _has_tag(to):
        to += f";tag={tag}"
    echoed = [("Via", via) for via in headers.all("Via")]
    if request.method == "INVITE" and 100 < status < 300:
        echoed += [("Record-Route", route) for route in headers.all("Record-Route")]
    echoed += [("From", headers.get("From") or ""), ("To", to)]
    echoed += [(name, headers.get(name) or "") for name in ("Call-ID", "CSeq")]
    if status == 100 and (stamp := headers.get("Timestamp")):
        echoed.append(("Timestamp", stamp))
    present = tuple(field for field in echoed if field[1])  # a bad request may lack some
    return Response(status, reason or REASONS.get(status, "Refused"), Headers((*present, *fields)), body)


def _has_tag(to: str) -> bool:
    return any(part.strip().lower().startswith("tag=") for part in to.rpartition(">")[2].split(";")[1:])


def retry_after(seconds: int = RETRY_SECONDS) -> Fields:
    return (("Retry-After", str(seconds)),)


def objection(request: Request, profile: Profile) -> Objection | None:
    """Why a request is refused unread, in the order of section 8.2. Max-Forwards 0 is none: it ends here anyway."""
    if request.method not in METHODS:
        return Objection(405, "unknown_method", ALLOW)
    if request.uri.startswith("<"):
        return Objection(400, "bad_uri")
    if request.uri.partition(":")[0].lower() not in SCHEMES:
        return Objection(416, "unsupported_scheme")
    # A BYE is never refused for its options: a call left open is worse.
    taken = {option.lower() for option in profile.options} | NEVER_USED
    unknown = [option for option in request.headers.all("Require") if option.lower() not in taken]
    if unknown and request.method not in ("ACK", "CANCEL", "BYE"):
        return Objection(420, "unsupported_extension", (("Unsupported", ", ".join(unknown)),))
    if request.method in ("INVITE", "UPDATE") and request.body:
        return _body_objection(request, profile)
    return None


def _body_objection(request: Request, profile: Profile) -> Objection | None:
    coding = (request.headers.get("Content-Encoding") or "identity").lower()
    if coding != "identity":
        return Objection(415, "unsupported_encoding", (("Accept-Encoding", "identity"),))
    kind = media_type(request.headers)
    multipart = kind.startswith("multipart/") and "multipart/mixed" in profile.accepts
    if kind in profile.accepts or multipart:
        return None
    return Objection(415, "unsupported_body", (("Accept", ", ".join(profile.accepts)),))


def media_type(headers: Headers) -> str:
    """Type and subtype in lower case; a body without Content-Type is taken for SDP, as it nearly always is."""
    kind = headers.get("Content-Type") or "application/sdp"
    return "".join(kind.partition(";")[0].split()).lower()
