"""Calls whose audio comes as SRTP, under every suite the client's library has, rolling over in mid-call."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.demo.client import Ending, Outcome, Plan
from gateway.demo.client.plan import Network
from gateway.demo.client.srtp import SUITES, Srtp
from gateway.rtp.suites import SUITES as SIZES
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway

REPEATED = Network(duplicate=0.1, seed=5)


def secured(index: int, suite: str, network: Network) -> Plan:
    """Both legs under keys of their own; their sequence numbers run out while the call lasts."""
    size = SIZES[suite].key + SIZES[suite].salt
    plan = callers.call(index, 4.0, network=network)
    legs = [
        replace(leg, srtp=Srtp(suite, bytes([index + 1, place + 100]) * (size // 2)), sequence=65_450)
        for place, leg in enumerate((plan.caller, plan.callee))
    ]
    return replace(plan, caller=legs[0], callee=legs[1])


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, list[Outcome]]]:
    plans = [
        secured(index, suite, network)
        for index, (suite, network) in enumerate((s, n) for s in SUITES for n in (Network(), REPEATED))
    ]
    with Gateway(tmp_path_factory.mktemp("srtp"), {"media": {"hold_back_seconds": 1.0}}) as gateway:
        outcomes = asyncio.run(callers.place_all(plans, gateway.server))
        gateway.wait_idle()
        yield gateway, outcomes


def test_every_packet_is_opened_once_and_stored_as_it_was(evening: tuple[Gateway, list[Outcome]]) -> None:
    gateway, outcomes = evening
    for index, outcome in enumerate(outcomes):
        assert (outcome.ending, outcome.problems) == (Ending.CLIENT, ())
        call = gateway.call_of(callers.number(index))
        assert call["state"] == "recorded"
        stored = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
        for role, sent, counted in zip(("external", "agent"), outcome.legs, call["legs"], strict=True):
            assert (counted["packets"], counted["lost"]) == (sent.packets, 0)
            judge.placed(stored[role], judge.octets(sent.audio().items()))
    assert all(verdict["ok"] for verdict in gateway.verify())


def test_repeated_packets_are_counted_as_replays(evening: tuple[Gateway, list[Outcome]]) -> None:
    gateway, outcomes = evening
    repeated = sum(leg.duplicated for outcome in outcomes for leg in outcome.legs)
    assert repeated
    assert gateway.metric("hushtap_media_refused_datagrams_total", kind="srtp_replay") == repeated


def test_no_key_of_the_media_is_written(evening: tuple[Gateway, list[Outcome]], tmp_path: Path) -> None:
    gateway, _ = evening
    keys = [bytes([index + 1, place + 100]) * 14 for index in range(2 * len(SUITES)) for place in range(2)]
    for path in (file for file in gateway.storage.rglob("*") if file.is_file()):
        data = path.read_bytes()
        assert not any(key in data or key.hex().encode() in data for key in keys)
