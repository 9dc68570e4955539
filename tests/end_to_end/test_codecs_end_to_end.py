"""Calls in every codec through the whole gateway: offered, answered, stored as sent, exported as decoded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from gateway.demo.client import Leg, Outcome, Party, Plan
from gateway.recording.model import Role
from gateway.storage import container
from tests.codecs import coded
from tests.codecs.coded import Coded
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json

CODED: dict[str, Callable[[], Coded]] = {
    "G722": coded.g722,
    "GSM": coded.gsm,
    "G729": coded.g729,
    "ILBC": lambda: coded.ilbc(20),
    "OPUS": coded.opus,
    "L16": coded.linear,
    "AMR": lambda: coded.amr(aligned=False),
    "AMR-WB": lambda: coded.amr(aligned=True, wide=True),
    "G726-32": coded.g726,
    "G723": coded.g7231,
    "SPEEX": lambda: coded.speex(16_000),
    "DVI4": coded.dvi4,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    gateway: Gateway  # stopped
    sent: dict[str, Coded]
    outcomes: dict[str, Outcome]
    listed: dict[str, Json]


def _plan(index: int, audio: Coded) -> Plan:
    """A call of two seconds; the agent's packets are the caller's."""
    payloads, pace = tuple(audio.payloads), audio.ticks * 1000 // audio.codec.clock_rate
    caller = Leg(Party(callers.number(500 + index), ""), b"", "1", payloads)
    callee = Leg(Party(f"62{index:04}", ""), b"", "2", payloads)
    codec = audio.codec
    plan = Plan(
        caller, callee, (len(payloads) * pace + 1) / 1000, codec.name, codec.clock_rate, codec.channels
    )
    payload_type = None if codec.name in _STATIC else 110
    return replace(plan, parameters=codec.parameters, payload_type=payload_type, ptime_ms=pace)


_STATIC = ("G722", "GSM", "G729")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    sent = {name: make() for name, make in CODED.items()}
    plans = {name: _plan(index, audio) for index, (name, audio) in enumerate(sent.items())}
    with Gateway(tmp_path_factory.mktemp("codecs")) as gateway:
        outcomes = asyncio.run(callers.place_all(plans.values(), gateway.server))
        gateway.wait_idle()
        assert gateway.terminate() == 0
        calls = {party["number"]: call for call in gateway.calls() for party in call["participants"]}
        listed = {name: calls[plan.callee.party.number] for name, plan in plans.items()}
        yield Recorded(gateway, sent, dict(zip(plans, outcomes, strict=True)), listed)


@pytest.mark.parametrize("name", CODED)
def test_every_packet_is_stored_as_it_was_sent(recorded: Recorded, name: str) -> None:
    audio, call = recorded.sent[name], recorded.listed[name]
    assert (recorded.outcomes[name].status, call["state"]) == (200, "recorded")
    for leg in call["legs"]:
        assert (leg["codec"], leg["packets"], leg["lost"]) == (name, len(audio.payloads), 0)
    (plain,) = judge.plaintexts(recorded.gateway.storage, call["recordings"][0])
    reader = container.read([plain])
    roles = {track.number: track.role for track in reader.tracks}
    blocks = list(reader.blocks())
    for role in Role:
        payload = b"".join(block.payload for block in blocks if roles[block.track] is role)
        assert payload == b"".join(audio.payloads)


@pytest.mark.parametrize("name", CODED)
def test_the_export_is_what_the_decoder_says(recorded: Recorded, name: str) -> None:
    audio = recorded.sent[name]
    decoder = audio.codec.decoder()
    expected = np.concatenate([decoder.decode(payload) for payload in audio.payloads])
    exported = recorded.gateway.export(recorded.listed[name]["id"], rate=audio.codec.sample_rate)
    for leg in exported.T:
        start = leg.tobytes().find(expected[: expected.size // 2].tobytes()) // 2
        assert np.array_equal(leg[start : start + expected.size], expected)
