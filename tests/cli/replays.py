"""Captures that are written, replayed, and heard again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av

from tests.cli.conftest import Hushtap
from tests.tap.captures import pcap
from tests.tap.telephony import Telephones, in_order, whole_call


def write(name: str, calls: Sequence[Telephones], **options: Any) -> str:
    Path(name).write_bytes(pcap(in_order(calls), **{"nano": True} | options))
    return name


def replayed(hushtap: Hushtap, *captured: str, status: int = 0) -> list[dict[str, Any]]:
    outcome = hushtap("replay", "--json", *captured)
    assert outcome.status == status, outcome.err
    rows: list[dict[str, Any]] = outcome.json
    return rows


def audio(hushtap: Hushtap, call: dict[str, Any], name: str = "call.mka") -> list[bytes]:
    """The stored payload of the external leg and of the agent's, as ffmpeg reads it."""
    outcome = hushtap(
        "export", call["id"], "--format", "mka", "--output", name, "--reason", "test", "--force"
    )
    assert outcome.status == 0, outcome.err
    with av.open(name) as file:
        found = {stream.index: bytearray() for stream in file.streams}
        for packet in file.demux():
            found[packet.stream.index] += bytes(packet)
    return [bytes(found[index]) for index in sorted(found)]


def lost_bye() -> Telephones:
    """A call whose end was not captured."""
    call = whole_call(2.0, name="lost")
    del call.frames[-2:]
    return call
