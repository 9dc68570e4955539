"""Calls that nobody hands over: a tap on the wire between two telephones hears them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end import judge
from tests.end_to_end.gateway import PROGRAM, Json, until
from tests.end_to_end.wire import FAR, NEAR, TappingGateway, Telephones, Wire, talk

SECONDS = 1.0
INFO = "Content-Type: application/dtmf-relay\r\n"
LATER = [("early", "204"), ("held", "205"), ("busy", "206"), ("cancelled", "207"), ("keyless", "208")]
TALKED = ("plain", "outbound", "never recorded", "hidden", "keys")
REASONS = {
    "busy": "the call was refused with 486",
    "cancelled": "the caller hung up before the call was answered",
    "keyless": "the audio is SRTP whose keys the signalling does not tell",
    "never recorded": "the extension is never recorded",
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


@dataclass(frozen=True, slots=True)
class Evening:
    """Calls by what they are like: as they were placed, and as the gateway lists them."""

    gateway: TappingGateway
    calls: dict[str, Telephones]
    listed: dict[str, Json]

    def legs(self, name: str) -> dict[str, judge.Octets]:
        (recording,) = self.listed[name]["recordings"]
        return judge.legs(judge.plaintexts(self.gateway.storage, recording))


@pytest.fixture(scope="module")
def evening(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """Calls of many kinds, in progress at once."""
    settings = {"optout": {"extensions": ["299"]}}
    folder = tmp_path_factory.mktemp("tap")
    with ExitStack() as stack:
        gateway = stack.enter_context(TappingGateway(folder, wire, settings=settings))
        calls = {
            name: stack.enter_context(
                Telephones(wire, f"+155501000{seed:02d}", callee, seed, hidden=name == "hidden")
            )
            for seed, (name, callee) in enumerate(
                [("plain", "201"), ("never recorded", "299"), ("hidden", "202"), ("keys", "203"), *LATER],
                start=1,
            )
        }
        calls["outbound"] = stack.enter_context(Telephones(wire, "210", "+15550100099", 99, inbound=False))
        _place(calls)
        _speak_tls(wire)
        until("all calls are over", lambda: _over(gateway, len(calls)), 30.0)
        gateway.wait_idle()
        listed = {party["number"]: each for each in gateway.calls() for party in each["participants"]}
        yield Evening(gateway, calls, {name: listed[call.numbers[0]] for name, call in calls.items()})
        assert gateway.terminate() == 0


def _place(calls: dict[str, Telephones]) -> None:
    for name in (*TALKED, "held"):
        calls[name].establish()
    calls["keyless"].invite(calls["keyless"].description(0, profile="RTP/SAVP"))
    calls["keyless"].answer(body=calls["keyless"].description(1, profile="RTP/SAVP"))
    calls["keyless"].send(0, "ACK")
    for name, status in (
        ("busy", "486 Busy Here"),
        ("cancelled", "180 Ringing"),
        ("early", "183 Session Progress"),
    ):
        calls[name].invite()
        calls[name].answer(status)
    calls["busy"].send(0, "ACK")
    calls["cancelled"].send(0, "CANCEL")
    calls["cancelled"].answer("487 Request Terminated", "", "INVITE")
    talk(SECONDS, [calls[name] for name in (*TALKED, "early", "held")])
    calls["keys"].send(0, "INFO", "Signal=5\r\nDuration=100\r\n", extra=INFO)
    calls["held"].invite(calls["held"].description(0, "inactive"))
    calls["held"].answer(body=calls["held"].description(1, "inactive"))
    calls["early"].answer()
    calls["early"].send(0, "ACK")
    talk(SECONDS, [calls["early"], calls["held"]])
    for name in (*TALKED, "early", "held", "keyless"):
        calls[name].hang_up()


def _speak_tls(wire: Wire) -> None:
    """The beginning of a TLS connection to the port of SIP over TLS."""
    with wire.at(FAR):
        server = socket.create_server((FAR, 5061))
    with wire.at(NEAR):
        client = socket.socket()
    with server, client:
        client.connect((FAR, 5061))
        client.sendall(b"\x16\x03\x01\x02\x00\x01" + bytes(200))
        server.accept()[0].close()


def _over(gateway: TappingGateway, calls: int) -> bool:
    return gateway.metric("hushtap_calls_total") == calls


def test_every_call_is_listed_and_explained(evening: Evening) -> None:
    for name, call in evening.listed.items():
        expected = ("not_recorded", REASONS[name]) if name in REASONS else ("recorded", "a party hung up")
        assert (call["state"], call["reason"]) == expected, name


@pytest.mark.parametrize("name", ["plain", "outbound", "hidden", "early"])
def test_what_was_said_is_stored_octet_for_octet(evening: Evening, name: str) -> None:
    stored, places = evening.legs(name), []
    roles = ("agent", "external") if name == "outbound" else ("external", "agent")
    for role, voice in zip(roles, evening.calls[name].voices, strict=True):
        places.append(judge.placed(stored[role], judge.octets([(0, voice.sent)])))
        assert judge.length(stored[role]) == len(voice.sent)
    assert abs(places[0] - places[1]) <= 0.02 * judge.SECOND


def test_parties_have_the_roles_that_their_numbers_say(evening: Evening) -> None:
    for name, direction in (("plain", "inbound"), ("outbound", "outbound")):
        call = evening.listed[name]
        assert call["direction"] == direction
        people = {party["role"]: party["number"] for party in call["participants"]}
        numbers = evening.calls[name].numbers
        assert people == dict(
            zip(("external", "agent"), numbers if direction == "inbound" else numbers[::-1], strict=True)
        )


def test_nothing_is_kept_while_a_call_is_on_hold(evening: Evening) -> None:
    stored = evening.legs("held")
    for leg in stored.values():
        assert judge.length(leg) <= SECONDS * judge.SECOND
    assert {each["cause"] for each in evening.listed["held"]["redactions"]} == {"src"}


def test_a_key_that_signalling_tells_of_is_counted(evening: Evening) -> None:
    assert evening.gateway.metric("hushtap_masked_keys_total", way="info") == 1


def test_what_is_stored_is_whole(evening: Evening) -> None:
    verdicts = evening.gateway.verify()
    assert verdicts
    assert all(verdict["ok"] for verdict in verdicts)


def test_the_tap_tells_what_it_saw(evening: Evening) -> None:
    def metric(name: str) -> float:
        return evening.gateway.metric(f"hushtap_tap_{name}", tap="tap")

    sent = sum(len(voice.sent) // 160 for call in evening.calls.values() for voice in call.voices)
    assert metric("packets_total") >= sent
    assert metric("dropped_packets_total") == 0
    assert metric("calls_seen_total") == len(evening.calls)
    assert metric("bytes_total") > 160 * sent
    assert evening.gateway.metric("hushtap_tap_unfollowed_total", kind="sip_tls") == 1


def test_fifty_calls_at_once_lose_nothing(wire: Wire, evening: Evening) -> None:
    gateway = evening.gateway
    before = gateway.metric("hushtap_calls_total")
    with ExitStack() as stack:
        calls = [
            stack.enter_context(Telephones(wire, f"+1555020{number:04d}", "250", 1000 + number))
            for number in range(50)
        ]
        for call in calls:
            call.establish()
        talk(2 * SECONDS, calls)
        for call in calls:
            call.hang_up()
        until("they are over", lambda: gateway.metric("hushtap_calls_total") == before + len(calls), 60.0)
    listed = {each["participants"][0]["number"]: each for each in gateway.calls()}
    for call in calls:
        facts = listed[call.numbers[0]]
        sent = len(call.voices[0].sent) // 160
        assert [(leg["packets"], leg["lost"], leg["late"]) for leg in facts["legs"]] == [(sent, 0, 0)] * 2
    assert gateway.metric("hushtap_tap_dropped_packets_total") == 0


def test_the_doctor_tells_what_is_heard(wire: Wire, evening: Evening) -> None:
    with Telephones(wire, "+15550100200", "220", 200) as call:
        command = wire.program(NEAR, *PROGRAM, "doctor", "--attach", "--seconds", "6", "--json")
        doctor = subprocess.Popen(command, cwd=evening.gateway.folder, stdout=subprocess.PIPE, text=True)
        until("the doctor listens", lambda: _rings(doctor.pid), 20.0)
        call.establish()
        call.talk(SECONDS)
        call.hang_up()
        told = json.loads(doctor.communicate(timeout=60)[0])
    assert {each["level"] for each in told} == {"ok"}, told
    found = {each["check"]: each["found"] for each in told}
    assert found["SIP"] == "3 requests, 3 responses"
    assert found["both directions"] == "2 of 2 audio streams have one the other way"


def _rings(pid: int) -> bool:
    """Whether a process has a packet socket."""
    handles = Path(f"/proc/{pid}/fd")
    packets = Path(f"/proc/{pid}/net/packet").read_text(encoding="ascii").splitlines()[1:]
    inodes = {line.split()[-1] for line in packets if line.split()[4] != "0"}  # bound to an interface
    found = (os.readlink(each) for each in handles.iterdir())
    return any(each.startswith("socket:[") and each[8:-1] in inodes for each in found)


def test_a_media_worker_that_dies_costs_what_it_held_back(wire: Wire, tmp_path: Path) -> None:
    with TappingGateway(tmp_path, wire) as gateway, Telephones(wire, "+15550100300", "230", 300) as call:
        call.establish()
        call.talk(SECONDS)
        os.kill(gateway.worker_pid(), signal.SIGKILL)
        call.talk(2 * SECONDS)
        until("another worker records", lambda: _records(gateway), 20.0)
        call.talk(SECONDS)
        before = [len(voice.sent) for voice in call.voices]
        call.talk(SECONDS)
        call.hang_up()
        gateway.wait_idle()
        (facts,) = gateway.calls()
        assert facts["state"] == "partial"
        assert "the media worker was lost" in facts["reason"]
        (recording,) = facts["recordings"]
        stored = judge.legs(judge.plaintexts(gateway.storage, recording))
        for role, voice, known in zip(("external", "agent"), call.voices, before, strict=True):
            judge.placed(stored[role], judge.octets([(0, voice.sent[known:])]))


def _records(gateway: TappingGateway) -> bool:
    try:
        gateway.worker_pid()
    except ValueError:
        return False
    return gateway.metric("hushtap_worker_restarts_total") == 1
