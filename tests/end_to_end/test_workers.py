"""Two media workers: calls are spread over them, one is killed, the other neither loses nor moves anything."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import pytest

from gateway.demo.client import Client, Ending, Outcome
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json, until
from tests.patience import PATIENCE_SECONDS

SETTINGS: dict[str, dict[str, object]] = {
    "media": {"workers": 2, "hold_back_seconds": 2.0},
    "redaction": {"look_back_seconds": 1.0},
    "speech": {"measure": False},
}
FIRST, PAUSED, LATER = (
    range(8),
    range(5),
    range(8, 12),
)  # calls by number; at least one of each worker is paused
POLL_SECONDS = 0.05


@dataclass
class Evening:
    """Eight calls of which five are paused, a worker killed in their middle, and four that come just then."""

    gateway: Gateway
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    listed: dict[int, Json] = field(default_factory=dict)
    of_worker: list[float] = field(default_factory=list)  # calls of each before the kill
    of_worker_later: list[float] = field(default_factory=list)
    paused: list[set[str]] = field(default_factory=list)  # states of the calls that were, and of the others
    # Of the first calls, those of which that was said after the kill; it is said of any call that is just being set up.
    unknown: set[int] = field(default_factory=set)
    pids: set[int] = field(default_factory=set)
    restarts: list[float] = field(default_factory=list)
    code: int | None = None

    async def live(self, token: str) -> None:
        self.pids |= set(self.gateway.worker_pids())
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=self.gateway.api, headers=headers, timeout=PATIENCE_SECONDS) as http,
            Client(self.gateway.server, "udp") as client,
        ):
            first = [asyncio.create_task(client.place(callers.call(each, 12.0))) for each in FIRST]
            self.of_worker = await self._spread(8)
            await asyncio.sleep(1.0)
            await self._act(http, "pause", PAUSED)
            states = await self._states(http)
            self.paused = [
                {state for each, state in states.items() if (each in PAUSED) is paused}
                for paused in (True, False)
            ]
            await asyncio.sleep(0.5)
            await self._act(http, "resume", PAUSED)
            await asyncio.sleep(2.5)
            victim, *_ = self.gateway.worker_pids()
            os.kill(victim, signal.SIGKILL)
            await self._gone(http)
            later = [asyncio.create_task(client.place(callers.call(each, 5.0))) for each in LATER]
            await self._known_again(http)
            self.of_worker_later = await self._spread(12)
            self.outcomes = dict(zip((*FIRST, *LATER), await asyncio.gather(*first, *later), strict=True))

    def look_up(self) -> None:
        calls = {party["number"]: call for call in self.gateway.calls() for party in call["participants"]}
        self.listed = {each: calls[callers.number(each)] for each in (*FIRST, *LATER)}

    def lost(self) -> set[int]:
        """The calls that had the worker that was killed."""
        return {each for each, call in self.listed.items() if "the media worker was lost" in call["reason"]}

    def _calls(self) -> list[float]:
        return [self.gateway.metric("hushtap_worker_calls", worker=str(worker)) for worker in (0, 1)]

    async def _spread(self, count: int) -> list[float]:
        """Calls of each worker, once the workers, who tell once a second, have told of so many."""
        await asyncio.to_thread(until, f"{count} calls are told of", lambda: sum(self._calls()) == count, 20)
        return self._calls()

    async def _states(self, http: httpx.AsyncClient) -> dict[int, str]:
        calls = (await http.get("/v1/calls")).raise_for_status().json()["calls"]
        return {int(call["extensions"][0][2:]): call["state"] for call in calls}

    async def _act(self, http: httpx.AsyncClient, word: str, calls: Collection[int]) -> None:
        for each in calls:
            answer = await http.post(f"/v1/extensions/61{each:04}/{word}", json={})
            assert answer.status_code == 200, answer.text

    async def _gone(self, http: httpx.AsyncClient) -> None:
        """Wait until nobody knows how some calls stand."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not self.unknown:
                self._look(await self._states(http))

    async def _known_again(self, http: httpx.AsyncClient) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while len(states := await self._states(http)) < 12 or "unknown" in states.values():
                self._look(states)
                await asyncio.sleep(POLL_SECONDS)

    def _look(self, states: dict[int, str]) -> None:
        self.unknown |= {each for each, state in states.items() if state == "unknown" and each in FIRST}


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    with Gateway(tmp_path_factory.mktemp("workers"), SETTINGS) as gateway:
        played = Evening(gateway)
        added = gateway.run("agents", "add", "Supervisor", "--extension", "*")
        assert added.code == 0, added.err
        asyncio.run(played.live(added.out.strip()))
        gateway.wait_idle()
        played.restarts = [gateway.metric("hushtap_worker_restarts_total", worker=str(n)) for n in (0, 1)]
        played.pids |= set(gateway.worker_pids())
        played.code = gateway.terminate()
        played.look_up()
        yield played


