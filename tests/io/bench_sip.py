"""A SIP server on a free loopback port, whose calls are all answered, and a few bytes to send to it."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from gateway.codecs.registry import supported
from gateway.config.settings import Settings, parse
from gateway.io.admission import Admission
from gateway.io.sip import SessionEvent, SipServer
from gateway.sip.session_timer import Policy
from gateway.siprec.effects import Offered
from gateway.siprec.session import RecordingServer
from tests.patience import PATIENCE_SECONDS
from tests.ports import free_port

HOST, OTHER = "127.0.0.1", "127.0.0.2"  # two hosts, as the kernel sees it


class Server:
    """What was told of sessions is in `events`, what was refused is counted in `refused`."""

    def __init__(self, settings: Settings, answers: bool, max_sessions: int) -> None:
        self.settings = settings
        self.events: list[SessionEvent] = []
        self.refused: Counter[str] = Counter()
        self._answers = answers
        self.admission = Admission(settings.sip, lambda: secrets.token_hex(8))
        self.machine = RecordingServer(
            supported=supported, token=lambda: secrets.token_hex(8), max_message_bytes=65_535,
            max_sessions=max_sessions, access=self.admission.access, session_policy=Policy(),
        )  # fmt: skip
        self.sip = SipServer(
            self.machine,
            settings.sip,
            self._hear,
            lambda kind: self.refused.update([kind]),
            self.admission.tls,
        )
        self.address = HOST, settings.sip.port
        self.secure = HOST, settings.sip.tls.port

    def _hear(self, event: SessionEvent) -> None:
        self.events.append(event)
        if isinstance(event, Offered) and self._answers:
            ports = [40_000 + 2 * stream.index for stream in event.streams]
            self.sip.act(self.machine.answer(event.session, ports, HOST, self.sip.now()))


@asynccontextmanager
async def serving(
    folder: Path, sip: dict[str, Any] | None = None, answers: bool = True, max_sessions: int = 100
) -> AsyncIterator[Server]:
    table: dict[str, Any] = {"address": HOST, "port": free_port()} | (sip or {})
    if "tls" in table:
        table["tls"] = {"port": free_port()} | table["tls"]
    server = Server(parse({"sip": table}, "test", folder), answers, max_sessions)
    await server.sip.start()
    try:
        yield server
    finally:
        server.sip.close()
        await asyncio.sleep(0.05)  # for what closes to be closed


class Datagrams(asyncio.DatagramProtocol):
    """A UDP client; what came back is in `answers`, by status."""

    def __init__(self) -> None:
        self.answers: Counter[str] = Counter()
        self.last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, peer: object) -> None:
        self.last = data
        self.answers[data[8:11].decode()] += 1


@asynccontextmanager
async def datagrams(server: Server, host: str = HOST) -> AsyncIterator[Datagrams]:
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_datagram_endpoint(
        Datagrams, local_addr=(host, 0), remote_addr=server.address
    )
    try:
        yield client
    finally:
        transport.close()


def request(method: str, number: int = 1, body: bytes = b"", transport: str = "UDP", *extra: str) -> bytes:
    lines = [
        f"{method} sip:srs@{HOST} SIP/2.0",
        f"Via: SIP/2.0/{transport} {HOST};rport;branch=z9hG4bK{method}{number}",
        f"From: <sip:src@{HOST}>;tag=t{number}",
        f"To: <sip:srs@{HOST}>",
        f"Call-ID: {number}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:src@{HOST}>",
        *extra,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


OFFER = b"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 6000 RTP/AVP 8\r\na=sendonly\r\na=label:1\r\n"


async def until(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Fails when the condition has not come true by then."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "not so in time"
        await asyncio.sleep(0.005)
