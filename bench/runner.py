"""One run: the floor and the gateway on the same load in one sitting, in windows that take turns.

The calls stand at the gateway for the whole run. While the floor is measured they get no packets, as if all parties
were silent; a window of the gateway begins when what it holds back has filled again.

What a call takes of memory is counted above a gateway that already has a call or two on each worker, their hold-back full:
what the first of all calls brings into memory, code and arrays that all calls share, is no call's own. Those first calls
are besides the calls of the course and fall silent when these come.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import isinf
from pathlib import Path
from typing import Any

from bench import floor as floors
from bench import processes
from bench.beside import Peer, peers
from bench.callers import Callers, Standing
from bench.figures import Course, Figures, Percentiles, Taken, Window
from bench.floor import Floor
from bench.gateway import Gateway, GatewayError, Metrics, check_limits
from bench.mirror import Mirror, NoMirror, own_network
from bench.presses import presses
from bench.sending import Sending, Sent
from bench.tapped import TappedCallers, attach
from gateway.config.settings import MediaSettings
from gateway.io.workers import count_workers

HOLD_BACK_SECONDS, TICK_SECONDS = 5.0, 0.1  # as by default
FILL_SECONDS = HOLD_BACK_SECONDS + 1.5  # until what is committed in a second is what came in a second
BEGIN_SECONDS = 1.0  # of the floor and of peers, before a window
IDLE_SECONDS = 1.0
QUIET_SECONDS = 0.3  # after the last packet was sent, for those that are delayed
SETTLE_SECONDS = 120.0  # all calls are stored by then
POLL_SECONDS = 0.25
FIRST_CALLS = 2  # at least, that stand before memory is measured; one on each worker

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Measured:
    window: Window
    late_ms: dict[str, float]
    sender_cpu: float
    before: Metrics | None = None
    after: Metrics | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """A process that takes the same packets, without being told of calls by SIP."""

    pid: int
    ports: Sequence[int]
    sending: Sending


class Run:
    """The processes of one run, all up, and its steps."""

    def __init__(
        self, course: Course, gateway: Gateway, to_gateway: Sending, floor: Beside,
        callers: Callers | TappedCallers,
        peers: Mapping[str, Beside],
    ) -> None:  # fmt: skip
        self._course, self._gateway, self._to_gateway = course, gateway, to_gateway
        self._floor, self._callers, self._peers = floor, callers, peers
        self._first: list[Standing] = []
        self._standing: list[Standing] = []
        self._ack_ms: list[float] = []

    async def measure(self, say: Say) -> Figures:
        course, gateway = self._course, self._gateway
        for side in (self._floor, *self._peers.values()):
            side.sending.add(list(enumerate(side.ports)))
        await asyncio.sleep(IDLE_SECONDS)
        self._to_gateway.play(True)
        base = await self._begin()
        say(f"setting up {course.calls} calls, {course.rate:g} a second")
        steps = {max(1, course.calls // 2), course.calls} if course.halfway else {course.calls}
        rss = {count: await self._grow(count) for count in sorted(steps)}
        mine, floor = [], []
        peers: dict[str, list[Window]] = {name: [] for name in self._peers}
        for number in range(course.pairs):
            say(f"pair {number + 1} of {course.pairs}")
            mine.append(await self._gateway_window(fill=number > 0, press=number == 0))
            # What holds audio back has gone round by now: all of it is in use.
            rss[course.calls] = max(rss[course.calls], processes.resident_bytes(gateway.pid))
            await asyncio.sleep(FILL_SECONDS)  # what the gateway held back is stored
            floor.append(await self._beside(self._floor))
            for name, side in self._peers.items():
                peers[name].append((await self._beside(side)).window)
        load_average = os.getloadavg()[0]
        say("tearing down and reading back")
        taken = await self._tear_down()
        return Figures(
            course=course,
            gateway=[each.window for each in mine],
            floor=[each.window for each in floor],
            taken=taken,
            floor_missing=_delivered(self._floor.sending.report()),
            rss_base=base,
            rss=rss,
            setup_ms=Percentiles.of([call.setup_ms for call in self._standing if call.dialog]),
            ack_ms=Percentiles.of(self._ack_ms),
            **_watched(mine),
            sender_late_ms={name: max(each.late_ms[name] for each in mine) for name in mine[0].late_ms},
            sender_cost=1000 * sum(m.sender_cpu for m in mine) / sum(m.window.seconds for m in mine) / course.calls,
            load_average=load_average,
            peers=dict(peers),
            tap_dropped=int(gateway.metrics()["tap_dropped_packets_total"]) if course.tap else None,
            peers_sent={name: _delivered(side.sending.report()) for name, side in self._peers.items()},
        )  # fmt: skip

    async def _begin(self) -> int:
        """Have the first calls; the memory in use when their held-back audio is in place and everything has been asked once."""
        calls = range(self._course.calls, self._course.calls + first_calls())
        await at_rate(self._course.rate, map(self._set_up, calls))
        await asyncio.sleep(FILL_SECONDS)
        self._gateway.metrics()
        await asyncio.to_thread(presses, self._gateway)
        base = processes.resident_bytes(self._gateway.pid)
        self._first, self._standing = self._standing, []
        self._to_gateway.remove([leg for call in self._first for leg, _ in call.legs])
        return base

    async def _grow(self, count: int) -> int:
        """Have so many calls, all held-back audio in place; the memory in use then."""
        await at_rate(self._course.rate, map(self._set_up, range(len(self._standing), count)))
        await asyncio.sleep(FILL_SECONDS)
        return processes.resident_bytes(self._gateway.pid)

    async def _set_up(self, number: int) -> None:
        call = await self._callers.set_up(number)
        self._to_gateway.add(call.legs)
        self._standing.append(call)

    async def _gateway_window(self, fill: bool, press: bool) -> _Measured:
        self._to_gateway.play(True)
        if fill:
            await asyncio.sleep(FILL_SECONDS)
        before = self._gateway.metrics()
        found = await self._window(self._gateway.pid, self._to_gateway)
        after = self._gateway.metrics()
        if press:
            self._ack_ms = await asyncio.to_thread(presses, self._gateway)
        self._to_gateway.play(False)
        return _Measured(found.window, found.late_ms, found.sender_cpu, before, after)

    async def _beside(self, side: Beside) -> _Measured:
        side.sending.play(True)
        await asyncio.sleep(BEGIN_SECONDS)
        found = await self._window(side.pid, side.sending)
        side.sending.play(False)
        return found

    async def _window(self, pid: int, sender: Sending) -> _Measured:
        first, used, began = sender.report(), processes.by_process(pid), time.monotonic()
        await asyncio.sleep(self._course.seconds)
        then, ended = processes.by_process(pid), time.monotonic()
        last = sender.report()
        cpu = {name: seconds - used.get(name, 0.0) for name, seconds in then.items()}
        return _Measured(Window(ended - began, cpu), last.late_ms, last.cpu_seconds - first.cpu_seconds)

    async def _tear_down(self) -> Taken:
        await asyncio.sleep(QUIET_SECONDS)
        sent = self._to_gateway.report()
        await at_rate(2 * self._course.rate, map(self._callers.tear_down, self._first + self._standing))
        return await read_back(self._gateway, sent)


async def run(course: Course, folder: Path, say: Say = lambda _: None) -> Figures:
    """Measure in a new folder. Raises GatewayError, FloorError, PeerError, ClientError, NoPorts."""
    check_limits(course.calls + first_calls())
    with ExitStack() as stack:
        try:
            stack.enter_context(own_network())  # where nobody else sends to a port that is measured
            mirror = Mirror(0) if course.tap else None
            return await _run(course, folder, say, mirror)
        except NoMirror as error:
            if course.tap:
                raise GatewayError(str(error)) from error
        return await _run(course, folder, say, None)


async def _run(course: Course, folder: Path, say: Say, mirror: Mirror | None) -> Figures:
    """`mirror` shows the calls to a tap; without, they are recorded by recording sessions."""
    calls = course.calls + first_calls()
    settings: dict[str, dict[str, object]] = {"redaction": {"inband": course.inband}}
    if mirror:
        settings |= attach(mirror)
    with ExitStack() as stack:

        def beside(taker: Floor | Peer, interface: str = "") -> Beside:
            stack.enter_context(taker)
            sending = Sending(course.load, 2 * course.calls, interface)
            return Beside(taker.pid, taker.ports, stack.enter_context(sending))

        floor = Floor(floors.build(folder), course.calls, folder / "floor-files")
        others = peers(course, folder)
        sides = {name: beside(peer, interface) for name, (peer, interface) in others.items()}
        base = beside(floor)
        gateway = stack.enter_context(Gateway(folder / "gateway", calls, settings))
        to_gateway = stack.enter_context(Sending(course.load, 2 * calls, mirror.phones if mirror else ""))
        chosen_callers = (
            TappedCallers(course.load, mirror) if mirror else Callers(gateway.server, course.load)
        )
        async with chosen_callers as callers:
            found = await Run(course, gateway, to_gateway, base, callers, sides).measure(say)
    assert floor.kept is not None
    kept = {name: peer.kept for name, (peer, _) in others.items()}
    return replace(found, floor_missing=found.floor_missing - floor.kept.packets, peers_kept=kept)


def first_calls() -> int:
    """How many calls stand before memory is measured."""
    return max(FIRST_CALLS, count_workers(MediaSettings()))


def _watched(windows: Sequence[_Measured]) -> dict[str, Any]:
    """What the gateway's own metrics say of the windows."""
    seconds = sum(each.window.seconds for each in windows)
    scrapes = [(each.before, each.after) for each in windows if each.before and each.after]
    latest = max(after.most("tick_lateness_seconds", before) for before, after in scrapes)

    def grown(name: str) -> float:
        return sum(after[name] - before[name] for before, after in scrapes)

    return {
        "tick_late_ms": None if isinf(latest) else 1000 * latest,
        "ticks": TICK_SECONDS * grown("ticks_total") / seconds,
        "bytes_per_second": grown("sealed_bytes_total") / seconds,
        "flushes_per_second": grown("sync_seconds_count") / seconds,
        "flush_ms": 1000 * grown("sync_seconds_sum") / max(1.0, grown("sync_seconds_count")),
    }


