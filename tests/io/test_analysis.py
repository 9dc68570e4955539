"""The analyst: a real child process over sealed parts, and what happens when it cannot do its work."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.codecs.registry import by_name
from gateway.demo import speech as dialogues
from gateway.io import analysis
from gateway.io.analysis import Analysis
from gateway.io.jobs import Notice, Notices, SealedPart
from gateway.io.metrics import Metrics
from gateway.io.store import Store
from gateway.recording.model import (
    MIDWAY,
    UNITS_PER_SECOND,
    AnnouncementState,
    CallFacts,
    Cause,
    Direction,
    Discard,
    Redaction,
    Role,
)
from gateway.storage.container import Block, Track, cluster, header
from gateway.storage.sealing import Sealer
from gateway.storage.vault import measure_part
from gateway.storage.verify import verify
from tests.patience import PATIENCE_SECONDS
from tests.storage.recorder import Recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder.at(tmp_path)


def spoken(
    recorder: Recorder, n: int, *, torn: bool = False, begin: int = 0, seconds: int = 8
) -> tuple[CallFacts, dict[str, str]]:
    """A settled call with a dialogue in it, and its data keys."""
    call, key = recorder.begin(n)
    recording = call.recordings[0]
    codec = by_name("PCMA", 8000)
    tracks = [
        Track(at, role, codec.matroska_id, codec.private, 8000, 1, role.value, at == 1, codec.bits)
        for at, role in enumerate(Role, 1)
    ]
    audio = {at: dialogues.load("inbound", role.value, "PCMA") for at, role in enumerate(Role, 1)}
    plain = header(recording.id, call.id, recording.segment_id, 1, tracks, call.started_ns)
    for start in range(begin * UNITS_PER_SECOND, seconds * UNITS_PER_SECOND, 800):
        plain += cluster([Block(at, start, payload[start : start + 800]) for at, payload in audio.items()])
    sealer = Sealer(key, recording.id.encode(), os.urandom(32), os.urandom(7))
    data = sealer.write(plain) + (b"" if torn else sealer.finish())
    path = recorder.part_path(call)
    path.write_bytes(data)
    done = recorder.finish(replace(call, redactions=()), measure_part(path, 1, torn=torn))
    settled = replace(done, speech=())
    recorder.index.put(recorder.vault.write_call(settled, recorder.keys))
    return settled, {recording.id: key.hex()}


@asynccontextmanager
async def running(
    recorder: Recorder, wanted: bool = True, notices: Notices | None = None
) -> AsyncIterator[tuple[Analysis, Metrics]]:
    metrics = Metrics()
    store = Store(recorder.vault, recorder.index, recorder.keys)
    analyses = Analysis(store, metrics, wanted, notices)
    try:
        yield analyses, metrics
    finally:
        await analyses.stop(0)
        await store.close()


def announced(metrics: Metrics) -> dict[str, float]:
    """How many calls had each outcome, where any had."""
    outcomes = ("announced", "unannounced", "cut_off", "not_measured")
    name = "hushtap_announced_calls_total"
    counts = {each: metrics.registry.get_sample_value(name, {"outcome": each}) for each in outcomes}
    return {outcome: found for outcome, found in counts.items() if found}


def notices(seconds: float = 8.0, *, others: int = 0) -> Notices:
    """What the agent says first in the dialogue, as a notice; and others that nobody says."""
    said = dialogues.samples("inbound", "agent")[: int(seconds * UNITS_PER_SECOND)]
    samples = [said, *(dialogues.samples("rough", "agent") for _ in range(others))]
    return Notices(
        tuple(
            Notice(f"notice-{at}", base64.b64encode(each.tobytes()).decode())
            for at, each in enumerate(samples)
        ),
        share_percent=80,
        within_units=10 * UNITS_PER_SECOND,
        directions=(Direction.INBOUND,),
    )


def count(metrics: Metrics, outcome: str) -> float:
    return metrics.registry.get_sample_value("hushtap_speech_analyses_total", {"outcome": outcome}) or 0.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():
            await asyncio.sleep(0.01)


async def measured(
    recorder: Recorder,
    *calls: tuple[CallFacts, dict[str, str]],
    notices: Notices | None = None,
    speech: bool = True,
) -> Metrics:
    async with running(recorder, speech, notices) as (analyses, metrics):
        for facts, keys in calls:
            analyses.submit(facts, keys)
        await analyses.stop(PATIENCE_SECONDS)
    return metrics


def test_figures_are_kept_with_the_call_and_everything_verifies(recorder: Recorder) -> None:
    whole, torn = spoken(recorder, 1), spoken(recorder, 2, torn=True)
    metrics = asyncio.run(measured(recorder, whole, torn))
    assert count(metrics, "measured") == 2
    for (facts, _), length in ((whole, 8000), (torn, 7900)):  # the last segment was never written
        record = recorder.index.get(facts.id)
        folder = recorder.vault.call_folder(facts.id, facts.started_ns)
        assert record == recorder.vault.read_call(folder, recorder.keys.node.public)
        assert replace(record.facts, speech=(), participants=facts.participants) == facts
        external, agent = record.facts.speech
        assert (external.role, agent.role) == (Role.EXTERNAL, Role.AGENT)
        assert external.talk_ms + external.silence_ms == agent.talk_ms + agent.silence_ms == length
        assert 1000 < external.talk_ms < 7000
        assert 1000 < agent.talk_ms < 7000
    node = recorder.keys.node.public
    assert all(verdict.ok for verdict in verify(recorder.vault, recorder.index, recorder.private, node))


def test_a_call_that_cannot_be_read_stays_without_figures(recorder: Recorder) -> None:
    forged, keys = spoken(recorder, 1)
    path = recorder.part_path(forged)
    path.write_bytes(path.read_bytes()[:5000] + bytes(100) + path.read_bytes()[5100:])
    metrics = asyncio.run(measured(recorder, (forged, keys), spoken(recorder, 2)))
    assert (count(metrics, "failed"), count(metrics, "measured")) == (1, 1)
    assert recorder.index.get(forged.id).facts.speech == ()


def test_a_refused_call_is_no_work(recorder: Recorder) -> None:
    async def submit() -> None:
        async with running(recorder) as (analyses, _):
            analyses.submit(replace(recorder.facts(1), recordings=()), {})
            assert analyses.waiting == 0

    asyncio.run(submit())


def test_nothing_is_measured_where_it_is_not_wanted(recorder: Recorder) -> None:
    async def submit() -> None:
        async with running(recorder, wanted=False) as (analyses, _):
            analyses.submit(*spoken(recorder, 1))
            assert analyses.waiting == 0

    asyncio.run(submit())


def test_too_many_are_passed_over_and_counted(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MAX_WAITING", 2)
    call, keys = spoken(recorder, 1)

    async def flood() -> Metrics:
        async with running(recorder) as (analyses, metrics):
            for _ in range(5):
                analyses.submit(call, keys)
            assert count(metrics, "overload") == 3
        return metrics

    metrics = asyncio.run(flood())
    assert count(metrics, "stopped") == 2


def test_a_dead_analyst_is_replaced(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "RESTART_SECONDS", 0.0)
    first, second, third = (spoken(recorder, n) for n in (1, 2, 3))

    async def murder() -> None:
        async with running(recorder) as (analyses, metrics):
            analyses.submit(*first)
            await until(lambda: count(metrics, "measured") == 1)
            assert analyses.pid is not None
            os.kill(analyses.pid, signal.SIGKILL)
            analyses.submit(*second)
            await until(lambda: count(metrics, "failed") == 1)
            analyses.submit(*third)
            await until(lambda: count(metrics, "measured") == 2)

    asyncio.run(murder())
    assert [bool(recorder.index.get(call.id).facts.speech) for call, _ in (first, second, third)] == [
        *(True, False, True)
    ]


def test_an_analyst_that_hangs_is_ended(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "RESTART_SECONDS", 0.0)
    first, second = spoken(recorder, 1), spoken(recorder, 2)

    async def hang() -> None:
        async with running(recorder) as (analyses, metrics):
            analyses.submit(*first)
            await until(lambda: count(metrics, "measured") == 1)
            pid = analyses.pid
            assert pid is not None
            os.kill(pid, signal.SIGSTOP)
            monkeypatch.setattr(analysis, "LEAST_SECONDS", 0.1)
            analyses.submit(*second)
            await until(lambda: count(metrics, "failed") == 1)
            with suppress(ChildProcessError):
                assert not Path(f"/proc/{pid}").exists()

    asyncio.run(hang())


def test_the_analyst_yields_and_keeps_its_memory_to_itself(recorder: Recorder) -> None:
    call, keys = spoken(recorder, 1)

    async def look() -> None:
        async with running(recorder) as (analyses, metrics):
            analyses.submit(call, keys)
            await until(lambda: count(metrics, "measured") == 1)
            pid = analyses.pid
            assert pid is not None
            assert os.getpriority(os.PRIO_PROCESS, pid) == 19
            place = Path(f"/proc/{pid}")
            key = next(iter(keys.values()))
            assert key.encode() not in (place / "cmdline").read_bytes()
            assert "Max core file size        0 " in (place / "limits").read_text()

    asyncio.run(look())


def test_a_data_key_is_not_in_a_job_s_text() -> None:
    part = SealedPart("part", "id", "5ec2e7", torn=False)
    assert "5ec2e7" not in repr(part)


@pytest.mark.parametrize("speech", [True, False])
def test_a_notice_is_told_with_the_call_and_everything_verifies(recorder: Recorder, speech: bool) -> None:
    call = spoken(recorder, 1)
    metrics = asyncio.run(measured(recorder, call, notices=notices(others=1), speech=speech))
    assert announced(metrics) == {"announced": 1}
    record = recorder.index.get(call[0].id)
    folder = recorder.vault.call_folder(call[0].id, call[0].started_ns)
    assert record == recorder.vault.read_call(folder, recorder.keys.node.public)
    assert bool(record.facts.speech) is speech
    told = record.facts.announcement
    assert told
    assert (told.state, told.notice, told.leg) == (AnnouncementState.ANNOUNCED, "notice-0", Role.AGENT)
    assert told.share_percent > 90
    assert told.at == pytest.approx(0, abs=80)
    node = recorder.keys.node.public
    assert all(verdict.ok for verdict in verify(recorder.vault, recorder.index, recorder.private, node))


def test_one_cut_off_and_none_are_told_apart(recorder: Recorder) -> None:
    cut_off, none = spoken(recorder, 1, seconds=4), spoken(recorder, 2)
    metrics = asyncio.run(measured(recorder, cut_off, notices=notices(12)))
    assert announced(metrics) == {"cut_off": 1}
    told = recorder.index.get(cut_off[0].id).facts.announcement
    assert told
    assert told.state is AnnouncementState.UNANNOUNCED
    assert 40 < told.share_percent < 80
    assert told.reason.startswith("heard to ")
    another = replace(notices(others=1), references=notices(others=1).references[1:])
    metrics = asyncio.run(measured(recorder, none, notices=another))
    assert announced(metrics) == {"unannounced": 1}


def test_a_redacted_beginning_is_not_measured(recorder: Recorder) -> None:
    facts, keys = spoken(recorder, 1)
    pause = Redaction(0, 7 * UNITS_PER_SECOND, tuple(Role), Cause.AGENT)
    metrics = asyncio.run(measured(recorder, (replace(facts, redactions=(pause,)), keys), notices=notices()))
    assert announced(metrics) == {"not_measured": 1}
    told = recorder.index.get(facts.id).facts.announcement
    assert told
    assert (told.state, told.reason) == (AnnouncementState.NOT_MEASURED, "audio of the beginning is redacted")


def test_a_beginning_that_was_not_stored_is_not_measured(recorder: Recorder) -> None:
    late = spoken(recorder, 1, begin=3)
    metrics = asyncio.run(measured(recorder, late, notices=notices(3.5)))
    assert announced(metrics) == {"not_measured": 1}
    told = recorder.index.get(late[0].id).facts.announcement
    assert told
    assert told.reason == "audio of the beginning is missing"


@pytest.mark.parametrize("change", [{"notes": (MIDWAY,)}, {"follows": "0"}])
def test_a_call_whose_beginning_is_elsewhere_is_not_measured(
    recorder: Recorder, change: dict[str, Any]
) -> None:
    facts, keys = spoken(recorder, 1)
    none = replace(notices(others=1), references=notices(others=1).references[1:])
    metrics = asyncio.run(measured(recorder, (replace(facts, **change), keys), notices=none))
    assert announced(metrics) == {"not_measured": 1}


def test_what_cannot_be_measured_is_counted(recorder: Recorder) -> None:
    forged, keys = spoken(recorder, 1)
    path = recorder.part_path(forged)
    path.write_bytes(path.read_bytes()[:5000] + bytes(100) + path.read_bytes()[5100:])
    discarded = replace(recorder.facts(2), recordings=(), discard=Discard(1, Cause.OPT_OUT))
    metrics = asyncio.run(measured(recorder, (forged, keys), (discarded, {}), notices=notices()))
    assert announced(metrics) == {"not_measured": 2}
    assert recorder.index.get(forged.id).facts.announcement is None


def test_only_calls_of_the_directions_asked_for_are_searched(recorder: Recorder) -> None:
    facts, keys = spoken(recorder, 1)
    outbound = replace(facts, direction=Direction.OUTBOUND)
    metrics = asyncio.run(measured(recorder, (outbound, keys), notices=notices()))
    assert announced(metrics) == {}
    assert count(metrics, "measured") == 1
    assert recorder.index.get(facts.id).facts.announcement is None
