"""Recording sessions at the gateway: set up and torn down at a rate, each by a real INVITE and BYE."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from bench.load import Load
from bench.traffic import EVENT_TYPE, secret
from gateway.demo.client import ClientError, Leg, Party, Plan
from gateway.demo.client.description import Identities, destinations, metadata, offer
from gateway.demo.client.dialog import Dialog
from gateway.demo.client.message import MessageError, multipart, parse
from gateway.demo.client.srtp import Srtp
from gateway.demo.client.transport import Address, Transport, connect

RTP_PORT = 9  # we only send, so any


@dataclass(frozen=True, slots=True)
class Standing:
    """A call that was answered."""

    number: int  # of the call; its legs are twice that, and one more
    dialog: Dialog | None  # none: it is overheard
    ports: tuple[int, int]
    setup_ms: float

    @property
    def legs(self) -> list[tuple[int, int]]:
        return [(2 * self.number + place, port) for place, port in enumerate(self.ports)]


class Callers:
    """All calls of a run, over one connection. An async context manager."""

    def __init__(self, server: Address, load: Load, transport: Transport = "tcp") -> None:
        self._server, self._load, self._transport = server, load, transport
        self._dialogs: dict[str, Dialog] = {}

    async def __aenter__(self) -> Self:
        self._link = await connect(self._server, self._transport, self._receive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._link.close()

    async def set_up(self, number: int) -> Standing:
        """Raises ClientError when it is refused."""
        loop = asyncio.get_running_loop()
        dialog = Dialog(self._link, self._server, self._transport)
        self._dialogs[dialog.call_id] = dialog
        plan = self._plan(number)
        sdp = offer(plan, dialog.host, (RTP_PORT, RTP_PORT), 1)
        body = multipart(sdp, metadata(Identities.new(), plan, dialog.host))
        asked = loop.time()
        final = await dialog.request("INVITE", *body)
        took = loop.time() - asked
        found = destinations(final.body.decode(), dialog.host) if (final.status or 500) < 300 else []
        match found:
            case [(_, first), (_, second)]:
                return Standing(number, dialog, (first, second), 1000 * took)
        raise ClientError(f"call {number} was answered {final.start[8:]}")

    async def tear_down(self, call: Standing) -> None:
        assert call.dialog is not None
        await call.dialog.request("BYE")
        del self._dialogs[call.dialog.call_id]

    def _plan(self, number: int) -> Plan:
        load, form = self._load, self._load.format
        parties = (
            Party(f"+1555{1_000_000 + number}", f"Caller {number}"),
            Party(str(2000 + number), f"Agent {number}"),
        )
        caller, callee = (
            Leg(party, b"", str(place + 1), srtp=Srtp(load.suite, secret(place)) if load.suite else None)
            for place, party in enumerate(parties)
        )
        return Plan(
            caller,
            callee,
            seconds=0,
            codec=load.codec,
            clock_rate=form.clock_rate,
            channels=form.channels,
            payload_type=form.payload_type,
            event_type=EVENT_TYPE,
            ptime_ms=load.ptime_ms,
        )

    def _receive(self, data: bytes) -> None:
        try:
            message = parse(data)
        except MessageError:
            return
        if dialog := self._dialogs.get(message.get("call-id")):
            dialog.receive(message)
