"""Calls of every shape the recording client has, all in progress at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gateway.demo.client import Ending, LegSent
from tests.end_to_end import judge
from tests.end_to_end.conftest import PTIMES, RENAMED, Recorded

ROUGH = [f"rough {seed}" for seed in (1, 2, 3)]
STEADY = [f"{codec} {ptime} ms" for codec in ("PCMA", "PCMU") for ptime in PTIMES]
GUARD = judge.SECOND * 40 // 1000  # masked before and after each tone
EDGE = 1  # sample more where a tone's end lies between two
STEADY += ["wrap", "digits", "moved", "renamed"]
ROLES = ("external", "agent")
TOGETHER = 0.02 * judge.SECOND  # legs are at most so far apart


def stored(recorded: Recorded, name: str) -> dict[str, judge.Octets]:
    (recording,) = recorded.listed[name]["recordings"]
    return judge.legs(judge.plaintexts(recorded.gateway.storage, recording))


def kept(recorded: Recorded, name: str) -> list[judge.Octets]:
    """What was sent on each leg, less the guards around the keys that were pressed."""
    heard = [judge.octets(sent.audio().items()) for sent in recorded.outcomes[name].legs]
    for digit in recorded.plans[name].caller.digits:
        pressed = round(digit.at * judge.SECOND)
        released = pressed + digit.milliseconds * judge.SECOND // 1000
        heard[0][pressed - GUARD : released + GUARD + EDGE] = judge.NOTHING
    return heard


def lost_between(sent: LegSent) -> int:
    """Packets missing between the first and the last that left: what a receiver can know to be lost."""
    sequence = np.array(sorted({int.from_bytes(each.datagram[2:4]) for each in sent.datagrams}))
    return int(sequence[-1] - sequence[0] + 1 - sequence.size)


def test_every_call_went_as_planned(recorded: Recorded) -> None:
    for name, outcome in recorded.outcomes.items():
        assert (outcome.ending, outcome.status, outcome.problems) == (Ending.CLIENT, 200, ()), name
        listed = recorded.listed[name]
        assert (listed["state"], listed["direction"]) == ("recorded", "inbound"), name
        assert listed["reason"] == "the recording client ended the call"


@pytest.mark.parametrize("name", STEADY + ROUGH)
def test_every_octet_is_stored_at_its_place(recorded: Recorded, name: str) -> None:
    legs, places, edges = stored(recorded, name), [], EDGE * len(recorded.plans[name].caller.digits)
    for role, audio in zip(ROLES, kept(recorded, name), strict=True):
        places.append(judge.placed(legs[role], audio))
        assert 0 <= judge.length(legs[role]) - judge.length(audio) <= edges
    assert abs(places[0] - places[1]) <= TOGETHER


def test_another_ssrc_goes_on_at_its_place(recorded: Recorded) -> None:
    legs, outcome = stored(recorded, "ssrc change"), recorded.outcomes["ssrc change"]
    audio = [judge.octets(sent.audio().items()) for sent in outcome.legs]
    half = 3 * judge.SECOND
    seam = round(
        TOGETHER
    )  # the new stream is placed by its own arrival, and may begin before the old one ends
    before, after = (
        judge.placed(legs["external"], part) for part in (audio[0][: half - seam], audio[0][half:])
    )
    other = judge.placed(legs["agent"], audio[1])
    assert abs(before - other) <= TOGETHER
    assert abs(after - half - other) <= TOGETHER


@pytest.mark.parametrize("name", ["PCMU 30 ms", "PCMA 60 ms", "wrap", "rough 1"])
def test_the_export_decodes_to_what_was_sent(recorded: Recorded, name: str) -> None:
    exported = recorded.gateway.export(recorded.listed[name]["id"])
    legs, codec = stored(recorded, name), recorded.plans[name].codec
    for column, (role, sent) in enumerate(zip(ROLES, recorded.outcomes[name].legs, strict=True)):
        by = judge.placed(legs[role], judge.octets(sent.audio().items()))
        for start, payload in sent.stretches():
            found = exported[start + by : start + by + len(payload), column]
            assert np.array_equal(found, judge.decode(payload, codec))


@pytest.mark.parametrize("name", [*STEADY, "ssrc change"])
def test_every_packet_is_counted(recorded: Recorded, name: str) -> None:
    sent_and_kept = zip(recorded.outcomes[name].legs, kept(recorded, name), strict=True)
    for leg, (sent, heard) in zip(recorded.listed[name]["legs"], sent_and_kept, strict=True):
        counts: dict[str, Any] = {"packets": sent.packets, "lost": 0, "late": 0, "duplicated": 0}
        edges = EDGE * len(recorded.plans[name].caller.digits)
        audio = pytest.approx(judge.length(heard) / judge.SECOND, abs=edges / judge.SECOND)
        assert leg == leg | counts | {"codec": recorded.plans[name].codec, "seconds": audio}
        assert sent.failed == 0


@pytest.mark.parametrize("name", ROUGH)
def test_what_the_network_did_is_counted(recorded: Recorded, name: str) -> None:
    for leg, sent in zip(recorded.listed[name]["legs"], recorded.outcomes[name].legs, strict=True):
        assert sent.lost > 50
        assert sent.duplicated > 10
        assert leg["packets"] == sent.packets
        assert leg["duplicated"] == sent.duplicated
        assert leg["lost"] == lost_between(sent)
        assert leg["late"] == 0


def test_digits_are_redacted_and_nowhere_stored(recorded: Recorded) -> None:
    listed, plan = recorded.listed["digits"], recorded.plans["digits"]
    legs = stored(recorded, "digits")
    by = judge.placed(legs["external"], kept(recorded, "digits")[0])
    assert len(listed["redactions"]) == len(plan.caller.digits)
    for digit, redaction in zip(plan.caller.digits, listed["redactions"], strict=True):
        assert (redaction["cause"], redaction["legs"]) == ("dtmf", ["external"])
        start, end = (round(redaction[edge] * judge.SECOND) for edge in ("start", "end"))
        assert abs(start + GUARD - by - digit.at * judge.SECOND) <= 1
        assert 0 <= end - start - digit.milliseconds * judge.SECOND // 1000 - 2 * GUARD <= EDGE
        assert (legs["external"][start:end] == judge.NOTHING).all()
    events = {each.payload for each in recorded.outcomes["digits"].legs[0].datagrams if not each.media}
    (plain,) = judge.plaintexts(recorded.gateway.storage, listed["recordings"][0])
    assert len(events) > 10
    assert not any(event in plain for event in events)


def test_people_are_renamed_by_an_update(recorded: Recorded) -> None:
    call_id = recorded.listed["renamed"]["id"]
    external, agent = recorded.gateway.run("show", call_id, "--json").json["participants"]
    assert external == {
        "role": "external",
        "number": RENAMED.number,
        "name": RENAMED.name,
        "extension": None,
        "segments": [1],
    }
    party = recorded.plans["renamed"].callee.party
    assert agent == {
        "role": "agent",
        "number": party.number,
        "name": party.name,
        "extension": party.number,
        "segments": [1],
    }


def test_all_is_verified(recorded: Recorded) -> None:
    verdicts = recorded.gateway.verify()
    assert {verdict["id"] for verdict in verdicts} == {
        call["recordings"][0]["id"] for call in recorded.listed.values()
    }
    assert all(verdict["ok"] for verdict in verdicts)
