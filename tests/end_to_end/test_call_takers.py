"""A call-taker's requests over HTTP, and what is stored of the call then."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from gateway.demo.client import Outcome
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json
from tests.patience import PATIENCE_SECONDS

LOOK_BACK = 1.0
SETTINGS = {"media": {"hold_back_seconds": 2.0}, "redaction": {"look_back_seconds": LOOK_BACK}}
EXTENSION = "610301"
Scenario = Callable[[httpx.AsyncClient], Awaitable[None]]


@dataclass
class Desk:
    """A gateway and a token of one extension."""

    gateway: Gateway
    id: str
    token: str

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with httpx.AsyncClient(
            base_url=self.gateway.api, headers=headers, timeout=PATIENCE_SECONDS
        ) as http:
            yield http

    def call(self, scenario: Scenario, seconds: float = 60.0) -> tuple[Outcome, Json]:
        """One call during which the scenario is played; what was sent, and the call as it is listed then."""

        async def place() -> Outcome:
            calling = asyncio.create_task(
                callers.place_all([callers.call(301, seconds)], self.gateway.server)
            )
            async with self.asking() as http:
                await running(http)
                await scenario(http)
            (outcome,) = await calling
            return outcome

        known = {call["id"] for call in self.gateway.calls()}
        outcome = asyncio.run(place())
        self.gateway.wait_idle()
        (listed,) = [call for call in self.gateway.calls() if call["id"] not in known]
        return outcome, listed


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Desk]:  # type: ignore[misc]
    with Gateway(tmp_path_factory.mktemp("desk"), SETTINGS) as gateway:
        added = gateway.run("agents", "add", "Desk 301", "--extension", EXTENSION)
        assert added.code == 0, added.err
        token = added.out.strip()
        yield Desk(gateway, token.split("_")[1], token)


async def running(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await http.get(f"/v1/extensions/{EXTENSION}")).status_code != 200:
            await asyncio.sleep(0.1)


async def state_after(http: httpx.AsyncClient, action: str, **body: object) -> str:
    answer = await http.post(f"/v1/extensions/{EXTENSION}/{action}", json=body)
    assert answer.status_code == 200, answer.text
    state: str = answer.json()["status"]["state"]
    return state


def gaps(outcome: Outcome, legs: dict[str, judge.Octets]) -> list[tuple[int, int]]:
    """Of each leg what was sent and is not stored: one interval of the call clock; all else is at its place."""
    found = []
    for role, sent in zip(("external", "agent"), outcome.legs, strict=True):
        audio = judge.octets(sent.audio().items())
        stored = legs[role]
        by = stored.tobytes().find(audio[:40].tobytes()) // 2
        kept = np.full(audio.size, judge.NOTHING, np.int16)
        part = stored[by : by + audio.size]
        kept[: part.size] = part
        (missing,) = np.nonzero(kept != audio)
        assert (kept[missing] == judge.NOTHING).all(), "what is stored is what was sent"
        assert missing.size == missing[-1] + 1 - missing[0], "in one piece"
        found.append((int(missing[0]) + by, int(missing[-1]) + 1 + by))
    return found


def test_what_was_said_during_a_pause_is_nowhere(desk: Desk) -> None:
    times: list[float] = []

    async def scenario(http: httpx.AsyncClient) -> None:
        await asyncio.sleep(3)
        assert await state_after(http, "pause", reason="payment") == "paused"
        times.append(time.monotonic())
        await asyncio.sleep(1.5)
        times.append(time.monotonic())
        assert await state_after(http, "toggle") == "recording"
        assert await state_after(http, "markers", kind="told_caller") == "recording"

    outcome, listed = desk.call(scenario, 8.0)
    (redaction,) = listed["redactions"]
    assert (redaction["cause"], redaction["actor"]) == ("agent", desk.id)
    (recording,) = listed["recordings"]
    legs = judge.legs(judge.plaintexts(desk.gateway.storage, recording))
    for start, end in gaps(outcome, legs):
        assert (start / judge.SECOND, end / judge.SECOND) == (redaction["start"], redaction["end"])
        assert (end - start) / judge.SECOND >= times[1] - times[0] + LOOK_BACK


def test_a_key_of_a_telephone_opts_out(desk: Desk) -> None:
    async def scenario(http: httpx.AsyncClient) -> None:
        url = f"/v1/action/{EXTENSION}/opt-out"
        answer = await http.get(
            url, params={"token": desk.token, "reason": "distress"}, headers={"Authorization": ""}
        )
        assert (answer.status_code, answer.text) == (200, "OFF")
        refused = await http.post(f"/v1/extensions/{EXTENSION}/resume")
        assert refused.json().get("outcome") in ("refused", "unchanged")

    _, listed = desk.call(scenario, 4.0)
    assert listed["state"] in ("partial", "not_recorded")
    (redaction,) = listed["redactions"]
    assert (redaction["cause"], redaction["actor"]) == ("opt_out", desk.id)


def test_live_state_is_that_of_the_call_until_the_token_is_revoked(desk: Desk) -> None:
    added = desk.gateway.run("agents", "add", "Page", "--extension", EXTENSION, "--may", "pause")
    token = added.out.strip()
    seen: list[list[str]] = []

    async def watch() -> int | None:
        async with connect(desk.gateway.api.replace("http", "ws") + "/v1/live") as watching:
            await watching.send(json.dumps({"token": token}))
            with suppress(ConnectionClosed):
                async for message in watching:
                    states = [call["state"] for call in json.loads(message)["calls"]]
                    if states not in seen[-1:]:
                        seen.append(states)
            return watching.close_code

    async def scenario(http: httpx.AsyncClient) -> None:
        watching = asyncio.create_task(watch())
        for action, state in (("pause", "paused"), ("resume", "recording")):
            assert await state_after(http, action) == state
            async with asyncio.timeout(PATIENCE_SECONDS):
                while [state] not in seen:
                    await asyncio.sleep(0.05)
        revoked = await asyncio.to_thread(desk.gateway.run, "agents", "revoke", token.split("_")[1])
        assert revoked.code == 0, revoked.err
        assert await watching == 4401
        headers = {"Authorization": f"Bearer {token}"}
        assert (await http.get("/v1/calls", headers=headers)).status_code == 401

    desk.call(scenario, 8.0)
    assert ["paused"] in seen


def test_nothing_that_was_written_shows_a_token(desk: Desk, tmp_path: Path) -> None:
    secret = desk.token[len("ht_00000000_") :].encode()
    files = [path for path in desk.gateway.folder.rglob("*") if path.is_file()]
    assert files
    assert not [path.name for path in files if secret in path.read_bytes()]
    assert EXTENSION.encode() not in desk.gateway.log.read_bytes()
