"""Peers that mean harm: each costs bounded memory, and another host's request is answered at once all the while."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateway.io import connection
from tests.io.bench_sip import OFFER, OTHER, Server, datagrams, request, serving, until

PAGE = os.sysconf("SC_PAGE_SIZE")
MEGABYTE = 1 << 20
FAIR_SECONDS = 3.0  # within which nine of ten honest requests are answered, on a machine shared with others
LOST_SECONDS = 30.0  # after which a request is as good as unanswered
SDP = "Content-Type: application/sdp"


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@asynccontextmanager
async def honest(server: Server) -> AsyncIterator[list[float]]:
    """Another host asks every 20 ms; how long each answer took. None may be missing, few late."""
    took: list[float] = []

    async def ask() -> None:
        async with datagrams(server, OTHER) as client:
            number = 0
            while True:
                number += 1
                client.last, began = b"", time.monotonic()
                client.transport.sendto(request("OPTIONS", 1_000_000 + number))
                await until(lambda: client.last, LOST_SECONDS)
                took.append(time.monotonic() - began)
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(ask())
    try:
        yield took
        await until(lambda: len(took) > 3, LOST_SECONDS)
    finally:
        asking.cancel()
        outcome = (await asyncio.gather(asking, return_exceptions=True))[0]
    assert isinstance(outcome, asyncio.CancelledError), outcome
    assert sorted(took)[len(took) * 9 // 10] < FAIR_SECONDS, took


def test_dripped_bytes_keep_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MESSAGE_SECONDS", 0.3)
    message = request("OPTIONS", 1, b"", "TCP")

    async def drip(server: Server) -> None:
        reader, writer = await asyncio.open_connection(*server.address)
        ended = asyncio.create_task(reader.read())
        for byte in message:
            if ended.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
        await asyncio.gather(ended, return_exceptions=True)
        writer.close()

    async def play() -> None:
        async with serving(tmp_path) as server, honest(server):
            await asyncio.gather(*(drip(server) for _ in range(50)))
            assert server.refused["slow_message"] == 50
            await until(lambda: not server.sip._connections)

    asyncio.run(play())


def test_silent_connections_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_SECONDS", 0.2)

    async def play() -> None:
        async with serving(tmp_path) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            assert await reader.read() == b""
            writer.close()

    asyncio.run(play())


def test_a_flood_of_connections(tmp_path: Path) -> None:
    limits = {"max_tcp_connections": 40, "max_tcp_connections_per_peer": 20}

    async def play() -> None:
        async with serving(tmp_path, limits) as server, honest(server):
            crowd = [await asyncio.open_connection(*server.address) for _ in range(500)]
            await until(lambda: server.refused["too_many_connections_of_peer"] == 480)
            assert len(server.sip._connections) == 20
            reader, writer = await asyncio.open_connection(*server.address, local_addr=(OTHER, 0))
            writer.write(request("OPTIONS", 1, b"", "TCP"))
            assert (await reader.readline()).startswith(b"SIP/2.0 200")
            for _, opened in [*crowd, (reader, writer)]:
                opened.close()
            await until(lambda: not server.sip._connections and not server.sip._crowd)

    asyncio.run(play())


def test_a_body_of_ten_megabytes(tmp_path: Path) -> None:
    head = request("INVITE", 1, b"", "TCP", SDP).replace(b"Content-Length: 0", b"Content-Length: 10485760")

    async def play() -> None:
        async with serving(tmp_path) as server, honest(server):
            before = resident()
            for _ in range(20):
                reader, writer = await asyncio.open_connection(*server.address)
                writer.write(head)
                answer = asyncio.create_task(reader.read())
                try:
                    for _ in range(160):
                        writer.write(bytes(65_536))
                        await writer.drain()
                except OSError:
                    pass  # closed in our face, as it should be
                (told,) = await asyncio.gather(answer, return_exceptions=True)
                assert isinstance(told, OSError) or str(told).startswith("b'SIP/2.0 513")
                writer.close()
            assert server.refused["too_large"] == 20
            assert resident() - before < 8 * MEGABYTE

    asyncio.run(play())


def test_a_peer_that_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_UNSENT_BYTES", 65_536)
    flood = b"".join(request("OPTIONS", number, b"", "TCP") for number in range(500))

    async def play() -> None:
        async with serving(tmp_path) as server, honest(server):
            with socket.socket() as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.setblocking(False)
                loop = asyncio.get_running_loop()
                await loop.sock_connect(deaf, server.address)
                with suppress(ConnectionError):
                    while True:  # until it is thrown out
                        await loop.sock_sendall(deaf, flood)
            await until(lambda: not server.sip._connections)

    asyncio.run(play())


def test_ten_thousand_half_open_transactions(tmp_path: Path) -> None:
    """INVITEs that nobody acknowledges, and that the gateway has not answered yet; no rate spares it any."""
    access = {"access": {"requests_per_second": 100_000.0, "requests_per_second_in_all": 100_000.0}}

    async def play() -> None:
        async with serving(tmp_path, access, answers=False, max_sessions=100) as server, honest(server):
            before = resident()
            async with datagrams(server) as flood:
                for number in range(10_000):
                    flood.transport.sendto(request("INVITE", number, OFFER, "UDP", SDP))
                    if number % 50 == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0.2)
            assert server.machine.sessions() <= 100
            assert len(server.machine._agent._layer) <= 1600
            assert sum(server.refused.values()) > 5_000
            assert resident() - before < 24 * MEGABYTE

    asyncio.run(play())


def test_rubbish(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path) as server, honest(server), datagrams(server) as client:
            for number in range(20_000):
                client.transport.sendto(os.urandom(200))
                if number % 100 == 0:
                    await asyncio.sleep(0.005)
            await until(lambda: server.refused["flood"])
            assert not client.answers

    asyncio.run(play())
