"""What is special about some clients, through a real gateway: pauses, transfers, pairs, roles that come late."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

from tests.end_to_end import judge
from tests.end_to_end.client import Client, Voice, both, metadata, sdp
from tests.end_to_end.gateway import Gateway, Json
from tests.ports import HOST

FIRST, SECOND = ("a", "1001", "2"), ("b", "1002", "2")
TRANSFER_SECONDS = 1.5
SETTINGS = {"media": {"hold_back_seconds": 2.0, "transfer_seconds": TRANSFER_SECONDS}}
Server = tuple[str, int]
Voices = list[Voice]


def aim(voices: Voices, ports: list[int]) -> None:
    for voice, port in zip(voices, ports, strict=True):
        voice.target = (HOST, port)


def paused(server: Server, number: str, voices: Voices) -> None:
    """One second of three is paused; the voices are left with what may be kept, and then what may not."""
    with Client(server, number) as client:
        aim(voices, client.invite(*both(sdp("12"), metadata([("c", number, "1"), FIRST]))).ports)
        client.speak(1.5, *voices)
        answer = client.invite(sdp("12", "inactive"))
        assert answer.body.count("a=inactive") == 2
        client.speak(1.0, *voices)
        client.invite(sdp("12"))
        client.speak(1.5, *voices)
        client.request("BYE")


def never(server: Server, number: str, voices: Voices) -> None:
    with Client(server, number) as client:
        offer = sdp("12", session="a=recordpref:off\r\n")
        aim(voices, client.invite(*both(offer, metadata([("c", number, "1"), FIRST]))).ports)
        client.speak(1.0, *voices)
        client.request("BYE")


def transferred(server: Server, number: str, voices: Voices) -> None:
    caller = ("c", number, "1")
    with Client(server, number) as client:
        aim(voices, client.invite(*both(sdp("12"), metadata([caller, FIRST]))).ports)
        client.speak(1.5, *voices)
        client.request("UPDATE", metadata([caller, SECOND]), "application/rs-metadata+xml")
        client.speak(1.5, *voices)
        client.request("BYE")


def grouped(server: Server, number: str, voices: Voices) -> None:
    for agent in (FIRST, SECOND):
        with Client(server, number + agent[1]) as client:
            people = metadata([("c", number, "1"), agent], "group 1")
            aim(voices, client.invite(*both(sdp("12"), people)).ports)
            client.speak(1.5, *voices)
            client.request("BYE")


def late(server: Server, number: str, voices: Voices) -> None:
    for place, each in enumerate((number, number + "9")):
        with Client(server, each) as client:
            people = metadata([("c", each, "1"), FIRST], "group 2")
            aim(voices, client.invite(*both(sdp("12"), people)).ports)
            client.speak(0.5, *voices)
            client.request("BYE")
        time.sleep(0 if place else TRANSFER_SECONDS + 1)


def revealed(server: Server, number: str, voices: Voices) -> None:
    """Nothing is known at first; then the first stream turns out to be the agent's."""
    with Client(server, number) as client:
        aim(voices, client.invite(sdp("12")).ports)
        client.speak(1.0, *voices)
        people = metadata([("a", "1001", "1"), ("c", number, "2")])
        client.request("UPDATE", people, "application/rs-metadata+xml")
        client.speak(1.0, *voices)
        client.request("BYE")


def bridged(order: tuple[str, str]) -> Callable[[Server, str, Voices], None]:
    def place(server: Server, number: str, voices: Voices) -> None:
        mine = dict(zip(("near", "far"), voices, strict=True))
        reference = f"x-refci={number[1:]};x-nearenddevice=SEP1;x-nearendaddr=1001;x-farendaddr={number}"
        caller = f"<sip:1001@{HOST};x-{{}}end;{reference}>"
        with (
            Client(server, number + order[0], caller.format(order[0])) as first,
            Client(server, number + order[1], caller.format(order[1])) as second,
        ):
            for client, side in zip((first, second), order, strict=True):
                answer = client.invite(ack=sdp(["x"]).replace(b"a=label:x\r\n", b""))
                assert answer.body.count("m=audio") == 1
                aim([mine[side]], answer.ports)
            first.speak(1.5, *voices)
            first.request("BYE")
            second.speak(0.5, mine[order[1]])
            second.request("BYE")

    return place


def added(server: Server, number: str, voices: Voices) -> None:
    """One stream, then a second one, then only that."""
    with Client(server, number) as client:
        people = metadata([("c", number, "1"), FIRST])
        aim(voices[:1], client.invite(*both(sdp("1"), people)).ports)
        client.speak(1.0, voices[0])
        aim(voices, client.invite(sdp("12")).ports)
        client.speak(1.0, *voices)
        dropped = sdp("12").replace(b"m=audio 4000", b"m=audio 0")
        assert client.invite(dropped).ports[0] == 0
        client.speak(0.5, voices[1])
        client.request("BYE")


PLAYS: dict[str, Callable[[Server, str, Voices], None]] = {
    "paused": paused,
    "never": never,
    "transferred": transferred,
    "grouped": grouped,
    "late": late,
    "revealed": revealed,
    "near first": bridged(("near", "far")),
    "far first": bridged(("far", "near")),
    "added": added,
}


