"""SIGTERM while calls are recorded."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateway.demo.client import Ending, Outcome
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway

CALLS = 10
RUNNING = 3.0  # seconds of each call before the signal


def test_running_calls_are_ended_and_stored(tmp_path: Path) -> None:
    plans = [callers.call(index, 30.0) for index in range(CALLS)]
    with Gateway(tmp_path) as gateway:

        async def live() -> tuple[list[Outcome], int, float]:
            udp = asyncio.create_task(callers.place_all(plans[::2], gateway.server, "udp"))
            tcp = asyncio.create_task(callers.place_all(plans[1::2], gateway.server, "tcp"))
            await asyncio.sleep(RUNNING)
            began = time.monotonic()
            code = await asyncio.to_thread(gateway.terminate)
            ended = time.monotonic() - began
            return [*await udp, *await tcp], code, ended

        outcomes, code, took = asyncio.run(live())
        assert code == 0
        assert took < 8
        assert {outcome.ending for outcome in outcomes} == {Ending.SERVER}
        by_number = {party["number"]: call for call in gateway.calls() for party in call["participants"]}
        for plan, outcome in zip([*plans[::2], *plans[1::2]], outcomes, strict=True):
            call = by_number[plan.caller.party.number]
            assert (call["state"], call["reason"]) == ("recorded", "the gateway was stopped")
            legs = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
            for role, sent in zip(("external", "agent"), outcome.legs, strict=True):
                audio = judge.octets(sent.audio().items())
                judge.placed(legs[role], audio[: round((RUNNING - 0.5) * judge.SECOND)])
        assert all(verdict["ok"] for verdict in gateway.verify())