def _delivered(sent: Sent) -> int:
    return sum(sent.made) - sum(sent.lost) - sent.failed


async def at_rate(rate: float, steps: Iterable[Awaitable[None]]) -> None:
    """Begin so many a second; return when all have ended."""
    loop = asyncio.get_running_loop()
    began, tasks = loop.time(), []
    for number, step in enumerate(steps):
        await asyncio.sleep(began + number / rate - loop.time())
        tasks.append(asyncio.ensure_future(step))
    await asyncio.gather(*tasks)


async def read_back(gateway: Gateway, sent: Sent) -> Taken:
    """When all calls are stored, what is in them beside what was sent."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while gateway.metrics()["calls_recording"]:
        if time.monotonic() > deadline:
            raise GatewayError(f"calls were not stored {SETTLE_SECONDS:g} s after their end")
        await asyncio.sleep(POLL_SECONDS)
    calls = gateway.listed("calls")
    verdicts = gateway.listed("verify", "--all")
    legs = [leg for call in calls for leg in call["legs"]]
    return Taken(
        delivered=_delivered(sent),
        packets=sum(leg["packets"] for leg in legs),
        lost=sum(leg["lost"] for leg in legs),
        late=sum(leg["late"] for leg in legs),
        stored_seconds=sum(leg["seconds"] for leg in legs),
        wrong=sum(not verdict["ok"] for verdict in verdicts),
        states=dict(Counter(call["state"] for call in calls)),
    )
