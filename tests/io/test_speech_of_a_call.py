"""A real call to a real gateway: its figures come after its end, and everything still verifies."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.client import Client, Leg, Party, Plan
from gateway.demo.gateway_process import Gateway
from gateway.demo.speech import load
from tests.patience import PATIENCE_SECONDS

SECONDS = 3.0


class QuickGateway(Gateway):
    """Holds audio back no longer than it must."""

    def _settings(self) -> str:
        return super()._settings().replace("[media]\n", "[media]\nhold_back_seconds = 0.5\n")


def plan() -> Plan:
    external, agent = (
        Leg(Party(number), load("inbound", role, "PCMA"), role)
        for number, role in (("+15550100001", "external"), ("201", "agent"))
    )
    return Plan(caller=external, callee=agent, seconds=SECONDS)


async def recorded(folder: Path) -> dict[str, Any]:
    """The call, once its figures are there."""
    async with QuickGateway(folder) as gateway:
        async with Client(gateway.server) as client:
            await client.place(plan())
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (rows := await gateway.table("calls")) or not rows[0]["speech"]:
                await asyncio.sleep(0.1)
        (verdict,) = await gateway.table("verify", "--all")
        assert verdict["ok"]
        return rows[0]


def test_a_call_has_its_figures_after_its_end(tmp_path: Path) -> None:
    call = asyncio.run(recorded(tmp_path / "gateway"))
    assert call["state"] == "recorded"
    speech = {item["role"]: item for item in call["speech"]}
    ended, started = (datetime.fromisoformat(call[name]) for name in ("ended", "started"))
    for item in speech.values():
        assert item["talk"] + item["silence"] == pytest.approx((ended - started).total_seconds(), abs=0.01)
    assert 1 < speech["agent"]["talk"] <= SECONDS + 0.5  # who answers speaks first
