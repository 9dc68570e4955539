"""What several files judge: one evening's calls, recorded once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from gateway.demo.client import Digit, Network, Outcome, Party, Plan
from tests.end_to_end import callers, judge, sipp
from tests.end_to_end.gateway import Gateway, Json

SECONDS = 6.0
PTIMES = (10, 20, 30, 40, 60)
ROUGH = Network(loss=0.3, duplicate=0.1, reorder=0.2, reorder_ms=200.0)
RENAMED = Party("+15550007777", "Somebody Else")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Calls by name: of the recording client as planned and as sent; of it and of sipp as the gateway lists them."""

    gateway: Gateway  # stopped
    plans: dict[str, Plan]
    outcomes: dict[str, Outcome]
    listed: dict[str, Json]


def _plans() -> dict[str, Plan]:
    plans = {
        f"{codec} {ptime} ms": callers.call(100 * place + ptime, SECONDS, codec=codec, ptime_ms=ptime)
        for place, codec in enumerate(("PCMA", "PCMU"))
        for ptime in PTIMES
    }
    wrap = callers.call(201, SECONDS)
    plans["wrap"] = replace(wrap, caller=replace(wrap.caller, sequence=65_500, timestamp=(1 << 32) - 9_000))
    change = callers.call(202, SECONDS)
    plans["ssrc change"] = replace(change, caller=replace(change.caller, ssrc_change_at=3.0))
    digits = callers.call(203, SECONDS)
    pressed = tuple(Digit(at, digit) for at, digit in zip((1.0, 1.4, 3.0, 4.0), "49#7", strict=True))
    plans["digits"] = replace(digits, caller=replace(digits.caller, digits=pressed))
    plans["moved"] = callers.call(204, SECONDS, reinvite_at=3.0)
    plans["renamed"] = callers.call(205, SECONDS, update_at=2.0, updated=RENAMED)
    for seed in (1, 2, 3):
        plans[f"rough {seed}"] = callers.call(205 + seed, SECONDS, network=replace(ROUGH, seed=seed))
    return plans


async def _place(gateway: Gateway, plans: dict[str, Plan]) -> dict[str, Outcome]:
    """Half of the calls by UDP, the others by TCP, all at once."""
    names = sorted(plans)
    by_udp, by_tcp = names[::2], names[1::2]
    udp, tcp = await asyncio.gather(
        callers.place_all([plans[name] for name in by_udp], gateway.server, "udp"),
        callers.place_all([plans[name] for name in by_tcp], gateway.server, "tcp"),
    )
    return dict(zip([*by_udp, *by_tcp], [*udp, *tcp], strict=True))


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """All calls in progress at the same time."""
    folder, plans = tmp_path_factory.mktemp("recorded"), _plans()
    numbers = {name: plan.callee.party.number for name, plan in plans.items()}
    numbers |= {call.name: call.number for call in sipp.CALLS}
    judge.decode(b"", "PCMA")  # has ffmpeg in memory: its first start takes seconds
    with Gateway(folder / "gateway") as gateway, ThreadPoolExecutor(len(sipp.CALLS)) as threads:
        others = [threads.submit(call.place, gateway.server, folder / call.name) for call in sipp.CALLS]
        outcomes = asyncio.run(_place(gateway, plans))
        for other in others:
            other.result()
        gateway.wait_idle()
        assert gateway.terminate() == 0
        calls = {party["number"]: call for call in gateway.calls() for party in call["participants"]}
        yield Recorded(gateway, plans, outcomes, {name: calls[number] for name, number in numbers.items()})
