"""What the media worker is told of calls that must not be recorded, and in which order."""

from __future__ import annotations

from pathlib import Path

from gateway.recording.messages import Command, Open, Split, StartRecording, StopRecording
from gateway.recording.model import Cause
from tests.io.test_calls import Bench, description, metadata, request, run, settled

XML = "application/rs-metadata+xml"
OFF = "X-Recording: off"
NEVER: dict[str, object] = {"extensions": [r"9\d\d\d"]}
DISCARD: dict[str, object] = {"before": "discard"}


def with_header(data: bytes, field: str) -> bytes:
    return data.replace(b"Content-Type:", field.encode() + b"\r\nContent-Type:", 1)


def ordered(bench: Bench) -> list[Command]:
    return [each for each in bench.told if isinstance(each, Open | StopRecording | StartRecording | Split)]


def test_a_call_that_is_not_recorded_is_answered_all_the_same(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(with_header(request("INVITE", 1, 1, description()), OFF))

    bench = run(tmp_path, play)
    opened, stopped = ordered(bench)
    assert isinstance(opened, Open)
    assert isinstance(stopped, StopRecording)
    assert (stopped.at_ns, stopped.cause, stopped.reason) == (opened.started_ns, Cause.NEVER_RECORD, "header")
    assert not stopped.discard
    assert not stopped.reach_back
    assert bench.statuses() == ["200"]


def test_a_transfer_away_stops_and_one_back_starts(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        for sequence, agent in ((2, "4001"), (3, "9001"), (4, "4002")):
            told = metadata([("0", "+4930123456"), ("1", agent)])
            bench.give(request("UPDATE", 1, sequence, told.replace('"p1"', f'"p{agent}"'), "token1", XML))
            await settled()

    _, stopped, away, started, back = ordered(run(tmp_path, play, NEVER))
    assert isinstance(stopped, StopRecording)
    assert isinstance(started, StartRecording)
    assert isinstance(away, Split)
    assert isinstance(back, Split)
    assert (stopped.cause, stopped.reason, stopped.at_ns) == (Cause.NEVER_RECORD, "extension", away.at_ns)
    assert started.at_ns == back.at_ns


def test_who_is_known_late_was_not_to_be_recorded_from_the_beginning(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        told = metadata([("0", "+4930123456"), ("1", "9001")])
        bench.give(request("UPDATE", 1, 2, told, "token1", XML))

    opened, stopped = ordered(run(tmp_path, play, NEVER))
    assert isinstance(opened, Open)
    assert isinstance(stopped, StopRecording)
    assert stopped.at_ns == opened.started_ns


def test_a_wish_during_a_call_reaches_back_and_with_discard_is_final(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        bench.give(with_header(request("INFO", 1, 2, "", "token1"), OFF))
        await settled()
        (facts,) = bench.store.facts.values()
        assert facts.discard  # durable before the worker is told
        assert [each.recording_id for each in facts.discard.recordings] == [
            each.recording_id for each in bench.told if isinstance(each, Open)
        ]

    _, stopped = ordered(run(tmp_path, play, DISCARD))
    assert isinstance(stopped, StopRecording)
    assert (stopped.cause, stopped.discard, stopped.reach_back) == (Cause.OPT_OUT, True, True)


def test_a_wish_while_a_call_is_set_up_is_heard(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        bench.give(with_header(request("INFO", 1, 2, "", "token1"), OFF))

    opened, stopped = ordered(run(tmp_path, play))
    assert isinstance(opened, Open)
    assert isinstance(stopped, StopRecording)
    assert stopped.at_ns == opened.started_ns


def test_less_that_is_known_does_not_end_what_a_list_began(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        for sequence, people in ((2, [("0", "+4930123456"), ("1", "9001")]), (3, [("0", "+4930123456")])):
            bench.give(request("UPDATE", 1, sequence, metadata(people), "token1", XML))
            await settled()

    assert [type(command) for command in ordered(run(tmp_path, play, NEVER))] == [Open, StopRecording]


def test_a_call_out_of_scope_is_answered_and_not_recorded(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))
        await settled()
        told = metadata([("0", "+4930123456"), ("1", "4001")])
        bench.give(request("UPDATE", 1, 2, told, "token1", XML))

    opened, stopped = ordered(run(tmp_path, play, scope={"extensions": [r"5\d\d\d"]}))
    assert isinstance(opened, Open)
    assert isinstance(stopped, StopRecording)
    assert (stopped.at_ns, stopped.reason) == (opened.started_ns, "scope: no extension of it takes part")


def test_a_client_out_of_scope_is_answered_and_not_recorded(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.give(request("INVITE", 1, 1, description()))

    scope: dict[str, object] = {"trunks": ["198.51.100.0/24"]}
    bench = run(tmp_path, play, scope=scope)
    _, stopped = ordered(bench)
    assert isinstance(stopped, StopRecording)
    assert stopped.reason == "scope: the trunk"
    assert bench.statuses() == ["200"]
