"""Calls that come and go: so many set up a second, each of some seconds, for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.callers import Callers
from bench.figures import Percentiles, Taken
from bench.gateway import Gateway, check_limits
from bench.load import Load
from bench.runner import IDLE_SECONDS, QUIET_SECONDS, at_rate, read_back
from bench.sending import Sending
from gateway.demo.client import ClientError

SPARE_SECONDS = 20.0  # that a call may take beyond its media: its set-up, what is held back, its end


@dataclass(frozen=True, slots=True)
class Coming:
    """What a run is to do."""

    rate: float  # calls a second
    call_seconds: float = 4.0  # of media
    seconds: float = 120.0  # for how long calls are set up


@dataclass(frozen=True, slots=True)
class Gone:
    """What it measured."""

    coming: Coming
    calls: int
    refused: int  # of these
    setup_ms: Percentiles
    teardown_ms: Percentiles
    cpu_ms_per_call: dict[
        str, float
    ]  # by process; of its whole life, what is worked out after its end included
    rss_first: int  # bytes, when as many calls ran as ever will
    rss_last: int  # when the last was set up
    taken: Taken


async def run(coming: Coming, folder: Path, say: Callable[[str], None]) -> Gone:
    """Measure in a new folder. Raises GatewayError, ClientError."""
    standing = round(coming.rate * (coming.call_seconds + SPARE_SECONDS))
    check_limits(standing)
    with Gateway(folder / "gateway", standing) as gateway, Sending(Load(), 2 * standing) as sending:
        async with Callers(gateway.server, Load()) as callers:
            return await _Run(coming, standing, gateway, sending, callers).measure(say)


class _Run:
    def __init__(
        self, coming: Coming, standing: int, gateway: Gateway, sending: Sending, callers: Callers
    ) -> None:
        self._coming, self._standing = coming, standing
        self._gateway, self._sending, self._callers = gateway, sending, callers
        self._setup_ms: list[float] = []
        self._teardown_ms: list[float] = []
        self._refused = 0

    async def measure(self, say: Callable[[str], None]) -> Gone:
        coming, pid = self._coming, self._gateway.pid
        self._sending.play(True)
        await asyncio.sleep(IDLE_SECONDS)
        count = round(coming.rate * coming.seconds)
        say(f"{count} calls of {coming.call_seconds:g} s, {coming.rate:g} a second")
        used = processes.by_process(pid)
        calls = asyncio.ensure_future(at_rate(coming.rate, map(self._one, range(count))))
        settled = (
            coming.call_seconds + SPARE_SECONDS
        )  # as many go as come, and those that ended are listened to
        await asyncio.sleep(settled)
        first = processes.resident_bytes(pid)
        await asyncio.sleep(max(0.0, coming.seconds - settled))
        last = processes.resident_bytes(pid)
        await calls
        taken = await read_back(self._gateway, self._sending.report())
        cpu = {
            name: 1000 * (seconds - used.get(name, 0.0)) / count
            for name, seconds in processes.by_process(pid).items()
        }
        return Gone(
            coming=coming,
            calls=count,
            refused=self._refused,
            setup_ms=Percentiles.of(self._setup_ms),
            teardown_ms=Percentiles.of(self._teardown_ms),
            cpu_ms_per_call=cpu,
            rss_first=first,
            rss_last=last,
            taken=taken,
        )

    async def _one(self, number: int) -> None:
        try:
            call = await self._callers.set_up(number % self._standing)
        except ClientError:
            self._refused += 1
            return
        self._setup_ms.append(call.setup_ms)
        self._sending.add(call.legs)
        await asyncio.sleep(self._coming.call_seconds)
        self._sending.remove([leg for leg, _ in call.legs])
        await asyncio.sleep(QUIET_SECONDS)
        began = time.monotonic()
        await self._callers.tear_down(call)
        self._teardown_ms.append(1000 * (time.monotonic() - began))
