"""Captures replayed through what records live calls, by the capture's own time: signalling, engine, storage."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from gateway.io.append import Appender
from gateway.io.calls import Calls
from gateway.io.channel import Configure, Message, Ready, Ticked
from gateway.io.clock import CaptureClock
from gateway.io.flush import FlushedAtTheEnd
from gateway.io.following import Following
from gateway.io.overhearing import OF_NO_CALL
from gateway.io.tap_messages import AudioAlone, Passed, Unfollowed
from gateway.recording.engine import Engine
from gateway.recording.messages import Command, Finished, Join, LegPlan, Open, Reformat, Write
from gateway.rtp.packets import Bools
from gateway.tap.calling import CAPTURE_OVER
from gateway.tap.decapsulation import UDP
from gateway.tap.effects import Unheard
from gateway.tap.flows import Flows, Limits
from gateway.tap.fragments import Decapsulator
from gateway.tap.frames import Datagrams, FrameBatch
from gateway.tap.signalling import Overheard, Signalling
from gateway.tap.unsignalled import LOOK_NS, QUIET_NS

TAP = 0  # the number of the tap that a replay stands for
TICK_NS = 1_000_000_000  # what the engine has room for beside the hold-back; finer ticks write the same and cost more
FINE_NS = 100_000_000  # while keys are pressed or something is paused: as finely as the gateway looks
SECOND_NS = 1_000_000_000
# Where nothing comes, ticks grow with the time that has gone by, by this part of it: years go by in some hundred ticks.
GROWTH = 20
TOGETHER_BYTES = 512 << 10  # a thread that is woken for each tick's few octets costs more than writing them
MAX_BACKLOG_BYTES = 64 << 20  # what may wait for the disk; then the replay waits


class ReplayWorker:
    """Does what a media worker does, in this process and by the clock of the capture."""

    def __init__(self, configure: Configure, limits: Limits, clock: CaptureClock) -> None:
        self._clock = clock
        self._engine = Engine(configure.engine, os.urandom)
        folder = Path(configure.directory)
        self._appender = Appender(folder, FlushedAtTheEnd(folder))
        self._flows = Flows(limits)
        self._following = Following(self._engine, {TAP: self._flows})
        self.hear: Callable[[Message], None] = lambda message: None
        self._commands: deque[Command] = deque()
        self._writes: list[Write] = []  # not yet given to the appender
        self._waiting = 0  # octets in it
        self._events = np.zeros(0, np.int64)  # payload types by which keys are told

    def tell(self, worker: int, command: Command, sockets: Sequence[int]) -> None:
        """Obey a command, once whoever gave it has gone on."""
        self._commands.append(command)
        asyncio.get_running_loop().call_soon(self.obey)

    def obey(self) -> None:
        """Obey what was told."""
        while self._commands:
            command = self._commands.popleft()
            for event in self._engine.obey([command], self._clock.monotonic_ns()):
                self.hear(event)
            self._following.obeyed([command])
            match command:
                case Open(legs=plans) | Reformat(legs=plans):
                    self._know(plans)
                case Join(leg=plan):
                    self._know([plan])

    def _know(self, plans: Sequence[LegPlan]) -> None:
        told = np.array([kind for plan in plans for kind in (*plan.events, *plan.redundant)], np.int64)
        self._events = np.union1d(self._events, told)

    def listen(self, datagrams: Datagrams, now: int) -> None:
        """Take the packets of legs that are recorded."""
        if (batch := self._flows.take(datagrams, now)) is not None:
            self._engine.receive(batch)

    async def tick(self, now: int) -> None:
        writes, events = self._engine.tick(now)
        self._writes += writes
        self._waiting += sum(len(write.data) for write in writes)
        finished = {event.call_id for event in events if isinstance(event, Finished)}
        self._following.drop(finished)
        for event in events:
            self.hear(event)
        if finished or self._waiting > TOGETHER_BYTES:
            await self._store(whole=bool(finished))

    async def _store(self, whole: bool) -> None:
        """Give what was written to the appender, in large pieces; `whole`: and wait until it is durable."""
        self._appender.put(self._writes)
        self._writes, self._waiting = [], 0
        if whole or self._appender.backlog > MAX_BACKLOG_BYTES:
            await asyncio.to_thread(self._appender.settle)
        for stored in self._appender.events():
            self.hear(stored)

    @property
    def idle(self) -> bool:
        """Whether nothing depends on when exactly the next tick is."""
        return not self._engine.timed

    def keys_in(self, datagrams: Datagrams) -> Bools:
        """Which datagrams may tell of keys."""
        second = datagrams.octets[np.minimum(datagrams.offsets + 1, datagrams.octets.size - 1)]
        found: Bools = np.isin(second & 0x7F, self._events) & (datagrams.protocols == UDP)
        return found

    def alone(self, now: int) -> list[AudioAlone]:
        """Calls of which only audio was seen, that have ended by now."""
        self._flows.unsignalled.forget(now)
        return [
            AudioAlone(TAP, each.began_ns, each.ended_ns, *each.places[0], *each.places[1], each.both_ways)
            for each in self._flows.unsignalled.ended()
        ]

    def close(self) -> None:
        self._appender.put([*self._writes, *self._engine.abandon()])
        self._appender.close()


class _Rows:
    """Datagrams in the order of their times, and how many of them were taken."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self._taken = 0

    @property
    def next_ns(self) -> int | None:
        left = self._taken < len(self._datagrams)
        return int(self._datagrams.arrivals[self._taken]) if left else None

    def left(self, until_ns: int) -> Datagrams:
        """Those before a time, which are not taken by that."""
        end = int(np.searchsorted(self._datagrams.arrivals, until_ns))
        return self._datagrams.take(slice(self._taken, max(self._taken, end)))

    def take(self, until_ns: int) -> Datagrams | None:
        """Those before a time."""
        end = int(np.searchsorted(self._datagrams.arrivals, until_ns))
        start, self._taken = self._taken, max(self._taken, end)
        return self._datagrams.take(slice(start, end)) if end > start else None


