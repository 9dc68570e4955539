"""What is special about some clients, through a real gateway: pauses, transfers, pairs, roles that come late."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.end_to_end import judge
from tests.end_to_end.client import Client, Voice, both, metadata, sdp
from tests.end_to_end.gateway import HOST, Gateway, Json

OUTSIDE, FIRST, SECOND = ("c", "+15550100200", "1"), ("a", "1001", "2"), ("b", "1002", "2")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"media": {"hold_back_seconds": 2.0, "transfer_seconds": 1.5}}
    with Gateway(tmp_path_factory.mktemp("dialects"), settings) as running:
        yield running


def ended(gateway: Gateway, number: str) -> Json:
    gateway.wait_idle()
    assert all(verdict["ok"] for verdict in gateway.verify()), gateway.verify()
    return gateway.call_of(number)


def stored(gateway: Gateway, recording: Json) -> dict[str, bytes]:
    """What a recording's own tracks hold, by the role that they are named by."""
    legs = judge.legs(judge.plaintexts(gateway.storage, recording))
    return {role: leg[leg >= 0].astype(np.uint8).tobytes() for role, leg in legs.items()}


def aim(voices: list[Voice], ports: list[int]) -> None:
    for voice, port in zip(voices, ports, strict=True):
        voice.target = (HOST, port)


def test_nothing_of_a_pause_is_stored(gateway: Gateway) -> None:
    number, voices = "+15550100201", [Voice(1), Voice(2)]
    with Client(gateway.server, "pause") as client:
        people = metadata([("c", number, "1"), FIRST])
        aim(voices, client.invite(*both(sdp("12"), people)).ports)
        client.speak(1.5, *voices)
        before = [voice.sent for voice in voices]
        answer = client.invite(sdp("12", "inactive"))
        assert answer.body.count("a=inactive") == 2
        client.speak(1.0, *voices)
        paused = [voice.sent[len(first) :] for voice, first in zip(voices, before, strict=True)]
        client.invite(sdp("12"))
        client.speak(1.5, *voices)
        client.request("BYE")
    call = ended(gateway, number)
    kept = stored(gateway, call["recordings"][0])
    for role, first, secret in zip(("external", "agent"), before, paused, strict=True):
        assert first[:-640] in kept[role]
        assert secret[640:800] not in kept[role]
        assert not any(secret[at : at + 40] in kept[role] for at in range(800, len(secret) - 800, 160))
    (redaction,) = call["redactions"]
    assert (redaction["cause"], redaction["actor"], sorted(redaction["legs"])) == (
        "src",
        None,
        ["agent", "external"],
    )
    assert 0.8 < redaction["end"] - redaction["start"] < 2.0


def test_recordpref_off_keeps_nothing(gateway: Gateway) -> None:
    number, voices = "+15550100202", [Voice(3), Voice(4)]
    with Client(gateway.server, "off") as client:
        people = metadata([("c", number, "1"), FIRST])
        aim(voices, client.invite(*both(sdp("12", session="a=recordpref:off\r\n"), people)).ports)
        client.speak(1.0, *voices)
        client.request("BYE")
    call = ended(gateway, number)
    assert (call["state"], call["recordings"]) == ("not_recorded", [])
    assert "the client asked by recordpref for off" in call["notes"]


def test_a_transfer_in_the_dialog_opens_a_segment(gateway: Gateway) -> None:
    number, voices = "+15550100203", [Voice(5), Voice(6)]
    caller = ("c", number, "1")
    with Client(gateway.server, "transfer") as client:
        aim(voices, client.invite(*both(sdp("12"), metadata([caller, FIRST]))).ports)
        client.speak(1.5, *voices)
        client.request("UPDATE", metadata([caller, SECOND]), "application/rs-metadata+xml")
        client.speak(1.5, *voices)
        client.request("BYE")
    call = ended(gateway, number)
    transferred(gateway, call, voices)


def transferred(gateway: Gateway, call: Json, voices: list[Voice]) -> None:
    """Two recordings of their own with all the audio, each agent in one of them."""
    assert call["state"] == "recorded"
    took_part = {p["number"]: p["segments"] for p in call["participants"]}
    assert sorted(took_part.values()) == [[1], [1, 2], [2]]
    assert (took_part["1001"], took_part["1002"]) == ([1], [2])
    first, second = call["recordings"]
    assert (first["segment"], second["segment"]) == (1, 2)
    assert 1.0 < second["start"] < 4.0
    kept = [stored(gateway, recording) for recording in (first, second)]
    for role, voice in zip(("external", "agent"), voices, strict=True):
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
    seconds = path.stat().st_size / 32_000
    assert 1.0 < seconds < 2.5
    assert "segment 2 from" in gateway.run("show", call["id"]).out