@dataclass(frozen=True)
class Evening:
    """All plays, played at once and stored."""

    gateway: Gateway
    listed: dict[str, Json]
    voices: dict[str, Voices]

    def stored(self, recording: Json) -> dict[str, bytes]:
        """What a recording's tracks hold, by the role that they are named by."""
        legs = judge.legs(judge.plaintexts(self.gateway.storage, recording))
        return {role: leg[leg >= 0].astype(np.uint8).tobytes() for role, leg in legs.items()}


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Evening:
    numbers = {name: f"+155501002{place:02}" for place, name in enumerate(PLAYS)}
    voices = {name: [Voice(2 * place + 1), Voice(2 * place + 2)] for place, name in enumerate(PLAYS)}
    with Gateway(tmp_path_factory.mktemp("dialects"), SETTINGS) as gateway:
        with ThreadPoolExecutor(len(PLAYS)) as pool:
            placed = [pool.submit(PLAYS[name], gateway.server, numbers[name], voices[name]) for name in PLAYS]
        for each in placed:
            each.result()
        gateway.wait_idle()
        assert gateway.terminate() == 0
        calls = gateway.calls()
    by_number = {party["number"]: call for call in calls for party in call["participants"]}
    listed = {name: by_number[number] for name, number in numbers.items()}
    listed["later"] = by_number[numbers["late"] + "9"]
    return Evening(gateway, listed, voices)


def test_everything_verifies(evening: Evening) -> None:
    verdicts = evening.gateway.verify()
    assert all(verdict["ok"] for verdict in verdicts), verdicts
    assert (
        len(verdicts) == len(PLAYS) + 2 - 1 + 1
    )  # two transfers, nothing of one call, a second call of a group


def test_nothing_of_a_pause_is_stored(evening: Evening) -> None:
    call, voices = evening.listed["paused"], evening.voices["paused"]
    kept = evening.stored(call["recordings"][0])
    for role, voice in zip(("external", "agent"), voices, strict=True):
        before, during, after = voice.sent[:12_000], voice.sent[12_000:20_000], voice.sent[20_000:]
        assert before[:-1600] in kept[role]
        assert after[1600:] in kept[role]
        assert not any(during[at : at + 40] in kept[role] for at in range(1600, 6400, 40))
    (redaction,) = call["redactions"]
    assert (redaction["cause"], redaction["actor"]) == ("src", None)
    assert sorted(redaction["legs"]) == ["agent", "external"]
    assert 0.8 < redaction["end"] - redaction["start"] < 2.0


def test_recordpref_off_keeps_nothing(evening: Evening) -> None:
    call = evening.listed["never"]
    assert (call["state"], call["recordings"]) == ("not_recorded", [])
    assert "the client asked by recordpref for off" in call["notes"]


@pytest.mark.parametrize("name", ["transferred", "grouped"])
def test_each_agent_has_a_recording(evening: Evening, name: str) -> None:
    call, gateway = evening.listed[name], evening.gateway
    assert call["state"] == "recorded"
    took_part = {party["number"]: party["segments"] for party in call["participants"]}
    assert len(took_part) == 3
    assert (took_part.pop("1001"), took_part.pop("1002"), *took_part.values()) == ([1], [2], [1, 2])
    first, second = call["recordings"]
    assert (first["segment"], first["start"], second["segment"]) == (1, 0, 2)
    assert 1.0 < second["start"] < 4.0
    kept = [evening.stored(recording) for recording in (first, second)]
    for role, voice in zip(("external", "agent"), evening.voices[name], strict=True):
        assert kept[0][role] + kept[1][role] == voice.sent
        assert min(len(kept[0][role]), len(kept[1][role])) > 8000
    path = gateway.folder / f"{call['id']}.wav"
    words = (
        "export",
        call["id"],
        "--format",
        "wav",
        "--segment",
        "2",
        "--output",
        str(path),
        "--reason",
        "a test",
    )
    assert gateway.run(*words).code == 0
    assert 1.0 < path.stat().st_size / 32_000 < 3.0
    assert "segment 2 from" in gateway.run("show", call["id"]).out


def test_a_group_that_goes_on_too_late_is_linked(evening: Evening) -> None:
    assert evening.listed["late"]["follows"] is None
    assert evening.listed["later"]["follows"] == evening.listed["late"]["id"]


def test_roles_that_are_known_late_are_right_in_the_end(evening: Evening) -> None:
    call, voices = evening.listed["revealed"], evening.voices["revealed"]
    assert call["direction"] == "outbound"
    assert [(leg["role"], leg["packets"]) for leg in call["legs"]] == [("external", 100), ("agent", 100)]
    exported = evening.gateway.export(call["id"])
    for column, voice in enumerate(reversed(voices)):
        judge.place_in(exported[:, column], judge.decode(voice.sent, "PCMA"))


@pytest.mark.parametrize("name", ["near first", "far first"])
def test_a_pair_of_sessions_is_one_call(evening: Evening, name: str) -> None:
    call, (near, far) = evening.listed[name], evening.voices[name]
    assert call["state"] == "recorded"
    assert [party["role"] for party in call["participants"]] == ["external", "agent"]
    assert call["participants"][1]["number"] == "1001"
    (recording,) = call["recordings"]
    assert evening.stored(recording) == {"agent": near.sent, "external": far.sent}


def test_a_stream_that_is_added_and_one_that_is_dropped(evening: Evening) -> None:
    first, second = evening.voices["added"]
    kept = evening.stored(evening.listed["added"]["recordings"][0])
    assert kept == {"external": first.sent, "agent": second.sent}
