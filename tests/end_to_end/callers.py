"""Calls of the recording client whose audio and parties are those of no other call, so that each can be found again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.demo.client import Client, Leg, Outcome, Party, Plan
from gateway.demo.client.transport import Transport
from tests.end_to_end.judge import SECOND

Address = tuple[str, int]


def number(index: int) -> str:
    """The external party's number in a call."""
    return f"+1555000{index:04}"


def call(index: int, seconds: float, **changes: Any) -> Plan:
    """An inbound call; the audio of both legs is noise of their own. What is changed is changed in the plan."""
    external = Leg(Party(number(index), f"Caller Zero{index:04}"), noise(2 * index, seconds), "96")
    agent = Leg(Party(f"61{index:04}", f"Agent Zero{index:04}"), noise(2 * index + 1, seconds), "97")
    return replace(Plan(external, agent, seconds), **changes)


def noise(seed: int, seconds: float) -> bytes:
    return random.Random(seed).randbytes(round(seconds * SECOND))


async def place_all(plans: Iterable[Plan], server: Address, transport: Transport = "udp") -> list[Outcome]:
    """Place all calls at once over one connection."""
    async with Client(server, transport) as client:
        return await asyncio.gather(*map(client.place, plans))