def test_a_group_goes_on_in_another_session(gateway: Gateway) -> None:
    number, voices = "+15550100204", [Voice(7), Voice(8)]
    caller = ("c", number, "1")
    for place, agent in enumerate((FIRST, SECOND)):
        with Client(gateway.server, f"group{place}") as client:
            aim(voices, client.invite(*both(sdp("12"), metadata([caller, agent], "g-1"))).ports)
            client.speak(1.5, *voices)
            client.request("BYE")
    call = ended(gateway, number)
    transferred(gateway, call, voices)


def test_a_group_that_goes_on_too_late_is_linked(gateway: Gateway) -> None:
    calls = []
    for place in range(2):
        number, voices = f"+1555010030{place}", [Voice(9), Voice(10)]
        with Client(gateway.server, f"late{place}") as client:
            people = metadata([("c", number, "1"), FIRST], "g-2")
            aim(voices, client.invite(*both(sdp("12"), people)).ports)
            client.speak(0.5, *voices)
            client.request("BYE")
        calls.append(ended(gateway, number))
    assert [call["follows"] for call in calls] == [None, calls[0]["id"]]


def test_roles_that_are_known_late_are_right_in_the_end(gateway: Gateway) -> None:
    number, voices = "+15550100205", [Voice(11), Voice(12)]
    with Client(gateway.server, "late roles") as client:
        aim(voices, client.invite(sdp("12")).ports)
        client.speak(1.0, *voices)
        people = metadata([("a", "1001", "1"), ("c", number, "2")])
        client.request("UPDATE", people, "application/rs-metadata+xml")
        client.speak(1.0, *voices)
        client.request("BYE")
    call = ended(gateway, number)
    assert call["direction"] == "outbound"
    assert [(leg["role"], leg["packets"]) for leg in call["legs"]] == [("external", 100), ("agent", 100)]
    for role, voice in (("agent", voices[0]), ("external", voices[1])):
        exported = gateway.export(call["id"], role)
        decoded = judge.decode(voice.sent, "PCMA")
        start = next(
            at for at in range(exported.shape[0]) if np.array_equal(exported[at : at + 400, 0], decoded[:400])
        )
        assert np.array_equal(exported[start : start + len(decoded), 0], decoded)


@pytest.mark.parametrize("order", [("near", "far"), ("far", "near")])
def test_a_pair_of_sessions_is_one_call(gateway: Gateway, order: tuple[str, str]) -> None:
    number = f"+1555010040{order[0] == 'near':d}"
    voices = {"near": Voice(13), "far": Voice(14)}
    clients = {}
    for side in order:
        reference = f"x-refci={number[1:]};x-nearenddevice=SEP1;x-nearendaddr=1001;x-farendaddr={number}"
        client = clients[side] = Client(
            gateway.server, side + number[1:], f"<sip:1001@{HOST};x-{side}end;{reference}>"
        )
        answer = client.invite(ack=sdp(["x"]).replace(b"a=label:x\r\n", b""))
        assert answer.body.count("m=audio") == 1
        aim([voices[side]], answer.ports)
    clients["near"].speak(1.5, *voices.values())
    clients[order[0]].request("BYE")
    clients[order[1]].speak(0.5, voices[order[1]])
    clients[order[1]].request("BYE")
    for client in clients.values():
        client.__exit__(None, None, None)
    call = ended(gateway, number)
    assert call["state"] == "recorded"
    assert {(p["role"], p["number"]) for p in call["participants"]} == {
        ("external", number),
        ("agent", "1001"),
    }
    (recording,) = call["recordings"]
    kept = stored(gateway, recording)
    assert kept == {"agent": voices["near"].sent, "external": voices["far"].sent}


def test_a_stream_that_is_added_and_one_that_is_dropped(gateway: Gateway) -> None:
    number, voices = "+15550100206", [Voice(15), Voice(16)]
    with Client(gateway.server, "added") as client:
        people = metadata([("c", number, "1"), FIRST])
        aim(voices[:1], client.invite(*both(sdp("1"), people)).ports)
        client.speak(1.0, voices[0])
        aim(voices, client.invite(sdp("12")).ports)
        client.speak(1.0, *voices)
        dropped = sdp("12").replace(b"m=audio 4000", b"m=audio 0")
        assert client.invite(dropped).ports[0] == 0
        client.speak(0.5, voices[1])
        client.request("BYE")
    call = ended(gateway, number)
    kept = stored(gateway, call["recordings"][0])
    assert kept == {"external": voices[0].sent, "agent": voices[1].sent}
