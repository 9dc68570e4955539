"""One host attacks while another's calls are recorded: not a packet of them is lost, and memory stays bounded."""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from gateway.demo.client import Ending
from tests.end_to_end import callers
from tests.end_to_end.gateway import Gateway, until
from tests.io.bench_sip import OFFER, OTHER, request

INVITES = 10_000
CONNECTIONS = 300
CALLS = 4
MEGABYTE = 1 << 20


def resident(pid: int) -> int:
    """Bytes."""
    (line,) = [
        line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")
    ]
    return int(line.split()[1]) * 1024


def attack(server: tuple[str, int]) -> None:
    """INVITEs that are never acknowledged, connections that drip, all in some three seconds."""
    with ExitStack() as stack:
        datagrams = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        datagrams.bind((OTHER, 0))
        dripping = []
        for _ in range(CONNECTIONS):
            opened = stack.enter_context(socket.socket())
            opened.bind((OTHER, 0))
            opened.settimeout(1)
            with suppress(OSError):
                opened.connect(server)
            dripping.append(opened)
        for number in range(INVITES):
            datagrams.sendto(request("INVITE", number, OFFER, "UDP", "Content-Type: application/sdp"), server)
            if number % 50 == 0:
                with suppress(OSError):
                    dripping[number // 50 % CONNECTIONS].send(b"I")
                time.sleep(0.015)


def test_calls_under_attack(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"media": {"max_calls": 50}}) as gateway:
        before = resident(gateway.pid)

        async def live() -> None:
            running = asyncio.create_task(
                callers.place_all([callers.call(n, 6.0) for n in range(CALLS)], gateway.server)
            )
            on = lambda: gateway.metric("hushtap_calls_recording") == CALLS
            await asyncio.to_thread(until, "the calls run", on)
            await asyncio.to_thread(attack, gateway.server)
            assert [(o.ending, o.problems) for o in await running] == [(Ending.CLIENT, ())] * CALLS

        asyncio.run(live())
        grown = resident(gateway.pid) - before
        assert grown < 64 * MEGABYTE
        assert gateway.metric("hushtap_refused_requests_total") > INVITES / 2
        assert gateway.metric("hushtap_calls_recording") <= 50
        assert gateway.metric("hushtap_rtp_lost_packets_total") == 0

        def stored() -> bool:
            return [call["state"] for call in gateway.calls()].count("recorded") == CALLS

        until("the calls are stored", stored)
