"""A disk that is nearly full, one that fills up while calls are recorded, and a file that cannot grow."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from gateway.demo.client import Ending, Outcome
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json, at_once

IMPATIENT = {"media": {"hold_back_seconds": 1.0}}
SURVIVES = 3.0  # audio older than this when the disk filled up is kept
FILE_BYTES = 100_000  # about six seconds of a call
IS_ROOT = os.geteuid() == 0

Outcomes = dict[int, Outcome]  # by the number of the call


async def place(gateway: Gateway, *calls: tuple[int, float]) -> Outcomes:
    """Calls of these numbers and lengths."""
    plans = [callers.call(index, seconds) for index, seconds in calls]
    outcomes = await callers.place_all(plans, gateway.server)
    return {index: outcome for (index, _), outcome in zip(calls, outcomes, strict=True)}


async def little_free(gateway: Gateway) -> Outcomes:
    return await place(gateway, (1, 1.0))


async def files_of_a_size(gateway: Gateway) -> Outcomes:
    """The worker may not write files beyond a size: a long call fails in its middle, short ones do not."""
    first = asyncio.create_task(place(gateway, (1, 10.0), (2, 3.0)))
    resource.prlimit(gateway.worker_pid(), resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    await asyncio.sleep(7.5)
    return await place(gateway, (3, 2.0)) | await first


async def filling(gateway: Gateway) -> Outcomes:
    """A call that ends while the disk is full, one that outlasts that, one placed then and one afterwards."""
    running = asyncio.create_task(place(gateway, (1, 6.0), (2, 12.0)))
    await asyncio.sleep(4.5)
    ballast = await asyncio.to_thread(fill, gateway.storage)
    await asyncio.sleep(2.0)
    refused = await place(gateway, (3, 1.0))
    await asyncio.sleep(2.5)
    ballast.unlink()
    return await place(gateway, (4, 1.0)) | refused | await running


def fill(place: Path) -> Path:
    """A file that takes all that is free."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


@contextmanager
def file_system(place: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own in memory. Needs root."""
    place.mkdir(mode=0o700, parents=True)
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


Scenario = Callable[[Gateway], Coroutine[None, None, Outcomes]]
Settings = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class Evening:
    """A gateway and what became of its calls, by their numbers."""

    gateway: Gateway
    outcomes: Outcomes
    calls: dict[int, Json]

    @classmethod
    def live(cls, gateway: Gateway, scenario: Scenario) -> Evening:
        gateway.start()
        outcomes = asyncio.run(scenario(gateway))
        gateway.wait_idle()
        listed = {call["participants"][0]["number"]: call for call in gateway.calls()}
        named = {index: callers.number(index) for index in outcomes}
        return cls(
            gateway, outcomes, {index: listed[number] for index, number in named.items() if number in listed}
        )

    def ends(self) -> dict[int, tuple[str, str]]:
        """State and reason of every call."""
        return {index: (call["state"], call["reason"]) for index, call in sorted(self.calls.items())}

    def held(self, index: int, seconds: float) -> None:
        """Fails unless the first seconds of both legs of a call are stored as they were sent."""
        legs = judge.legs(judge.plaintexts(self.gateway.storage, self.calls[index]["recordings"][0]))
        for role, sent in zip(("external", "agent"), self.outcomes[index].legs, strict=True):
            judge.placed(legs[role], judge.octets(sent.audio().items())[: round(seconds * judge.SECOND)])


Evenings = dict[str, Evening]


@pytest.fixture(scope="module")
def evenings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evenings]:
    """All scenarios, each with a gateway of its own, at the same time."""
    folder = tmp_path_factory.mktemp("disk")
    kinds: dict[str, tuple[Scenario, Settings]] = {
        "little": (little_free, {"storage": {"min_free_megabytes": 1 << 40}}),
        "files": (files_of_a_size, IMPATIENT),
    }
    with ExitStack() as stack:
        if IS_ROOT:
            stack.enter_context(file_system(folder / "filling" / "data", 20))
            kinds["filling"] = (filling, IMPATIENT)
        gateways = {name: Gateway(folder / name, settings) for name, (_, settings) in kinds.items()}
        for gateway in gateways.values():
            stack.callback(gateway.kill)
        done = at_once(*(partial(Evening.live, gateways[name], kinds[name][0]) for name in kinds))
        yield dict(zip(kinds, done, strict=True))


RECORDED = "recorded", "the recording client ended the call"


def test_a_call_is_refused_when_little_is_free(evenings: Evenings) -> None:
    evening = evenings["little"]
    outcome, call = evening.outcomes[1], evening.calls[1]
    assert (outcome.ending, outcome.status) == (Ending.REFUSED, 503)
    assert outcome.retry_after
    assert evening.gateway.metric("hushtap_refused_requests_total", reason="disk_full") == 1
    assert evening.ends() == {1: ("not_recorded", "the storage was nearly full")}
    assert call["recordings"] == []
    told = f"call {call['id']} was refused with 503: the storage was nearly full"
    assert told in evening.gateway.log.read_text(encoding="utf-8")
    assert evening.gateway.verify() == []


def test_a_recording_that_cannot_grow_harms_no_other(evenings: Evenings) -> None:
    evening = evenings["files"]
    assert {outcome.ending for outcome in evening.outcomes.values()} == {Ending.CLIENT}
    assert evening.gateway.metric("hushtap_append_failures_total") == 1
    assert evening.ends() == {1: ("partial", "storage failed: File too large"), 2: RECORDED, 3: RECORDED}
    assert evening.calls[1]["recordings"][0]["bytes"] == FILE_BYTES
    evening.held(1, 4.0)


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a file system to fill")
def test_a_disk_that_fills_up_costs_what_came_while_it_was_full(evenings: Evenings) -> None:
    """The call placed meanwhile is refused; there is no room to say so but in the log."""
    evening = evenings["filling"]
    statuses = {index: outcome.status for index, outcome in evening.outcomes.items()}
    assert statuses == {1: 200, 2: 200, 3: 503, 4: 200}
    assert evening.outcomes[2].ending is Ending.CLIENT
    full = "partial", "storage failed: No space left on device"
    assert evening.ends() == {1: full, 2: full, 4: RECORDED}
    for index in (1, 2):
        evening.held(index, 4.5 - SURVIVES)


@pytest.mark.parametrize("name", ["files", *(["filling"] if IS_ROOT else [])])
def test_all_is_verified(evenings: Evenings, name: str) -> None:
    verdicts = evenings[name].gateway.verify()
    assert len(verdicts) == 3
    assert all(verdict["ok"] for verdict in verdicts)