class Replaying:
    """Feed it frames in the order of their times, then finish; between them everything that follows has happened."""

    def __init__(
        self, calls: Calls, worker: ReplayWorker, ports: frozenset[int], clock: CaptureClock
    ) -> None:
        self._calls = calls
        self._worker = worker
        self._clock = clock
        self._decapsulator = Decapsulator()
        self._signalling = Signalling(ports)
        self._due: int | None = None  # when the next tick is
        self._ticked_ns = 0  # when the last one was
        self._told_ns = 0  # when the worker was last said to be well
        self._quiet_ns = 0  # since when nothing has come
        self.packets = self.messages = 0
        self.began_ns: int | None = None

    @property
    def latest_ns(self) -> int:
        """The time of the capture, now."""
        return self._clock.monotonic_ns()

    @property
    def refused(self) -> dict[str, int]:
        """Frames that gave nothing, by kind."""
        return dict(self._decapsulator.refused)

    async def hear(self, frames: FrameBatch) -> None:
        """Act on what the frames tell, message by message, and record their audio."""
        if not len(frames):
            return
        first, last = int(frames.arrivals[0]), int(frames.arrivals[-1])
        if self._due is None:
            self._begin(first)
        arriving = self._decapsulator.feed(frames)
        self.packets += len(frames)
        rows = [_Rows(datagrams) for datagrams in arriving if len(datagrams)]
        for heard in self._signalling.feed(arriving):
            if self._concerns_calls(heard):
                await self._until(heard.at_ns, rows)
                await self._act(heard)
        await self._until(last + 1, rows)

    async def finish(self) -> None:
        """The capture is over: so is every call that goes on, and all audio is written."""
        if self._due is None:
            return
        for heard in self._signalling.finish(self.latest_ns):
            if self._concerns_calls(heard):
                await self._act(heard)
        for alone in self._worker.alone(self.latest_ns + QUIET_NS + LOOK_NS):
            self._calls.tapped.hear(alone)
        self._calls.tapped.stop(CAPTURE_OVER)
        await self._calls.quiet()
        while self._calls.running():
            await self._tick()

    def _begin(self, at_ns: int) -> None:
        self.began_ns = at_ns
        self._due = at_ns + TICK_NS
        self._ticked_ns = self._quiet_ns = at_ns
        self._clock.set(at_ns)
        self._worker.hear(Ready(locked=True))

    def _concerns_calls(self, heard: Overheard | Unheard) -> bool:
        """As a media worker decides it, too."""
        if isinstance(heard, Unheard):
            return True
        self.messages += 1
        return not OF_NO_CALL.search(heard.data)

    async def _act(self, heard: Overheard | Unheard) -> None:
        self._clock.set(heard.at_ns)
        self._well(self.latest_ns)
        if isinstance(heard, Unheard):
            self._calls.tapped.hear(Unfollowed(TAP, heard.kind, heard.at_ns, heard.number))
        else:
            self._calls.tapped.hear(_passed(heard))
        await self._calls.quiet()

    async def _until(self, at_ns: int, rows: Sequence[_Rows]) -> None:
        """Ticks and packets up to a time."""
        assert self._due is not None
        while True:
            coming = min((due for each in rows if (due := each.next_ns) is not None), default=at_ns)
            if coming >= self._due and not self._busy():
                self._ticked_ns = min(coming, at_ns)  # what nobody waits for takes no time
                self._due = self._ticked_ns + TICK_NS
            self._refine(rows)
            until = min(self._due, at_ns)
            self._listen(rows, until)
            if self._due > at_ns:
                self._clock.set(at_ns)
                return
            await self._tick()

    def _refine(self, rows: Sequence[_Rows]) -> None:
        """Have the next tick earlier where a key is told of before it."""
        assert self._due is not None
        fine = self._ticked_ns + FINE_NS
        for each in rows:
            if fine < self._due:
                left = each.left(self._due)
                keys = left.arrivals[self._worker.keys_in(left)]
                if len(keys):
                    # On the grid of fine ticks, the one before the key: so that it is heard at its time.
                    before = (int(keys[0]) - self._ticked_ns) // FINE_NS * FINE_NS
                    self._due = max(fine, self._ticked_ns + before)

    def _listen(self, rows: Sequence[_Rows], until_ns: int) -> None:
        for each in rows:
            if (datagrams := each.take(until_ns)) is not None:
                self._quiet_ns = until_ns
                self._worker.listen(datagrams, until_ns)

    def _busy(self) -> bool:
        return bool(self._calls.running() or self._calls.tapped.following())

    async def _tick(self) -> None:
        assert self._due is not None
        now = self._due
        self._clock.set(now)
        self._well(now)
        await self._worker.tick(now)
        for alone in self._worker.alone(now):
            self._calls.tapped.hear(alone)
        self._calls.tapped.expire()
        self._worker.obey()
        await self._calls.quiet()
        self._ticked_ns = now
        usual = TICK_NS if self._worker.idle else FINE_NS
        self._due = now + max(usual, (now - self._quiet_ns) // GROWTH)

    def _well(self, now: int) -> None:
        """The gateway takes no calls while a worker says nothing."""
        if now - self._told_ns >= SECOND_NS:
            self._told_ns = now
            self._worker.hear(Ticked(ticks=2, latest_ns=0, busy_ns=0))


def _passed(heard: Overheard) -> Passed:
    return Passed(
        TAP, heard.at_ns, heard.number, *heard.source, *heard.destination, heard.transport,
        heard.data.decode("latin-1"),
    )  # fmt: skip
