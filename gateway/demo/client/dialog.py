"""One dialog as the client sees it: requests with their retransmissions, and what the server asks."""

from __future__ import annotations

import asyncio
import re
from uuid import uuid4

from gateway.demo.client.digest import Login
from gateway.demo.client.errors import ClientError
from gateway.demo.client.message import Headers, Message, build
from gateway.demo.client.transport import Address, Link, Transport

T1, T2 = 0.5, 4.0  # seconds, RFC 3261 table 4
TIMEOUT = 64 * T1
RING_SECONDS = 180.0  # an INVITE that was answered provisionally waits so long (timer C)
ALLOWED = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE"


def response(request: Message, status: str) -> bytes:
    copied = [pair for name in ("via", "from", "to", "call-id", "cseq") for pair in request.all(name)]
    return build(f"SIP/2.0 {status}", copied)


class Dialog:
    """One call's signalling: requests with their retransmissions, and what the server asks."""

    def __init__(self, link: Link, server: Address, transport: Transport, login: Login | None = None) -> None:
        self._link, self._transport, self._login = link, transport.upper(), login
        self.host = link.local[0]
        self.call_id = f"{uuid4().hex}@{self.host}"
        self._from = f"<sip:src@{self.host}>;tag={uuid4().hex[:8]}"
        self._to = f"<sip:srs@{server[0]}>"
        self._target = f"sip:srs@{server[0]}:{server[1]}"
        self._routes: list[tuple[str, str]] = []
        self._cseq = 0
        self._waiting: dict[str, asyncio.Queue[Message]] = {}
        self._acks: dict[str, bytes] = {}  # by CSeq, to repeat for a repeated 2xx
        self.ended = asyncio.Event()  # the server sent BYE

    async def request(
        self, method: str, content_type: str = "", body: bytes = b"", fields: Headers = ()
    ) -> Message:
        """Send a request in the dialog and wait for its final response; an INVITE is acknowledged.

        Where credentials are asked for, it is sent once more with them.
        """
        final = await self._request(method, content_type, body, fields)
        challenges = [value for _, value in final.all("www-authenticate")]
        if final.status == 401 and self._login:
            proof = self._login.answer(challenges, method, self._target)
            if proof:
                fields = [*fields, ("Authorization", proof)]
                final = await self._request(method, content_type, body, fields)
        return final

    async def _request(self, method: str, content_type: str, body: bytes, fields: Headers) -> Message:
        self._cseq += 1
        cseq, branch = self._cseq, f"z9hG4bK{uuid4().hex[:16]}"
        extra = [*self._features(method), *fields, *([("Content-Type", content_type)] if body else [])]
        queue = self._waiting[branch] = asyncio.Queue()
        try:
            final = await self._exchange(self._build(method, cseq, branch, extra, body), method, queue)
        finally:
            del self._waiting[branch]
        if method == "INVITE":
            self._acknowledge(final, cseq, branch)
        return final

    def receive(self, message: Message) -> None:
        """Take what the connection brought for this dialog."""
        if message.status is not None:
            if queue := self._waiting.get(message.branch):
                queue.put_nowait(message)
            elif ack := self._acks.get(message.get("cseq")):
                self._link.send(ack)
            return
        match message.method:
            case "ACK":
                pass
            case "BYE":
                self._link.send(response(message, "200 OK"))
                self.ended.set()
            case "OPTIONS" | "UPDATE":
                self._link.send(response(message, "200 OK"))
            case _:
                self._link.send(response(message, "501 Not Implemented"))

    async def _exchange(self, request: bytes, method: str, queue: asyncio.Queue[Message]) -> Message:
        """RFC 3261 sections 17.1.1 and 17.1.2, as seen by the one who waits."""
        loop = asyncio.get_running_loop()
        interval, until, ringing = T1, loop.time() + TIMEOUT, False
        self._link.send(request)
        while (left := until - loop.time()) > 0:
            repeat = not self._link.reliable and not ringing
            try:
                answer = await asyncio.wait_for(queue.get(), min(interval, left) if repeat else left)
            except TimeoutError:
                if repeat:
                    self._link.send(request)
                    interval = 2 * interval if method == "INVITE" else min(2 * interval, T2)
                continue
            if answer.status is not None and answer.status >= 200:
                return answer
            if method == "INVITE":
                ringing, until = True, loop.time() + RING_SECONDS
        raise ClientError(f"the server did not answer {method}")

    def _build(self, method: str, cseq: int, branch: str, extra: Headers, body: bytes = b"") -> bytes:
        host, port = self._link.local
        return build(
            f"{method} {self._target} SIP/2.0",
            [
                ("Via", f"SIP/2.0/{self._transport} {host}:{port};rport;branch={branch}"),
                ("Max-Forwards", "70"),
                *self._routes,
                ("From", self._from),
                ("To", self._to),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq} {method}"),
                *extra,
            ],
            body,
        )

    def _features(self, method: str) -> list[tuple[str, str]]:
        if method not in ("INVITE", "UPDATE"):
            return []
        host, port = self._link.local
        contact = f"<sip:src@{host}:{port};transport={self._transport.lower()}>;+sip.src"
        return [("Contact", contact), ("Require", "siprec"), ("Allow", ALLOWED)]

    def _acknowledge(self, final: Message, cseq: int, branch: str) -> None:
        """A 2xx makes the dialog and is acknowledged in it; another is part of the INVITE's transaction."""
        to = final.get("to")
        if final.status is None or final.status >= 300:
            started, self._to = self._to, to
            self._link.send(self._build("ACK", cseq, branch, ()))
            self._to = started
            return
        self._to = to
        if found := re.search(r"<([^>]+)>|^([^;\s]+)", final.get("contact")):
            self._target = found[1] or found[2]
        if not self._routes:
            self._routes = [("Route", value) for _, value in reversed(final.all("record-route"))]
        ack = self._build("ACK", cseq, f"z9hG4bK{uuid4().hex[:16]}", ())
        self._acks[f"{cseq} INVITE"] = ack
        self._link.send(ack)
