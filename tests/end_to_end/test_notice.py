"""Real calls to a real gateway, with the practice's notice, with half of it, and without."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gateway.demo.client import Leg, Network, Party, Plan
from gateway.demo.speech import encode
from gateway.recording.notice import RATE
from tests.end_to_end import callers
from tests.end_to_end.gateway import Gateway, Json, until
from tests.recording import noticed
from tests.recording.noticed import Pcm, music, silence

SECONDS = 7.5
PATIENCE = 60.0
NOTICE = noticed.notice()[: int(4.2 * RATE)]
BEFORE = 1.3  # seconds of music


@dataclass(frozen=True, slots=True)
class Announced:
    gateway: Gateway  # stopped
    calls: dict[str, Json]  # by what is special about them


def said(notice: Pcm) -> Pcm:
    """What the phone system plays to the caller, as long as the call."""
    start = np.concatenate((music(BEFORE + 0.2)[: int(BEFORE * RATE)], notice))
    return np.concatenate((start, silence(SECONDS - len(start) / RATE)))


def plans() -> dict[str, Plan]:
    """Calls by what is special about them, each with a number of its own."""
    caller, none = noticed.spoken("inbound", "external"), noticed.spoken("inbound", "agent")
    whole = _plan(caller, said(NOTICE))
    made = {
        "PCMA": whole,
        "5 % loss": replace(whole, network=Network(loss=0.05, seed=1)),
        "20 dB softer": _plan(caller, noticed.louder(said(NOTICE), -20)),
        "played to the other leg": _plan(said(NOTICE), none),
        "GSM": replace(_packets(whole, "GSM", caller), codec="GSM"),
        "G722": replace(_packets(whole, "G722", caller), codec="G722"),
        "OPUS": replace(
            _packets(whole, "OPUS", caller), codec="OPUS", clock_rate=48_000, channels=2, payload_type=110
        ),
        "cut off": _plan(caller, said(NOTICE[: len(NOTICE) // 2])),
        "none": _plan(caller, none),
        "outbound": _plan(caller, none),
    }
    numbered = {}
    for index, (name, plan) in enumerate(made.items()):
        external = replace(plan.caller, party=Party(callers.number(900 + index)))
        agent = replace(plan.callee, party=Party(f"63{index:04}"))
        first, second = (agent, external) if name == "outbound" else (external, agent)
        numbered[name] = replace(plan, caller=first, callee=second)
    return numbered


def _plan(external: Pcm, agent: Pcm) -> Plan:
    first, second = (
        Leg(Party(""), encode(audio, "PCMA"), label) for audio, label in ((external, "1"), (agent, "2"))
    )
    return Plan(first, second, SECONDS)


def _packets(plan: Plan, codec: str, external: Pcm) -> Plan:
    """The call with the notice in another codec."""
    caller, callee = (
        replace(leg, packets=tuple(noticed.payloads(codec, audio)))
        for leg, audio in ((plan.caller, external), (plan.callee, said(NOTICE)))
    )
    return replace(plan, caller=caller, callee=callee)


@pytest.fixture(scope="module")
def announced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Announced]:
    folder = tmp_path_factory.mktemp("notice")
    _flac(folder / "welcome.flac")
    settings: dict[str, dict[str, object]] = {
        "notice.references": {"welcome": "welcome.flac"},
        "media": {"hold_back_seconds": 0.5},
    }
    placed = plans()
    with Gateway(folder, settings) as gateway:
        asyncio.run(callers.place_all(placed.values(), gateway.server))
        gateway.wait_idle()
        measured = {"outcome": "measured"}
        until(
            "all calls are measured",
            lambda: gateway.metric("hushtap_speech_analyses_total", **measured) == len(placed),
            PATIENCE,
        )
        outcomes = ("announced", "cut_off", "unannounced", "not_measured")
        counts = [gateway.metric("hushtap_announced_calls_total", outcome=each) for each in outcomes]
        assert counts == [len(placed) - 3, 1, 1, 0]
        assert gateway.terminate() == 0
        yield Announced(gateway, {name: gateway.call_of(_number(plan)) for name, plan in placed.items()})


def _number(plan: Plan) -> str:
    return next(leg.party.number for leg in (plan.caller, plan.callee) if leg.party.number.startswith("+"))


def _flac(path: Path) -> None:
    command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", "8000", "-i", "-", str(path)]
    subprocess.run(command, input=NOTICE.tobytes(), check=True)


@pytest.mark.parametrize(
    "name", ["PCMA", "5 % loss", "20 dB softer", "played to the other leg", "GSM", "G722", "OPUS"]
)
def test_a_call_with_the_notice_is_announced(announced: Announced, name: str) -> None:
    told = announced.calls[name]["announcement"]
    assert (told["state"], told["notice"], told["reason"]) == ("announced", "welcome", "")
    assert told["share"] > 0.9
    assert told["leg"] == ("external" if name == "played to the other leg" else "agent")
    assert told["at"] == pytest.approx(BEFORE, abs=0.3)  # media begin a moment after the call


def test_half_a_notice_is_cut_off(announced: Announced) -> None:
    told = announced.calls["cut off"]["announcement"]
    assert (told["state"], told["notice"], told["leg"]) == ("unannounced", "welcome", "agent")
    assert 0.35 < told["share"] < 0.65
    assert told["reason"].startswith("heard to ")


def test_no_notice_and_none_needed(announced: Announced) -> None:
    told = announced.calls["none"]["announcement"]
    assert told == {
        "state": "unannounced",
        "notice": None,
        "leg": None,
        "at": None,
        "share": 0.0,
        "reason": "no notice was heard",
    }
    assert announced.calls["outbound"]["announcement"] is None


def test_it_is_shown_exported_found_again_and_verified(announced: Announced) -> None:
    gateway, call = announced.gateway, announced.calls["PCMA"]
    shown = gateway.run("show", call["id"]).out
    assert "notice     announced; welcome from 0:00:01." in shown
    shown = gateway.run("show", announced.calls["none"]["id"]).out
    assert "notice     unannounced: no notice was heard\n" in shown
    assert all(verdict["ok"] for verdict in gateway.verify())
    assert gateway.run("reindex").code == 0
    assert gateway.call_of(call["participants"][0]["number"]) == call
