"""The media worker or the whole gateway killed, and the gateway stopped, while calls are recorded."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import numpy as np
import pytest

from gateway.demo.client import Ending, Outcome, Plan
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json, at_once

CALLS, FEW = 50, 10
SURVIVES = 2.0  # audio older than the hold-back and this many seconds is never lost
HOLD_BACK = 5.0  # as by default
SHORT_HOLD_BACK = 2.0
ACCIDENT_AT = 10.5  # seconds after the calls were placed
DRAINS = 1.0  # seconds that calls may go on after SIGTERM
TOGETHER = 0.02 * judge.SECOND
ROLES = ("external", "agent")


@dataclass
class Evening:
    """One gateway's calls, what happened to them and when, and what is listed of them in the end."""

    gateway: Gateway
    hold_back: float
    plans: Sequence[Plan]
    outcomes: list[Outcome] = field(default_factory=list)  # of calls that the client could end
    accident: float = 0.0  # UTC, seconds
    code: int | None = None  # how the gateway ended
    listed: list[Json] = field(default_factory=list)
    restarts: float = 0.0

    async def live(self, accident: Callable[[], object], ends: bool) -> None:
        """Place the calls, and have the accident in their middle; unless they `end` the client gives them up then."""
        calls = asyncio.create_task(callers.place_all(self.plans, self.gateway.server))
        await asyncio.sleep(ACCIDENT_AT)
        assert not calls.done()
        self.accident = time.time()
        await asyncio.to_thread(accident)
        if ends:
            self.outcomes = await calls
        else:
            calls.cancel()
            await asyncio.wait([calls])

    def list(self) -> None:
        by_number = {party["number"]: call for call in self.gateway.calls() for party in call["participants"]}
        self.listed = [by_number[plan.caller.party.number] for plan in self.plans]

    def seconds_into(self, call: Json) -> float:
        """When the accident was on a call's clock."""
        return self.accident - datetime.fromisoformat(call["started"]).timestamp()

    def stored(self, call: Json) -> dict[str, judge.Octets]:
        (recording,) = call["recordings"]
        return judge.legs(judge.plaintexts(self.gateway.storage, recording))

    def kept(self, call: Json, leg: judge.Octets, audio: judge.Octets) -> int:
        """Fails unless all audio is there that was old enough at the accident; gives its offset."""
        by = judge.placed(leg, audio[: judge.SECOND // 4])
        old = round((self.seconds_into(call) - self.hold_back - SURVIVES) * judge.SECOND) - by
        assert old > judge.SECOND // 2
        return judge.placed(leg, audio[:old])


def worker_killed(evening: Evening) -> None:
    gateway = evening.gateway
    gateway.start()
    asyncio.run(evening.live(lambda: os.kill(gateway.worker_pid(), signal.SIGKILL), ends=True))
    gateway.wait_idle()
    evening.restarts = gateway.metric("hushtap_worker_restarts_total")
    evening.list()


def gateway_killed(evening: Evening, kill: Callable[[Gateway], None]) -> None:
    """Killed, started again, and called at once."""
    gateway = evening.gateway
    gateway.start()
    asyncio.run(evening.live(lambda: kill(gateway), ends=False))
    gateway.kill()
    gateway.start()
    evening.outcomes = asyncio.run(callers.place_all([callers.call(CALLS, 1.0)], gateway.server))
    gateway.wait_idle()
    evening.list()


def gateway_stopped(evening: Evening) -> None:
    def stop() -> None:
        evening.code = evening.gateway.terminate()

    evening.gateway.start()
    asyncio.run(evening.live(stop, ends=True))
    evening.list()


def kill_alone(gateway: Gateway) -> None:
    """The control process only: its worker has to notice."""
    os.kill(gateway.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def evenings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Evening]]:
    def evening(name: str, count: int, hold_back: float, seconds: float) -> Evening:
        settings = {"media": {"hold_back_seconds": hold_back}, "load": {"drain_seconds": DRAINS}}
        gateway = Gateway(tmp_path_factory.mktemp("crash") / name, settings)
        return Evening(gateway, hold_back, [callers.call(index, seconds) for index in range(count)])

    worker = evening("worker", CALLS, HOLD_BACK, ACCIDENT_AT + 3.5)
    both = evening("both", CALLS, HOLD_BACK, ACCIDENT_AT + 3.5)
    control = evening("control", FEW, SHORT_HOLD_BACK, ACCIDENT_AT + 3.5)
    stopped = evening("stopped", FEW, SHORT_HOLD_BACK, 60.0)
    try:
        at_once(
            partial(worker_killed, worker),
            partial(gateway_killed, both, Gateway.kill),
            partial(gateway_killed, control, kill_alone),
            partial(gateway_stopped, stopped),
        )
        yield {"worker": worker, "both": both, "control": control, "stopped": stopped}
    finally:
        for each in (worker, both, control, stopped):
            each.gateway.kill()


def test_calls_go_on_when_their_worker_is_killed(evenings: dict[str, Evening]) -> None:
    evening = evenings["worker"]
    assert evening.restarts == 1
    for outcome, call in zip(evening.outcomes, evening.listed, strict=True):
        assert outcome.ending is Ending.CLIENT
        assert call["state"] == "partial"
        assert "the media worker was lost" in call["reason"]
        assert [part["torn"] for part in call["recordings"][0]["parts"]] == [True, False]


def test_a_killed_worker_costs_what_it_held_back_and_moves_nothing(evenings: dict[str, Evening]) -> None:
    evening = evenings["worker"]
    for outcome, call in zip(evening.outcomes, evening.listed, strict=True):
        legs = evening.stored(call)
        for role, sent in zip(ROLES, outcome.legs, strict=True):
            audio = judge.octets(sent.audio().items())
            by = evening.kept(call, legs[role], audio)
            later = round((evening.seconds_into(call) + 0.1) * judge.SECOND) - by
            assert abs(judge.placed(legs[role], audio[later:]) - later - by) <= TOGETHER


def test_a_killed_worker_leaves_a_gap_and_counts(evenings: dict[str, Evening]) -> None:
    evening = evenings["worker"]
    for outcome, call in zip(evening.outcomes, evening.listed, strict=True):
        legs = evening.stored(call)
        for role, sent, counted in zip(ROLES, outcome.legs, call["legs"], strict=True):
            missing = sent.packets * 160 - judge.length(legs[role])
            assert missing <= (HOLD_BACK + SURVIVES) * judge.SECOND
            assert np.count_nonzero(legs[role] == judge.NOTHING) >= missing
            assert abs(counted["seconds"] - judge.length(legs[role]) / judge.SECOND) <= SURVIVES
            assert 0 <= sent.packets - counted["packets"] <= SURVIVES * 50
            assert (counted["lost"], counted["late"], counted["duplicated"]) == (0, 0, 0)


def test_an_export_spans_the_gap(evenings: dict[str, Evening]) -> None:
    evening = evenings["worker"]
    exported = evening.gateway.export(evening.listed[0]["id"])
    assert len(exported) >= evening.plans[0].seconds * judge.SECOND
    for column in range(2):
        gap = np.flatnonzero(np.convolve(exported[:, column] != 0, np.ones(judge.SECOND), "valid") == 0)
        assert exported[: gap[0], column].any()
        assert exported[gap[-1] :, column].any()


@pytest.mark.parametrize("name", ["both", "control"])
def test_a_killed_gateway_recovers_its_calls(evenings: dict[str, Evening], name: str) -> None:
    evening = evenings[name]
    for plan, call in zip(evening.plans, evening.listed, strict=True):
        assert call["state"] == "partial"
        assert (
            call["reason"] == "the gateway stopped while this call was recorded; audio up to the stop is kept"
        )
        assert call["recordings"][0]["state"] == "recovered"
        legs = evening.stored(call)
        for role, leg in zip(ROLES, (plan.caller, plan.callee), strict=True):
            evening.kept(call, legs[role], judge.octets([(0, leg.audio)]))


@pytest.mark.parametrize("name", ["both", "control"])
def test_a_gateway_that_was_killed_takes_calls_at_once(evenings: dict[str, Evening], name: str) -> None:
    evening = evenings[name]
    (outcome,) = evening.outcomes
    assert outcome.ending is Ending.CLIENT
    assert evening.gateway.call_of(callers.number(CALLS))["state"] == "recorded"


def test_a_stopped_gateway_hangs_up_and_stores_its_calls(evenings: dict[str, Evening]) -> None:
    evening = evenings["stopped"]
    assert evening.code == 0
    for outcome, call in zip(evening.outcomes, evening.listed, strict=True):
        assert outcome.ending is Ending.SERVER
        assert (call["state"], call["reason"]) == ("recorded", "the gateway was stopped")
        legs = evening.stored(call)
        for role, sent in zip(ROLES, outcome.legs, strict=True):
            audio = judge.octets(sent.audio().items())
            assert judge.length(legs[role]) >= (evening.seconds_into(call) - SURVIVES) * judge.SECOND
            judge.placed(legs[role], audio[: judge.length(legs[role])])


@pytest.mark.parametrize("name", ["worker", "both", "control", "stopped"])
def test_all_is_verified(evenings: dict[str, Evening], name: str) -> None:
    verdicts = evenings[name].gateway.verify()
    assert len(verdicts) >= len(evenings[name].plans)
    assert all(verdict["ok"] for verdict in verdicts)
