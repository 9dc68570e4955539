"""Around every request: limits before it, security headers on its answer, a problem where it fails, one count."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.console.faults import place_of
from gateway.console.gate import Gate
from gateway.console.meters import Meters
from gateway.console.problems import Problem, busy

log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
SAFE = ("GET", "HEAD", "OPTIONS")  # RFC 9110 section 9.2.1
PLACE = re.compile(r"(?:\[([^][]+)]|([^][:]+))(?::[0-9]+)?")  # of a Host header: address or name, and port
STRANGE = "requests from pages of this origin are not taken; api.origins names those that are"


class Shield:
    """ASGI middleware, the outermost of ours."""

    def __init__(self, app: ASGIApp, gate: Gate, meters: Meters, origins: Iterable[str], most: int) -> None:
        self._app, self._gate, self._meters = app, gate, meters
        self._origins = frozenset(origin.lower() for origin in origins)
        self._room = most  # requests that may be answered at once

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(scope, receive, send)
        try:
            self._look(scope)
            if scope["type"] == "websocket":
                await self._app(scope, receive, answer.send)
            else:
                await self._serve(scope, answer)
        except Problem as problem:
            await answer.give(problem.response())
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends one request only
            log.error("a request failed: %s", place_of(error))
            if not answer.begun:
                await answer.give(Problem(500, "a fault of the gateway, noted in its log").response())
        if answer.status:
            route = getattr(scope.get("route"), "path", "none")
            self._meters.requests.labels(route, str(answer.status)).inc()

    def _look(self, scope: Scope) -> None:
        """Raises Problem."""
        client = scope.get("client")
        self._gate.knock(client[0] if client else "")
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            headers = Headers(scope=scope)
            scheme = "https" if scope["scheme"] in ("https", "wss") else "http"
            own = f"{scheme}://{headers.get('host', '')}"
            origin = headers.get("origin")
            if origin is not None and not self._is_ours(origin.lower(), own.lower()):
                raise Problem(403, STRANGE)

    async def _serve(self, scope: Scope, answer: _Answer) -> None:
        if not self._room:
            raise busy("requests")
        self._room -= 1
        try:
            await self._app(scope, answer.receive, answer.send)
        finally:
            self._room += 1

    def _is_ours(self, origin: str, own: str) -> bool:
        """A page of where we were asked; if by a name, only where it is set: a stranger's name may lead here, too."""
        return origin in self._origins or (origin == own and _is_plain(own.partition("://")[2]))


class _Answer:
    """Watches what is received and sent of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        headers = Headers(scope=scope)
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        self.status = 0

    @property
    def begun(self) -> bool:
        return bool(self.status)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self._begin(message)
            case "websocket.accept":
                self.status = 101
        await self._send(message)

    def _begin(self, message: Message) -> None:
        self.status = message["status"]
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
        if self._unread:  # else the server would take the rest of the body, however long
            headers["Connection"] = "close"

    async def give(self, response: Response) -> None:
        await response(self._scope, self._receive, self.send)


def _is_plain(place: str) -> bool:
    """Whether a host is given as an address or as localhost, which no name server can change."""
    found = PLACE.fullmatch(place)
    if found is None:
        return False
    host = found[1] or found[2]
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return True
