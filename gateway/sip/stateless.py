"""A stateless user agent server (RFC 3261 section 8.2.7): what is answered at once holds no memory.

Strangers, health checks and every request that is refused outside a transaction are its business.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace

from gateway.sip.access import Access
from gateway.sip.answers import Fields, Objection, Profile, response, retry_after
from gateway.sip.effects import Effect, Flow, Rejected, Send
from gateway.sip.errors import BadMessage
from gateway.sip.message import Request, parse, serialise


class StatelessServer:
    """`secret` makes the tags of its answers, the same for the same request."""

    def __init__(self, profile: Profile, access: Access | None, secret: str) -> None:
        self._profile = profile
        self._access = access
        self._secret = secret
        self.busy_seconds: int | None = None  # Retry-After of OPTIONS while new calls are not taken

    def admits(self, host: str) -> bool:
        """Whether a host may speak to us at all."""
        return self._access is None or host in self._access.allowed

    def floods(self, flow: Flow, now: float) -> bool:
        """Whether a datagram goes unread; what matters is sent again."""
        return not flow.reliable and self._access is not None and self._access.floods(flow.peer[0], now)

    def inadmissible(self, request: Request, host: str, now: float) -> Objection | None:
        """Why a host may not begin a dialog now."""
        if self._access is None:
            return None
        return self._access.too_often(host, now) or self._access.unproven(request, host, now)

    def unproven(self, request: Request, host: str, now: float) -> Objection | None:
        """Why a request within a dialog is not believed to come from who began it."""
        return self._access.unproven(request, host, now) if self._access else None

    def stranger(self, data: bytes, flow: Flow, now: float) -> list[Effect]:
        """One who may not speak to us gets few answers, none to what he did not ask rightly, and no state."""
        effects: list[Effect] = [Rejected("unknown_peer")]
        if self._access and self._access.answers_stranger(flow.peer[0], now):
            with suppress(BadMessage):
                message = parse(data)
                if isinstance(message, Request) and message.method != "ACK":
                    effects += self.answer(stamped(message, flow), flow, 403, ())
        return effects

    def options(self, request: Request, flow: Flow, now: float) -> list[Effect]:
        """Health checks: 200 when a call would be taken, else 503."""
        if self._access and (fault := self._access.too_often(flow.peer[0], now)):
            return self.refuse(request, flow, fault.status, fault.kind, fault.fields)
        described = self._profile.described()
        if self.busy_seconds is not None:
            return self.answer(request, flow, 503, (*retry_after(self.busy_seconds), *described))
        return self.answer(request, flow, 200, described)

    def refuse(
        self, request: Request, flow: Flow, status: int, kind: str, fields: Fields = ()
    ) -> list[Effect]:
        """Counted by kind, and answered."""
        return [Rejected(kind), *self.answer(request, flow, status, fields)]

    def answer(self, request: Request, flow: Flow, status: int, fields: Fields) -> list[Effect]:
        """The same request gets the same tag without our remembering it."""
        source = f"{self._secret} {request.via.branch} {request.headers.get('Call-ID')}"
        tag = hashlib.sha256(source.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return [Send(serialise(response(request, status, tag, fields)), back(request, flow))]


def stamped(request: Request, flow: Flow) -> Request:
    """With where it came from in its Via, section 18.2.1. Raises BadMessage where there is none."""
    headers = request.headers.with_first("Via", str(request.via.stamped(flow.peer)))
    return replace(request, headers=headers)


def back(request: Request, flow: Flow) -> Flow:
    """Where the responses to a request go, section 18.2.2."""
    return flow if flow.reliable else replace(flow, peer=request.via.reply_to(flow.peer))
