"""`calls` and `show`: what they print, and to whom."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gateway.recording.model import Announcement, AnnouncementState, Role
from gateway.storage.records import seal_call
from tests.cli.conftest import Hushtap
from tests.storage.recorder import EXTENSION, NAME, NUMBER, Recorder

CALL_KEYS = {
    *("id", "state", "reason", "started", "ended", "direction"),
    *("participants", "legs", "speech", "redactions", "recordings", "notes", "follows"),
    *("markers", "discard", "cuts", "rewrites", "announcement"),
}


def test_calls_come_newest_first(hushtap: Hushtap, recorder: Recorder) -> None:
    calls = [recorder.call(n) for n in (1, 2, 3)]
    assert [row["id"] for row in hushtap("calls", "--json").json] == [call.id for call in reversed(calls)]
    listing = hushtap("calls").out.splitlines()
    assert [line.split()[-1] for line in listing] == ["ID", *(call.id for call in reversed(calls))]
    assert NUMBER in listing[1]


def test_the_shape_of_a_call(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    (row,) = hushtap("calls", "--json").json
    assert set(row) == CALL_KEYS
    path = recorder.part_path(call)
    part = call.recordings[0].parts[0]
    assert row == {
        "id": call.id,
        "state": "recorded",
        "reason": "recorded from its start to its end",
        "started": "2026-11-18T11:06:41.000000Z",
        "ended": "2026-11-18T11:06:45.000000Z",
        "direction": "inbound",
        "participants": [
            {"role": "external", "number": NUMBER, "name": NAME, "extension": None, "segments": [1]},
            {
                "role": "agent",
                "number": "sip:2001@pbx.test",
                "name": None,
                "extension": EXTENSION,
                "segments": [1],
            },
        ],
        "legs": [
            {
                "role": "external",
                "codec": "PCMA",
                "packets": 200,
                "lost": 1,
                "late": 2,
                "duplicated": 3,
                "seconds": 4.0,
            },
            {
                "role": "agent",
                "codec": "PCMA",
                "packets": 200,
                "lost": 0,
                "late": 0,
                "duplicated": 0,
                "seconds": 0.0,
            },
        ],
        "speech": [
            {"role": "external", "talk": 2.5, "silence": 1.5, "overtalk": 0.25},
            {"role": "agent", "talk": 0.75, "silence": 3.25, "overtalk": 0.25},
        ],
        "redactions": [
            {
                "start": 0.1,
                "end": 0.2,
                "legs": ["external", "agent"],
                "cause": "pause",
                "actor": "desk 4",
                "reason": "",
                "end_cause": "",
                "end_actor": None,
            },
        ],
        "recordings": [
            {
                "id": call.recordings[0].id,
                "path": str(path),
                "bytes": path.stat().st_size,
                "state": "complete",
                "segment": 1,
                "start": 0.0,
                "parts": [{"path": str(path), "bytes": part.bytes, "sha256": part.sha256, "torn": False}],
            }
        ],
        "notes": ["a note"],
        "follows": None,
        "markers": [],
        "discard": None,
        "cuts": [],
        "rewrites": [],
        "announcement": None,
    }
    assert hushtap("show", call.id, "--json").json == row


def test_a_running_call(hushtap: Hushtap, recorder: Recorder) -> None:
    call, key = recorder.begin(1)
    recorder.write_part(call, key, torn=True)
    (row,) = hushtap("calls", "--json").json
    assert (row["state"], row["ended"]) == ("recording", None)
    assert row["recordings"][0]["path"] == str(recorder.part_path(call))
    assert row["recordings"][0]["bytes"] == recorder.part_path(call).stat().st_size
    assert "running" in hushtap("calls").out


def test_filters(hushtap: Hushtap, recorder: Recorder) -> None:
    calls = [recorder.call(n) for n in (1, 2, 3)]
    running, _ = recorder.begin(4)

    def ids(*words: str) -> list[str]:
        return [row["id"] for row in hushtap("calls", "--json", *words).json]

    newest = [running.id, *(call.id for call in reversed(calls))]
    assert ids("--limit", "2") == newest[:2]
    assert ids("--state", "recording") == [running.id]
    assert ids("--since", "2026-11-18T11:06:43Z") == newest[:2]
    assert ids("--since", "2026-11-18T12:06:43+01:00") == newest[:2]
    assert ids("--number", NUMBER) == newest
    assert ids("--number", NUMBER[-6:]) == newest
    assert ids("--number", EXTENSION) == newest
    assert ids("--number", "+441632960199") == []


def test_no_calls_is_an_empty_list(hushtap: Hushtap, recorder: Recorder) -> None:
    outcome = hushtap("calls")
    assert (outcome.status, outcome.out) == (0, "")
    assert hushtap("calls", "--json").json == []


@pytest.mark.parametrize(
    ("announcement", "line"),
    [
        (
            Announcement(AnnouncementState.ANNOUNCED, "welcome", Role.AGENT, 26_400, 97),
            "notice     announced; welcome from 0:00:03.3, agent, 97 % of it",
        ),
        (
            Announcement(
                AnnouncementState.NOT_MEASURED, "welcome", Role.AGENT, -8000, 70, "the notice began before"
            ),
            "notice     not measured: the notice began before; welcome from -0:00:01.0, agent, 70 % of it",
        ),
        (
            Announcement(AnnouncementState.UNANNOUNCED, reason="no notice was heard"),
            "notice     unannounced: no notice was heard",
        ),
    ],
)
def test_show_tells_of_the_notice(
    hushtap: Hushtap, recorder: Recorder, announcement: Announcement, line: str
) -> None:
    call = recorder.call(1)
    recorder.index.put(seal_call(replace(call, announcement=announcement), recorder.keys))
    assert line in hushtap("show", call.id).out.splitlines()
    told = hushtap("show", call.id, "--json").json["announcement"]
    assert told["state"] == announcement.state.value
    assert told["at"] == (None if announcement.at is None else announcement.at / 8000)


def test_show_tells_all(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    text = hushtap("show", call.id).out
    for expected in (
        call.id,
        NUMBER,
        NAME,
        EXTENSION,
        "1 lost",
        "external: 0:00:02.5 talk, 0:00:01.5 silence, 0:00:00.2 overtalk",
        "desk 4",
        "a note",
        str(recorder.part_path(call)),
    ):
        assert expected in text


def test_a_call_is_found_by_its_beginning(hushtap: Hushtap, recorder: Recorder) -> None:
    one, two = recorder.call(1), recorder.call(2)
    length = next(n for n in range(37) if one.id[:n] != two.id[:n])
    assert hushtap("show", one.id[:length].upper(), "--json").json["id"] == one.id
    several = hushtap("show", one.id[: length - 1])
    assert (several.status, several.out) == (2, "")
    assert "several" in several.err
    assert hushtap("show", "ffff").status == 2
    assert hushtap("show", "").status == 2


@pytest.mark.parametrize("command", [("calls",), ("calls", "--json"), ("show", "0")])
def test_people_are_shown_with_the_private_key_only(
    hushtap: Hushtap, recorder: Recorder, command: tuple[str, ...]
) -> None:
    recorder.call(1)
    recorder.paths.vault_private.unlink()
    refused = hushtap(*command)
    assert (refused.status, refused.out) == (2, "")
    assert "--no-personal" in refused.err
    shown = hushtap(*command, "--no-personal")
    assert shown.status == 0
    assert "recorded" in shown.out
    for personal in (NUMBER, NAME, EXTENSION):
        assert personal not in shown.out


def test_a_call_of_another_key_is_listed_without_people(hushtap: Hushtap, recorder: Recorder) -> None:
    recorder.call(1)
    stranger = Recorder.at(recorder.vault.directory / "stranger")
    stranger.index.close()
    stranger.paths.vault_private.replace(recorder.paths.vault_private)
    outcome = hushtap("calls", "--json")
    assert outcome.status == 0
    assert json.loads(outcome.out)[0]["participants"] == []
    assert "do not open" in outcome.err


def test_without_an_index_the_way_out_is_named(hushtap: Hushtap) -> None:
    hushtap("keys", "init")
    outcome = hushtap("calls")
    assert outcome.status == 2
    assert "index" in outcome.err
