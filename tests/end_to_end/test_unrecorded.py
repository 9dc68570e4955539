"""Calls that must not be recorded, through a real gateway: lists, headers, recordpref, transfers away and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.end_to_end import judge
from tests.end_to_end.client import Client, Voice, both, metadata, sdp
from tests.end_to_end.gateway import Gateway, Json
from tests.ports import HOST

AGENT, NEVER, OTHER = ("a", "1001", "2"), ("n", "1901", "2"), ("o", "1002", "2")
LOOK_BACK = 0.5
SETTINGS: dict[str, dict[str, object]] = {
    "media": {"hold_back_seconds": 1.0},
    "redaction": {"look_back_seconds": LOOK_BACK},
    "optout": {"extensions": [r"19\d\d"]},
}
XML = "application/rs-metadata+xml"
OFF, ON = "X-Recording: off\r\n", "X-Recording: ON\r\n"
Server = tuple[str, int]


@dataclass
class Talk:
    """One call's voices, and how many octets of each had been sent at its turns."""

    number: str
    voices: list[Voice]
    turns: list[int] = field(default_factory=list)

    def speak(self, client: Client, seconds: float) -> None:
        client.speak(seconds, *self.voices)
        self.turns.append(len(self.voices[0].sent))

    def begin(self, client: Client, agent: tuple[str, str, str], offer: bytes, extra: str = "") -> None:
        body, kind = both(offer, metadata([("c", self.number, "1"), agent]))
        for voice, port in zip(self.voices, client.invite(body, kind, extra=extra).ports, strict=True):
            voice.target = (HOST, port)


def from_the_start(
    server: Server, talk: Talk, agent: tuple[str, str, str] = AGENT, session: str = "", extra: str = ""
) -> None:
    with Client(server, talk.number) as client:
        talk.begin(client, agent, sdp("12", session=session), extra)
        talk.speak(client, 2.5)
        client.request("BYE")


def away_and_back(server: Server, talk: Talk) -> None:
    with Client(server, talk.number) as client:
        talk.begin(client, AGENT, sdp("12"))
        talk.speak(client, 2.0)
        for agent in (NEVER, OTHER):
            client.request("UPDATE", metadata([("c", talk.number, "1"), agent]), XML)
            talk.speak(client, 2.0)
        client.request("BYE")


def told_late(server: Server, talk: Talk) -> None:
    """That the agent's extension is never recorded is known only when some of the call is stored."""
    with Client(server, talk.number) as client:
        for voice, port in zip(talk.voices, client.invite(sdp("12")).ports, strict=True):
            voice.target = (HOST, port)
        talk.speak(client, 2.5)
        client.request("UPDATE", metadata([("c", talk.number, "1"), NEVER]), XML)
        talk.speak(client, 1.0)
        client.request("BYE")


def by_info(server: Server, talk: Talk) -> None:
    with Client(server, talk.number) as client:
        talk.begin(client, AGENT, sdp("12"))
        talk.speak(client, 2.5)
        client.request("INFO", extra=OFF)
        talk.speak(client, 1.5)
        client.request("INFO", extra=ON)
        talk.speak(client, 1.5)
        client.request("BYE")


def by_recordpref(server: Server, talk: Talk) -> None:
    with Client(server, talk.number) as client:
        talk.begin(client, AGENT, sdp("12"))
        talk.speak(client, 2.5)
        for preference in ("off", "on"):
            client.invite(sdp("12", session=f"a=recordpref:{preference}\r\n"))
            talk.speak(client, 1.5)
        client.request("BYE")


SCENARIOS: dict[str, Callable[[Server, Talk], None]] = {
    "extension": partial(from_the_start, agent=NEVER),
    "number": from_the_start,
    "header": partial(from_the_start, extra=OFF),
    "recordpref": partial(from_the_start, session="a=recordpref:off\r\n"),
    "no preference": partial(from_the_start, session="a=recordpref:nopreference\r\n"),
    "away and back": away_and_back,
    "told late": told_late,
    "by info": by_info,
    "by recordpref": by_recordpref,
}
NUMBERS = {name: f"+15558880{place:03}" for place, name in enumerate(SCENARIOS)}
REASONS = {
    "extension": "the extension is never recorded",
    "number": "the number is on the never-record list: distress",
    "header": "the recording client asked by a SIP header that nothing be recorded",
    "recordpref": "the recording client asked by recordpref that nothing be recorded",
}


