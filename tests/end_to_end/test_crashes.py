"""The media worker, or the whole gateway, killed while fifty calls are recorded."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from gateway.demo.client import Ending, Outcome, Plan
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json

CALLS = 50
SURVIVES = 2.0  # audio older than the hold-back and this many seconds is never lost
TOGETHER = 0.02 * judge.SECOND
ROLES = ("external", "agent")


async def with_accident(
    gateway: Gateway, plans: Sequence[Plan], at: float, accident: Callable[[], None]
) -> tuple[asyncio.Task[list[Outcome]], float]:
    """Let something happen so many seconds into the calls; gives the calls and when it was (UTC, seconds)."""
    calls = asyncio.create_task(callers.place_all(plans, gateway.server))
    await asyncio.sleep(at)
    assert not calls.done()
    accident()
    return calls, time.time()


def listed(gateway: Gateway, plans: Sequence[Plan]) -> list[Json]:
    """The calls in the order of their plans."""
    by_number = {party["number"]: call for call in gateway.calls() for party in call["participants"]}
    return [by_number[plan.caller.party.number] for plan in plans]


def stored(gateway: Gateway, call: Json) -> dict[str, judge.Octets]:
    (recording,) = call["recordings"]
    return judge.legs(judge.plaintexts(gateway.storage, recording))


def before(leg: judge.Octets, audio: judge.Octets, until: float) -> int:
    """Fails unless all audio up to a time (seconds on the call clock) is there; gives its offset."""
    by = judge.placed(leg, audio[: judge.SECOND])
    kept = round(until * judge.SECOND) - by
    assert kept > judge.SECOND
    return judge.placed(leg, audio[:kept])


def seconds_into(call: Json, moment: float) -> float:
    return moment - datetime.fromisoformat(call["started"]).timestamp()


def test_a_killed_worker_is_replaced_and_calls_go_on(tmp_path: Path) -> None:
    plans = [callers.call(index, 13.0) for index in range(CALLS)]
    with Gateway(tmp_path) as gateway:
        hold_back = 5.0  # as by default

        async def live() -> tuple[list[Outcome], float]:
            calls, killed = await with_accident(
                gateway, plans, 9.5, lambda: os.kill(gateway.worker_pid(), signal.SIGKILL)
            )
            return await calls, killed

        outcomes, killed = asyncio.run(live())
        assert {outcome.ending for outcome in outcomes} == {Ending.CLIENT}
        gateway.wait_idle()
        assert gateway.metric("hushtap_worker_restarts_total") == 1
        for plan, outcome, call in zip(plans, outcomes, listed(gateway, plans), strict=True):
            assert call["state"] == "partial"
            assert "the media worker was lost" in call["reason"]
            assert [part["torn"] for part in call["recordings"][0]["parts"]] == [True, False]
            legs, death = stored(gateway, call), seconds_into(call, killed)
            for role, sent, counted in zip(ROLES, outcome.legs, call["legs"], strict=True):
                audio = judge.octets(sent.audio().items())
                by = before(legs[role], audio, death - hold_back - SURVIVES)
                later = round((death + 0.05) * judge.SECOND) - by
                assert abs(judge.placed(legs[role], audio[later:]) - later - by) <= TOGETHER
                assert 0 <= sent.packets - counted["packets"] <= 2 / 0.02, (
                    "more than two seconds are not counted"
                )
                assert (counted["lost"], counted["late"], counted["duplicated"]) == (0, 0, 0)
            assert plan.seconds > death
        assert all(verdict["ok"] for verdict in gateway.verify())
        exported = gateway.export(call["id"])
        assert exported.shape[0] >= plan.seconds * judge.SECOND
        assert exported[: judge.SECOND].any()
        assert exported[-judge.SECOND :].any()


@pytest.mark.parametrize("group", [True, False], ids=["with its worker", "alone"])
def test_a_killed_gateway_recovers_its_calls_when_it_starts(tmp_path: Path, group: bool) -> None:
    hold_back = 5.0 if group else 1.0
    plans = [callers.call(index, hold_back + 10, bye=False) for index in range(CALLS)]
    with Gateway(tmp_path, {"media": {"hold_back_seconds": hold_back}}) as gateway:

        async def live() -> float:
            kill = gateway.kill if group else lambda: os.kill(gateway.pid, signal.SIGKILL)
            calls, killed = await with_accident(gateway, plans, hold_back + 4.5, kill)
            calls.cancel()
            await asyncio.wait([calls])
            return killed

        killed = asyncio.run(live())
        gateway.kill()
        gateway.start()
        (outcome,) = asyncio.run(callers.place_all([callers.call(CALLS, 1.0)], gateway.server))
        assert outcome.ending is Ending.CLIENT
        for plan, call in zip(plans, listed(gateway, plans), strict=True):
            assert call["state"] == "partial"
            assert (
                call["reason"]
                == "the gateway stopped while this call was recorded; audio up to the stop is kept"
            )
            assert call["recordings"][0]["state"] == "recovered"
            legs, death = stored(gateway, call), seconds_into(call, killed)
            for role, leg in zip(ROLES, (plan.caller, plan.callee), strict=True):
                audio = judge.octets([(0, leg.audio)])
                before(legs[role], audio, death - hold_back - SURVIVES)
        gateway.wait_idle()
        assert gateway.call_of(callers.number(CALLS))["state"] == "recorded"
        verdicts = gateway.verify()
        assert len(verdicts) == CALLS + 1
        assert all(verdict["ok"] for verdict in verdicts)
