"""A status that tells of a discard is not told to anybody before the call's record asks for it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

from gateway.io.discards import Discards
from gateway.io.running import Running
from gateway.io.running_call import Live
from gateway.io.segments import Segments
from gateway.io.store import Store
from gateway.recording.call import Call, Opening
from gateway.recording.messages import OpenRedaction, RecordingNow, Status
from gateway.recording.model import Cause, Direction
from gateway.siprec.parties import Parties
from tests.recording.simulation import PLAN

STOP = OpenRedaction(Cause.OPT_OUT, (), 5, reason="", discard=True)
KEY = bytes(32).hex()


def status(since_ns: int) -> Status:
    return Status(PLAN.call_id, RecordingNow.OFF, since_ns, (STOP,))


class Bench:
    """A record that is written when it is let to be."""

    def __init__(self) -> None:
        self.written = asyncio.Event()
        self.said: list[Status] = []
        self.destroyed = 0
        self.tasks: list[asyncio.Task[None]] = []
        self.discards = Discards(
            cast(Store, SimpleNamespace(discard=self._destroy)),
            cast(Segments, SimpleNamespace(save=self._save)),
            lambda work: self.tasks.append(asyncio.ensure_future(work)),
            lambda live, status: self.said.append(status),
        )
        opening = Opening(
            PLAN.call_id, PLAN.segment_id, PLAN.recording_id, 0, 0, Direction.INBOUND, (), PLAN.legs
        )
        self.live = Live(Call(opening), cast(Parties, None), {PLAN.recording_id: KEY}, [])

    async def _save(self, live: Live) -> None:
        await self.written.wait()
        assert live.call.facts().discard

    async def _destroy(self, call: Call) -> None:
        self.destroyed += 1

    async def settle(self) -> None:
        while self.tasks:
            await self.tasks.pop()


def test_the_last_status_is_told_once_the_record_asks_for_it() -> None:
    async def play() -> None:
        bench = Bench()
        assert bench.discards.withheld(bench.live, status(5))
        await asyncio.sleep(0)
        assert bench.discards.withheld(bench.live, status(6))
        assert bench.said == []
        assert bench.destroyed == 0
        bench.written.set()
        await bench.settle()
        assert bench.said == [status(6)]
        assert bench.destroyed == 1
        assert bench.live.keys.keys() == {PLAN.recording_id}
        assert bench.live.key != KEY

    asyncio.run(play())


def test_what_was_asked_for_by_a_person_is_durable_already() -> None:
    async def play() -> None:
        bench = Bench()
        bench.written.set()
        await bench.discards.intend(bench.live, STOP)
        assert not bench.discards.withheld(bench.live, status(5))
        assert not bench.discards.withheld(bench.live, status(6))
        await bench.settle()
        assert bench.destroyed == 1

    asyncio.run(play())


def test_other_statuses_pass() -> None:
    async def play() -> None:
        bench = Bench()
        kept = OpenRedaction(Cause.OPT_OUT, (), 5)
        assert not bench.discards.withheld(bench.live, Status(PLAN.call_id, RecordingNow.OFF, 5, (kept,)))
        assert bench.live.call.discard is None
        assert bench.tasks == []

    asyncio.run(play())


def test_a_record_that_cannot_be_written_delays_nothing() -> None:
    async def play() -> None:
        bench = Bench()

        async def failing(live: Live) -> None:
            raise OSError("the disk is full")

        bench.discards._segments = cast(Segments, SimpleNamespace(save=failing))
        assert bench.discards.withheld(bench.live, status(5))
        await bench.settle()
        assert bench.said == [status(5)]

    asyncio.run(play())


def test_a_transfer_while_a_call_is_discarded_leaves_no_key() -> None:
    async def play() -> None:
        bench, abandoned, told = Bench(), list[str](), list[object]()

        async def begin(opening: Opening, recording_id: str) -> str:
            await bench.discards.intend(bench.live, STOP)
            return KEY

        async def abandon(recording_id: str) -> None:
            abandoned.append(recording_id)

        bench.written.set()
        bench.live.parties = cast(Parties, SimpleNamespace(participants=()))
        store = cast(Store, SimpleNamespace(begin=begin, abandon=abandon))
        segments = Segments(store, Running(), lambda command, sockets: told.append(command))
        await segments.turn(bench.live, 7)
        assert len(abandoned) == 1
        assert told == []
        assert bench.live.keys.keys() == {PLAN.recording_id}

    asyncio.run(play())
