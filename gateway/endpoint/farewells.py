"""What takes leave of the peers of a process that died: BYE where a dialog stands, CANCEL where a phone still rings. Pure.

Sent once, by who knows of the dialog no more than what went by; a peer that does not get it has its own timers.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

from gateway.sip.errors import BadMessage
from gateway.sip.headers import MAGIC_COOKIE, NameAddr
from gateway.sip.message import Headers, Message, Request, Response

MAX_KEPT = 1024  # dialogs of one endpoint; it has two for each of two hundred calls
LAST_CSEQ = 2**30  # above any that the process sent, RFC 3261 section 8.1.1.5
LEAVING = f"{MAGIC_COOKIE}htleave"  # begins the branches of what is sent here


class Farewells:
    """Follows messages as the outside has them; `via` is ours, without transport and branch."""

    def __init__(self, via: str) -> None:
        self._via = via
        self._targets: OrderedDict[str, str] = OrderedDict()  # Contact of who calls us, by Call-ID
        self._leaves: OrderedDict[str, Request] = OrderedDict()

    def heard(self, message: Message, outward: bool) -> None:
        """Something was forwarded. What cannot be read is passed over."""
        call_id = message.headers.get("Call-ID") or ""
        try:
            self._follow(message, call_id, outward)
        except BadMessage:
            return
        for kept in (self._targets, self._leaves):
            while len(kept) > MAX_KEPT:
                kept.popitem(last=False)

    def forget(self, call_id: str) -> None:
        self._targets.pop(call_id, None)
        self._leaves.pop(call_id, None)

    def take(self, call_id: str) -> Request | None:
        """What ends a dialog, once; without Via transport, which who sends it knows."""
        found = self._leaves.get(call_id)
        self.forget(call_id)
        return found

    def sent_by(self, transport: str, request: Request) -> Request:
        """Ready to be sent; a CANCEL has the Via of its INVITE already."""
        if request.method == "CANCEL":
            return request
        via = f"SIP/2.0/{transport.upper()} {self._via};rport;branch={LEAVING}{abs(hash(request.headers)) % 10**12}"
        return replace(request, headers=Headers((("Via", via), *request.headers.fields)))

    def _follow(self, message: Message, call_id: str, outward: bool) -> None:
        match message:
            case Request(method="BYE"):
                self.forget(call_id)
            case Request(method="INVITE") if not outward:
                self._targets[call_id] = _uri(message.headers)
            case Request(method="INVITE") if NameAddr.parse(message.headers.get("To") or "").tag is None:
                self._leaves[call_id] = _cancel(message)
            case Response(status=status) if message.cseq.method == "INVITE" and status >= 300:
                if (left := self._leaves.get(call_id)) and left.method == "CANCEL":
                    self.forget(call_id)
            case Response(status=status) if message.cseq.method == "INVITE" and status >= 200:
                bye = self._bye(message, call_id, outward)
                if bye.uri:  # else there is nowhere to send it
                    self._leaves[call_id] = bye

    def _bye(self, answer: Response, call_id: str, outward: bool) -> Request:
        headers = answer.headers
        ours, theirs = ("To", "From") if outward else ("From", "To")
        routes = headers.all("Record-Route") if outward else headers.all("Record-Route")[::-1]
        target = self._targets.get(call_id, "") if outward else _uri(headers)
        fields = (
            *(("Route", route) for route in routes),
            ("From", headers.get(ours) or ""),
            ("To", headers.get(theirs) or ""),
            ("Call-ID", call_id),
            ("CSeq", f"{LAST_CSEQ} BYE"),
            ("Max-Forwards", "70"),
        )
        return Request("BYE", target, Headers(fields))


def _cancel(invite: Request) -> Request:
    """RFC 3261 section 9.1."""
    headers = invite.headers
    fields = (
        ("Via", headers.all("Via")[0]),
        *(("Route", route) for route in headers.all("Route")),
        *((name, headers.get(name) or "") for name in ("From", "To", "Call-ID")),
        ("CSeq", f"{invite.cseq.number} CANCEL"),
        ("Max-Forwards", "70"),
    )
    return Request("CANCEL", invite.uri, Headers(fields))


def _uri(headers: Headers) -> str:
    """Raises BadMessage."""
    return NameAddr.parse(next(iter(headers.all("Contact")), "")).uri
