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
        self._cancelled: OrderedDict[str, Request] = OrderedDict()  # what rang when it was left

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

    def leaving(self, call_id: str) -> Request | None:
        """What would end a dialog, which goes on."""
        return self._leaves.get(call_id)

    def stands(self, call_id: str) -> bool:
        """Whether there is a dialog, or is to be one."""
        return call_id in self._leaves

    def forget(self, call_id: str) -> None:
        self._targets.pop(call_id, None)
        self._leaves.pop(call_id, None)

    def take(self, call_id: str) -> Request | None:
        """What ends a dialog, once; without Via transport, which who sends it knows."""
        found = self._leaves.get(call_id)
        self.forget(call_id)
        if found and found.method == "CANCEL":
            self._cancelled[call_id] = found
            if len(self._cancelled) > MAX_KEPT:
                self._cancelled.popitem(last=False)
        return found

    def crossed(self, answer: Response) -> list[Request]:
        """What a final response asks for that comes for a call left while it rang: ACK, and BYE where somebody picked up."""
        call_id = answer.headers.get("Call-ID") or ""
        cancel = self._cancelled.get(call_id)
        if cancel is None or answer.cseq.method != "INVITE" or answer.status < 200:
            return []
        acked = ("CSeq", f"{answer.cseq.number} ACK")
        if answer.status >= 300:  # of the same transaction, RFC 3261 section 17.1.1.3
            kept = tuple(field for field in cancel.headers.fields if field[0] not in ("To", "CSeq"))
            return [
                replace(
                    cancel,
                    method="ACK",
                    headers=Headers((*kept, ("To", answer.headers.get("To") or ""), acked)),
                )
            ]
        bye = self._bye(answer, call_id, outward=False)
        kept = tuple(field for field in bye.headers.fields if field[0] != "CSeq")
        return [Request("ACK", bye.uri, Headers((*kept, acked))), bye]

    def sent_by(self, transport: str, request: Request) -> Request:
        """Ready to be sent; what belongs to the transaction of an INVITE has its Via already."""
        if request.headers.get("Via"):
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