@dataclass(frozen=True, slots=True)
class Evening:
    gateway: Gateway  # idle, and still running
    talks: dict[str, Talk]
    listed: dict[str, Json]

    def stored(self, recording: Json) -> dict[str, bytes]:
        legs = judge.legs(judge.plaintexts(self.gateway.storage, recording))
        return {role: bytes(octet for octet in leg.tolist() if octet >= 0) for role, leg in legs.items()}

    def folder(self, call: Json) -> list[Path]:
        (folder,) = self.gateway.storage.glob(f"audio/*/*/*/{call['id']}")
        return list(folder.iterdir())


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    talks = {
        name: Talk(number, [Voice(2 * place), Voice(2 * place + 1)])
        for place, (name, number) in enumerate(NUMBERS.items(), 700)
    }
    with Gateway(tmp_path_factory.mktemp("unrecorded"), SETTINGS) as gateway:
        added = gateway.run(
            "never-record", "add", NUMBERS["number"].replace("+", "00"), "--reason", "distress"
        )
        assert added.code == 0, added.err
        with ThreadPoolExecutor(len(SCENARIOS)) as threads:
            runs = [threads.submit(SCENARIOS[name], gateway.server, talk) for name, talk in talks.items()]
            for run in runs:
                run.result()
        gateway.wait_idle()
        by_number = {party["number"]: call for call in gateway.calls() for party in call["participants"]}
        yield Evening(gateway, talks, {name: by_number[number] for name, number in NUMBERS.items()})


@pytest.mark.parametrize("name", REASONS)
def test_from_the_start_nothing_is_stored_and_the_reason_told(evening: Evening, name: str) -> None:
    call = evening.listed[name]
    assert (call["state"], call["reason"]) == ("not_recorded", REASONS[name])
    assert call["recordings"] == []
    assert [path.name for path in evening.folder(call)] == ["call.json"]
    assert [leg["packets"] for leg in call["legs"]] == [125, 125]


def test_no_key_is_left_of_what_was_not_recorded(evening: Evening) -> None:
    named = {recording["id"] for call in evening.listed.values() for recording in call["recordings"]}
    assert {path.stem for path in evening.gateway.storage.glob("wrapped/*/*.json")} == named


def test_no_preference_changes_nothing(evening: Evening) -> None:
    call, talk = evening.listed["no preference"], evening.talks["no preference"]
    assert call["state"] == "recorded"
    assert evening.stored(call["recordings"][0])["external"] == talk.voices[0].sent


def test_a_transfer_to_an_unrecorded_extension_ends_the_recording_there(evening: Evening) -> None:
    call, talk = evening.listed["away and back"], evening.talks["away and back"]
    assert call["state"] == "partial"
    assert "the extension is never recorded" in call["reason"]
    first, last = call["recordings"]
    assert (first["segment"], last["segment"]) == (1, 3)
    for role, voice in zip(("external", "agent"), talk.voices, strict=True):
        before, after = (evening.stored(recording)[role] for recording in (first, last))
        away, back = talk.turns[:2]
        assert voice.sent.startswith(before)
        assert away - 2400 <= len(before) <= away + 400
        assert voice.sent.endswith(after)
        assert len(voice.sent) - back - 4000 <= len(after) <= len(voice.sent) - back + 400


def test_what_was_stored_before_it_was_known_is_cut_after_the_end(evening: Evening) -> None:
    call, talk = evening.listed["told late"], evening.talks["told late"]
    assert call["state"] == "partial"
    assert all(cut["done"] for cut in call["cuts"])
    assert call["rewrites"]
    (recording,) = call["recordings"]
    assert not any(evening.stored(recording).values())
    assert not any(talk.voices[0].sent[:400] in path.read_bytes() for path in evening.folder(call))


@pytest.mark.parametrize(("name", "by"), [("by info", "a SIP header"), ("by recordpref", "recordpref")])
def test_a_client_may_ask_during_a_call_and_take_it_back(evening: Evening, name: str, by: str) -> None:
    call, talk = evening.listed[name], evening.talks[name]
    assert call["state"] == "partial"
    assert f"the recording client asked by {by} that nothing be recorded" in call["reason"]
    kept = evening.stored(call["recordings"][0])
    for role, voice in zip(("external", "agent"), talk.voices, strict=True):
        off, on = talk.turns[:2]
        before = kept[role][: judge.SECOND]
        assert voice.sent.startswith(before)
        gone = voice.sent[off - round(LOOK_BACK * judge.SECOND) + 800 : on]
        assert not any(gone[at : at + 40] in kept[role] for at in range(0, len(gone) - 40, 160))
        assert voice.sent[-8000:] in kept[role]


def test_all_is_counted_and_verified(evening: Evening) -> None:
    gateway = evening.gateway
    for ground in ("extension", "number", "header", "recordpref"):
        assert gateway.metric("hushtap_unrecorded_calls_total", ground=ground) >= 1
    assert gateway.metric("hushtap_calls_total", state="not_recorded") == len(REASONS)
    assert gateway.metric("hushtap_cuts_total", outcome="done") == 1
    assert all(verdict["ok"] for verdict in gateway.verify())
    assert all(number[1:] not in gateway.log.read_text() for number in NUMBERS.values())


def test_a_number_taken_off_the_list_is_recorded_at_once(evening: Evening) -> None:
    gateway = evening.gateway
    assert gateway.run("never-record", "remove", NUMBERS["number"]).code == 0
    talk = Talk(NUMBERS["number"], [Voice(901), Voice(902)])
    before = len(gateway.calls())
    from_the_start(gateway.server, talk)
    gateway.wait_idle()
    assert gateway.calls()[before:][0]["state"] == "recorded"
