"""The WebSocket at /v1/live: one message from the client, then live state until either side leaves."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.console.desk import NOT_THIS_EXTENSION
from gateway.console.gate import Gate
from gateway.console.live import Broadcast, Watcher
from gateway.console.meters import Meters
from gateway.console.problems import Problem, busy
from gateway.console.shapes import Hello

HELLO_SECONDS = 5.0  # until the client has said who it is
SEND_SECONDS = 5.0  # a reader that takes longer for one message is dropped
# Plus the status that HTTP would have: 4000 to 4999 are for applications (RFC 6455 section 7.4.2).
CLOSE = 4000


class LiveSocket:
    def __init__(self, gate: Gate, broadcast: Broadcast, meters: Meters, most: int) -> None:
        self._gate, self._broadcast, self._meters = gate, broadcast, meters
        self._room = most

    async def serve(self, socket: WebSocket) -> None:
        if not self._room:
            await socket.send_denial_response(busy("WebSockets").response())
            return
        self._room -= 1
        try:
            with self._meters.live.track_inprogress():
                await self._serve(socket)
        finally:
            self._room += 1

    async def _serve(self, socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):  # who has left needs no answer
            await socket.accept()
            try:
                await self._watch(socket, await self._hello(socket))
            except Problem as problem:
                await socket.close(CLOSE + problem.status, problem.detail)
            except TimeoutError:
                self._meters.refused.labels("slow").inc()

    async def _hello(self, socket: WebSocket) -> Watcher:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                hello = Hello.model_validate_json(await socket.receive_text())
        except TimeoutError:
            raise Problem(408, f"no token within {HELLO_SECONDS:g} s") from None
        except (ValidationError, KeyError):  # KeyError: a binary message
            raise Problem(400, 'the first message is expected to be {"token": ...}') from None
        agent = self._gate.admit(hello.token, socket.client.host if socket.client else "")
        if hello.extension is None:
            return Watcher(agent, agent.extensions)
        if not agent.answers_for(hello.extension):
            raise Problem(403, NOT_THIS_EXTENSION)
        return Watcher(agent, frozenset([hello.extension]))

    async def _watch(self, socket: WebSocket, watcher: Watcher) -> None:
        leaving = asyncio.create_task(_left(socket))
        leaving.add_done_callback(lambda _: watcher.ready.set())
        self._broadcast.add(watcher)
        try:
            while not leaving.done():
                await _tell(socket, watcher)
            leaving.result()
        finally:
            self._broadcast.remove(watcher)
            leaving.cancel()


async def _tell(socket: WebSocket, watcher: Watcher) -> None:
    """The newest message, when there is one."""
    await watcher.ready.wait()
    watcher.ready.clear()
    if watcher.revoked:
        raise Problem(401, "this token was revoked")
    message, watcher.message = watcher.message, None
    if message is not None:
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_text(message)


async def _left(socket: WebSocket) -> None:
    """Ends when the client leaves; it has nothing more to say. Raises Problem where it does."""
    message = await socket.receive()
    if message["type"] != "websocket.disconnect":
        raise Problem(400, "nothing is expected after the first message")
