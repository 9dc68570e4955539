"""The client itself and the life of one call."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from math import inf
from types import TracebackType
from typing import Self
from uuid import uuid4

from gateway.demo.client.description import Identities, destinations, metadata, offer, renamed
from gateway.demo.client.dialog import Dialog, response
from gateway.demo.client.digest import Login
from gateway.demo.client.errors import ClientError
from gateway.demo.client.message import Headers, Message, MessageError, multipart, parse
from gateway.demo.client.outcome import Ending, Outcome
from gateway.demo.client.pacer import Pacer
from gateway.demo.client.plan import Plan
from gateway.demo.client.stream import Stream
from gateway.demo.client.transport import Address, Transport, connect


async def place(plan: Plan, server: Address, transport: Transport = "udp") -> Outcome:
    """One call on a connection of its own. Raises ClientError and OSError."""
    async with Client(server, transport) as client:
        return await client.place(plan)


class Client:
    """Any number of calls at once over one connection, paced by one timer. An async context manager."""

    def __init__(
        self, server: Address, transport: Transport = "udp", login: Login | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        self.server, self.transport, self.login, self.context = server, transport, login, context
        self.pacer = Pacer()
        self.malformed = 0  # messages received that were not SIP
        self._dialogs: dict[str, Dialog] = {}

    async def __aenter__(self) -> Self:
        self.link = await connect(self.server, self.transport, self._receive, self.context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pacer.close()
        await self.link.close()

    async def place(self, plan: Plan) -> Outcome:
        """Set up a call, send its media, end it. Raises ClientError."""
        dialog = Dialog(self.link, self.server, self.transport, self.login)
        self._dialogs[dialog.call_id] = dialog
        try:
            with ExitStack() as stack:
                return await Call(plan, dialog, self.pacer, stack).run()
        finally:
            del self._dialogs[dialog.call_id]

    async def options(self) -> int:
        """Ask the server whether it is there; the status of its answer. Raises ClientError."""
        dialog = Dialog(self.link, self.server, self.transport)
        self._dialogs[dialog.call_id] = dialog
        try:
            return (await dialog.request("OPTIONS")).status or 0
        finally:
            del self._dialogs[dialog.call_id]

    def _receive(self, data: bytes) -> None:
        try:
            message = parse(data)
        except MessageError:
            self.malformed += 1
            return
        if dialog := self._dialogs.get(message.get("call-id")):
            dialog.receive(message)
        elif message.status is None and message.method != "ACK":
            self.link.send(response(message, "481 Call/Transaction Does Not Exist"))


class Call:
    """One recording session from INVITE to BYE."""

    def __init__(self, plan: Plan, dialog: Dialog, pacer: Pacer, stack: ExitStack) -> None:
        self._plan, self._dialog, self._pacer, self._stack = plan, dialog, pacer, stack
        self._loop = asyncio.get_running_loop()
        self._ids = Identities.new()
        seed = uuid4().int & 0xFFFFFF if plan.network.seed is None else plan.network.seed
        self._streams = [
            Stream(leg, plan, 2 * seed + index) for index, leg in enumerate((plan.caller, plan.callee))
        ]
        self._sockets: list[socket.socket] = []
        self._version = 0
        self._problems: list[str] = []
        self._refresh_seconds = inf
        self.refreshes = 0

    async def run(self) -> Outcome:
        asked = self._loop.time()
        body = multipart(self._offer(), metadata(self._ids, self._plan, self._dialog.host))
        final = await self._dialog.request("INVITE", *body, self._session())
        outcome = self._outcome(final, self._loop.time() - asked)
        if outcome.ending is Ending.REFUSED:
            return outcome
        self._agreed(final)
        try:
            self._connect(outcome.answer)
        except ClientError:
            await self._dialog.request("BYE")
            raise
        began = self._loop.time()
        for stream, connected in zip(self._streams, self._sockets, strict=True):
            self._pacer.add(stream, connected, began)
        try:
            ending = await self._live(began)
        finally:
            for stream in self._streams:
                self._pacer.remove(stream)
        seconds = self._loop.time() - began
        if ending is Ending.CLIENT:
            await self._try(self._dialog.request("BYE"))
        legs = tuple(stream.sent() for stream in self._streams)
        problems = tuple(self._problems)
        return replace(
            outcome,
            ending=ending,
            media_seconds=seconds,
            legs=legs,
            problems=problems,
            refreshes=self.refreshes,
        )

    async def _try(self, step: Coroutine[object, object, object]) -> None:
        """What fails while the call runs is told at its end: the call goes on."""
        try:
            await step
        except ClientError as error:
            self._problems.append(str(error))

    async def _live(self, began: float) -> Ending:
        """Do what the plan says at its times, until its end or the server's BYE."""
        plan = self._plan
        steps = [(plan.reinvite_at, self._move), (plan.update_at, self._update)]
        refresh = self._refresh_seconds
        steps += [(turn * refresh, self._refresh) for turn in range(1, int(plan.seconds / refresh) + 1)]
        for at, step in sorted(
            ((at, step) for at, step in steps if at is not None), key=lambda item: item[0]
        ):
            if await self._ended_by(began + at):
                return Ending.SERVER
            await self._try(step())
        if await self._ended_by(began + plan.seconds):
            return Ending.SERVER
        while not all(stream.finished for stream in self._streams):  # delayed packets still leave
            if await self._ended_by(self._loop.time() + plan.ptime_ms / 1000):
                return Ending.SERVER
        if await self._ended_by(self._loop.time() + plan.quiet_seconds):
            return Ending.SERVER
        return Ending.CLIENT if plan.bye else Ending.SILENT

    async def _ended_by(self, deadline: float) -> bool:
        try:
            await asyncio.wait_for(self._dialog.ended.wait(), max(0.0, deadline - self._loop.time()))
        except TimeoutError:
            return False
        return True

    async def _move(self) -> None:
        """Re-INVITE with SDP only: both streams go on from new ports."""
        final = await self._dialog.request("INVITE", "application/sdp", self._offer(), self._session())
        if final.status is None or final.status >= 300:
            raise ClientError(f"the re-INVITE was answered {final.start[8:]}")
        self._connect(final.body.decode())
        for stream, connected in zip(self._streams, self._sockets, strict=True):
            self._pacer.move(stream, connected)

    def _session(self) -> Headers:
        """The session timer asked for (RFC 4028); whoever is to refresh, we by default."""
        seconds = self._plan.session_seconds
        if seconds is None:
            return ()
        expires = f"{seconds};refresher={self._plan.refresher}"
        return [("Supported", "timer"), ("Session-Expires", expires)]

    def _agreed(self, final: Message) -> None:
        found = re.fullmatch(r"(\d+);refresher=uac", final.get("session-expires"))
        self._refresh_seconds = int(found[1]) / 2 if found else inf

    async def _refresh(self) -> None:
        final = await self._dialog.request("UPDATE", fields=self._session())
        self.refreshes += 1
        if final.status is None or final.status >= 300:
            raise ClientError(f"the refresh was answered {final.start[8:]}")

    async def _update(self) -> None:
        party = self._plan.updated or self._plan.caller.party
        body = renamed(self._ids, party, self._dialog.host)
        kind = "application/rs-metadata+xml"
        final = await self._dialog.request("UPDATE", kind, body, self._session())
        if final.status is None or final.status >= 300:
            raise ClientError(f"the UPDATE was answered {final.start[8:]}")

    def _offer(self) -> bytes:
        """SDP for a fresh pair of sockets."""
        self._sockets = [
            self._stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in self._streams
        ]
        for opened in self._sockets:
            opened.setblocking(False)
            opened.bind((self._dialog.host, 0))
        self._version += 1
        ports = [opened.getsockname()[1] for opened in self._sockets]
        return offer(self._plan, self._dialog.host, ports, self._version)

    def _connect(self, answer: str) -> None:
        found = [destination for destination in destinations(answer, self._dialog.host) if destination]
        if len(found) != len(self._sockets):
            raise ClientError(f"the answer takes {len(found)} of {len(self._sockets)} streams")
        for opened, destination in zip(self._sockets, found, strict=True):
            opened.connect(destination)

    def _outcome(self, final: Message, setup: float) -> Outcome:
        status = final.status or 0
        retry = re.match(r"\d+", final.get("retry-after"))
        ending = Ending.CLIENT if status < 300 else Ending.REFUSED
        reason = final.start.split(" ", 2)[2]
        return Outcome(
            self._dialog.call_id,
            ending,
            status,
            reason,
            int(retry[0]) if retry else None,
            setup,
            0.0,
            answer=final.body.decode("utf-8", "replace") if status < 300 else "",
        )