def test_calls_are_spread(evening: Evening) -> None:
    assert evening.of_worker == [4, 4]


def test_a_pause_goes_to_the_worker_that_has_the_call(evening: Evening) -> None:
    assert evening.paused == [{"paused"}, {"recording"}]
    paused = {each for each, call in evening.listed.items() if call["redactions"]}
    assert paused == set(PAUSED)


def test_a_killed_worker_touches_its_own_calls_alone(evening: Evening) -> None:
    assert sorted(evening.restarts) == [0, 1]
    assert len(evening.lost()) == 4
    assert evening.lost() <= set(FIRST)
    assert evening.unknown == evening.lost()
    assert Counter(call["state"] for call in evening.listed.values()) == {"partial": 4, "recorded": 8}
    for each in evening.lost():
        (recording,) = evening.listed[each]["recordings"]
        assert [part["torn"] for part in recording["parts"]] == [True, False]


def test_calls_of_the_other_are_whole_but_for_their_pauses(evening: Evening) -> None:
    for each in set(evening.listed) - evening.lost():
        call, outcome = evening.listed[each], evening.outcomes[each]
        assert outcome.ending is Ending.CLIENT
        (recording,) = call["recordings"]
        legs = judge.legs(judge.plaintexts(evening.gateway.storage, recording))
        for role, sent in zip(("external", "agent"), outcome.legs, strict=True):
            missing = absent(legs[role], judge.octets(sent.audio().items()))
            ends = [(int(missing[0]), int(missing[-1]) + 1)] if missing.size else []
            told = [
                tuple(round(gap[end] * judge.SECOND) for end in ("start", "end"))
                for gap in call["redactions"]
            ]
            assert ends == told


def test_calls_that_came_meanwhile_went_to_the_other(evening: Evening) -> None:
    assert sorted(evening.of_worker_later) == [4, 8]


def test_what_was_stored_is_authentic(evening: Evening) -> None:
    assert all(verdict["ok"] for verdict in evening.gateway.verify())


def test_no_worker_outlives_the_gateway(evening: Evening) -> None:
    assert evening.code == 0
    assert len(evening.pids) == 3
    assert not [pid for pid in evening.pids if Path(f"/proc/{pid}").exists()]


def test_a_drain_waits_for_the_calls_of_all(tmp_path: Path) -> None:
    with Gateway(tmp_path, SETTINGS) as gateway:

        async def live() -> list[Outcome]:
            calls = asyncio.create_task(
                callers.place_all([callers.call(n, 3.0) for n in (1, 2)], gateway.server)
            )
            spread = lambda: [gateway.metric("hushtap_worker_calls", worker=str(n)) for n in (0, 1)] == [1, 1]
            await asyncio.to_thread(until, "each worker has a call", spread)
            assert gateway.process is not None
            gateway.process.terminate()
            return await calls

        pids = gateway.worker_pids()
        assert [outcome.ending for outcome in asyncio.run(live())] == [Ending.CLIENT] * 2
        assert gateway.process is not None
        assert gateway.process.wait(20) == 0
        assert [call["state"] for call in gateway.calls()] == ["recorded"] * 2
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def absent(stored: judge.Octets, sent: judge.Octets) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where on the call clock something was sent that is not stored; fails if anything else is stored there."""
    by = stored.tobytes().find(sent[:40].tobytes()) // 2
    assert by >= 0, "the first audio that was sent is not stored"
    kept = np.full(sent.size, judge.NOTHING, np.int16)
    part = stored[by : by + sent.size]
    kept[: part.size] = part
    (missing,) = np.nonzero(kept != sent)
    assert (kept[missing] == judge.NOTHING).all(), "what is stored is what was sent"
    return missing + by
