"""What is asked of running calls and answered by a real worker, also one that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.io import child, progress
from gateway.io import controls as controls_module
from gateway.io.alarms import Alarms
from gateway.io.channel import Configure, Message
from gateway.io.controls import RunningControls
from gateway.io.metrics import Metrics
from gateway.io.progress import Progress
from gateway.io.receive import media_socket
from gateway.io.room import Room
from gateway.io.running import Running
from gateway.io.running_call import Branch, Line, Live
from gateway.io.settling import Settling
from gateway.io.store import Store
from gateway.io.supervisor import Supervisor
from gateway.recording.call import Call, Opening
from gateway.recording.control import CallStatus, Controls, NoSuchCall
from gateway.recording.engine import EngineSettings
from gateway.recording.messages import (
    Answered,
    Close,
    Finished,
    LateRedaction,
    Open,
    Outcome,
    Pause,
    RecordingNow,
    StopRecording,
)
from gateway.recording.model import CallFacts, Cause, Direction, Participant, Personal, Role
from gateway.redaction.rules import PauseRule, Rules
from gateway.siprec.effects import SessionId
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment
from tests.io.test_supervisor import payload
from tests.patience import PATIENCE_SECONDS
from tests.recording.simulation import KEY, MS, PLAN, SECOND, rtp

RULES = Rules(look_back_ns=SECOND // 2, pause=PauseRule(ceiling_ns=0))
SETTINGS = EngineSettings(8, SECOND, 60 * SECOND, 50 * MS, RULES)
PEOPLE = (
    Participant(Role.EXTERNAL, Personal("+49301234")),
    Participant(Role.AGENT, Personal("201"), extension=Personal("201")),
)


def ignored(*_: object) -> None:
    """What the room for calls would be told."""


class Rig:
    """One call in a real worker, and all of control that says what is asked of it."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[Message] = []
        self.running = Running()
        self.folder = folder
        self.saved: list[CallFacts] = []
        self.late: list[tuple[Live, LateRedaction]] = []
        store = SimpleNamespace(
            folder=lambda opening: folder,
            next_parts=self._next_parts,
            checkpoint=self._checkpoint,
            put=self._put,
        )
        self.metrics = Metrics()
        self.alarms = Alarms(self.running, self.metrics, RULES)
        self.controls = RunningControls(self.running, self._tell, RULES, self.alarms)
        self.progress = Progress(
            cast(Store, store),
            self.metrics,
            cast(Room, SimpleNamespace(ready=ignored, lost=ignored, ticked=ignored)),
            self.running,
            cast(Settling, SimpleNamespace(if_done=lambda live, worker_lost=False: None)),
            self.controls,
            self.alarms,
            lambda live: None,
            lambda live, late: self.late.append((live, late)),
            SETTINGS.hold_back_ns,
        )
        self.worker = Supervisor(
            Configure(SETTINGS, str(folder)),
            self._hear,
            lambda: self.progress.worker_lost(0),
            lambda: self.progress.resume(0),
        )
        opening = Opening(
            PLAN.call_id,
            PLAN.segment_id,
            PLAN.recording_id,
            time.monotonic_ns(),
            time.time_ns(),
            Direction.INBOUND,
            PEOPLE,
            PLAN.legs,
        )
        parties = Parties(Assignment(Direction.INBOUND, PEOPLE, {0: Role.EXTERNAL, 1: Role.AGENT}), [*Role])
        sockets = [media_socket("127.0.0.1", 0) for _ in PLAN.legs]
        self.live = Live(Call(opening), parties, {PLAN.recording_id: KEY.hex()}, sockets)
        self._sequence = 0

    async def start(self) -> None:
        await self.worker.start()
        self.running.add(self.live)
        self._tell(self.live.call.plan(KEY.hex(), str(self.folder)), self.live.handles())
        await self.until(lambda: self.state is RecordingNow.RECORDING)

    @property
    def status(self) -> CallStatus:
        return self.controls.status(PLAN.call_id)

    @property
    def state(self) -> RecordingNow:
        return self.status.state

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not true():
                await asyncio.sleep(0.01)

    async def speak(self, seconds: float) -> None:
        """Send numbered 20 ms packets to the first leg at their pace."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(int(seconds * 50)):
                number = self._sequence
                port = self.live.sockets[0].getsockname()
                sender.sendto(rtp(number, number * 160, number.to_bytes(2) * 80), port)
                self._sequence += 1
                due += 0.02
                await asyncio.sleep(due - loop.time())

    def kill(self) -> None:
        assert self.worker.pid is not None
        os.kill(self.worker.pid, signal.SIGKILL)

    async def finish(self) -> None:
        self._tell(Close(PLAN.call_id, time.monotonic_ns()), ())
        await self.until(lambda: any(isinstance(message, Finished) for message in self.heard))

    async def stop(self) -> None:
        await self.worker.stop()
        for opened in self.live.sockets:
            opened.close()

    def _tell(self, command: object, sockets: object) -> None:
        self.worker.send(command, sockets)  # type: ignore[arg-type]

    def _hear(self, message: Message) -> None:
        self.heard.append(message)
        self.progress.heard(0, message)

    async def _checkpoint(self, reports: object, at_ns: int) -> None:
        pass

    async def _put(self, facts: CallFacts) -> None:
        self.saved.append(facts)

    def _next_parts(self, call: Call) -> dict[str, int]:
        return {PLAN.recording_id: 1 + len(list(self.folder.glob("*.sealed")))}


def run(folder: Path, scenario: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def whole() -> Rig:
        rig = Rig(folder)
        await rig.start()
        try:
            await scenario(rig)
        finally:
            await rig.stop()
        return rig

    return asyncio.run(whole())


def test_a_pause_is_answered_when_it_is_true_and_its_audio_is_never_stored(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        controls: Controls = rig.controls
        await rig.speak(2.0)
        paused = await controls.pause(PLAN.call_id, "t1", "card")
        assert (paused.outcome, paused.why) == (Outcome.APPLIED, "")
        assert paused.status.state is RecordingNow.PAUSED
        assert (paused.status.cause, paused.status.actor) == (Cause.AGENT, "t1")
        assert (await rig.controls.pause(PLAN.call_id, "t2")).outcome is Outcome.UNCHANGED
        await rig.speak(1.0)
        resumed = await rig.controls.resume(PLAN.call_id, "t2")
        assert (resumed.outcome, resumed.status.state) == (Outcome.APPLIED, RecordingNow.RECORDING)
        await rig.speak(1.0)
        await rig.finish()

    rig = run(tmp_path, scenario)
    (redaction,) = rig.live.call.facts().redactions
    assert (redaction.cause, redaction.actor, redaction.reason) == ("agent", "t1", "card")
    assert (redaction.end_cause, redaction.end_actor) == ("agent", "t2")
    times, packets = payload(tmp_path, 1, torn=False)
    numbers = [int.from_bytes(packet[:2]) for packet in packets]
    missing = sorted(set(range(200)) - set(numbers))
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert (
        75 <= len(missing) <= 88
    )  # half a second before, one second, a tenth after, and packets at the edges
    assert all(not redaction.start <= time < redaction.end for time in times)


def test_calls_are_found_by_the_extensions_of_who_is_on_them(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        assert [call.call_id for call in rig.controls.running(["201", "202"])] == [PLAN.call_id]
        assert [call.extensions for call in rig.controls.running(None)] == [("201",)]
        assert rig.controls.running(["202"]) == []
        with pytest.raises(NoSuchCall):
            await rig.controls.pause("another", "t1")

    run(tmp_path, scenario)


def test_a_change_wakes_who_waits_for_one(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        changes = rig.controls.changes()
        await rig.controls.pause(PLAN.call_id, "t1")
        async with asyncio.timeout(PATIENCE_SECONDS):
            await anext(changes)

    run(tmp_path, scenario)


def test_what_is_asked_while_no_worker_answers_is_done_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls_module, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(child, "RESTART_SECONDS", 1.0)

    async def scenario(rig: Rig) -> None:
        await rig.speak(1.0)
        rig.kill()
        result = await rig.controls.pause(PLAN.call_id, "t1")
        assert (result.outcome, result.status.state) == (Outcome.UNCONFIRMED, RecordingNow.UNKNOWN)
        await rig.until(lambda: rig.state is RecordingNow.PAUSED)
        assert not rig.live.asked

    run(tmp_path, scenario)


def test_while_a_worker_hangs_nobody_says_how_a_call_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(controls_module, "ANSWER_SECONDS", 0.2)

    async def scenario(rig: Rig) -> None:
        assert rig.worker.pid is not None
        os.kill(rig.worker.pid, signal.SIGSTOP)
        result = await rig.controls.pause(PLAN.call_id, "t1")
        assert result.outcome is Outcome.UNCONFIRMED
        assert [call.state for call in rig.controls.running(None)] == [RecordingNow.UNKNOWN]
        os.kill(rig.worker.pid, signal.SIGCONT)
        await rig.until(lambda: rig.state is RecordingNow.PAUSED)
        monkeypatch.setattr(controls_module, "SILENT_SECONDS", 0.0)
        assert rig.state is RecordingNow.UNKNOWN

    run(tmp_path, scenario)


def test_the_next_worker_keeps_nothing_of_a_pause_that_had_just_ended(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.speak(1.5)
        await rig.controls.pause(PLAN.call_id, "t1")
        await rig.controls.resume(PLAN.call_id, "t2")
        (redaction,) = rig.live.call.facts().redactions
        rig.progress.worker_lost(0)
        ((plan, _),) = rig.progress.resume(0)
        assert isinstance(plan, Open)
        assert (plan.redactions, plan.ended) == ((), (redaction,))
        since = (time.monotonic_ns() - plan.started_ns) * 8 // MS
        assert 0 < plan.reached <= since - SETTINGS.hold_back_ns * 8 // MS

    run(tmp_path, scenario)


def test_after_a_death_the_state_shown_is_the_state_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "RESTART_SECONDS", 0.0)

    async def scenario(rig: Rig) -> None:
        session = SessionId(1)
        rig.live.branches[session] = Branch(session, [Line(0, 0, "1"), Line(1, 1, "2")], "127.0.0.1")
        rig.live.pauses[1] = time.monotonic_ns()
        rig._tell(Pause(PLAN.call_id, (Role.AGENT,), rig.live.pauses[1]), ())
        await rig.speak(1.5)
        paused = await rig.controls.pause(PLAN.call_id, "t1")
        await rig.controls.mark(PLAN.call_id, "t1", "told_caller")
        await rig.speak(0.5)
        rig.kill()
        await rig.until(lambda: rig.state is RecordingNow.UNKNOWN)
        await rig.until(lambda: rig.state is not RecordingNow.UNKNOWN)
        assert rig.status.state is RecordingNow.PAUSED
        assert rig.status.since_ns == paused.status.since_ns
        assert {each.cause for each in rig.status.open} == {Cause.AGENT, Cause.SRC}
        await rig.speak(0.5)
        await rig.controls.resume(PLAN.call_id, "t1")
        await rig.speak(1.5)
        await rig.finish()

    rig = run(tmp_path, scenario)
    facts = rig.live.call.facts()
    agents = [redaction for redaction in facts.redactions if redaction.cause == "agent"]
    assert [(each.actor, each.end_actor) for each in agents] == [("t1", "t1")]
    assert [marker.kind for marker in facts.markers] == ["told_caller"]
    times, _ = payload(tmp_path, 2, torn=False)
    assert times
    assert all(not agents[0].start <= time < agents[0].end for time in times)


def test_who_paused_a_call_is_saved_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "CHECKPOINT_SECONDS", 0.05)

    async def scenario(rig: Rig) -> None:
        checkpoints = asyncio.create_task(rig.progress.checkpoint_forever())
        await rig.controls.pause(PLAN.call_id, "t1")
        await rig.until(lambda: rig.saved)
        count = len(rig.saved)
        await rig.controls.resume(PLAN.call_id, "t2")
        await rig.until(lambda: len(rig.saved) > count)
        checkpoints.cancel()

    rig = run(tmp_path, scenario)
    actors = [[(each.actor, each.end_actor) for each in facts.redactions] for facts in rig.saved]
    assert actors == [[("t1", None)], [("t1", "t2")]]


def test_a_key_that_took_too_long_to_be_told_of_is_late(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.speak(3.0)
        result = await rig.controls.pause(PLAN.call_id, "t1", ago_ns=2 * SECOND)
        assert (result.outcome, result.status.state) == (Outcome.LATE, RecordingNow.PAUSED)
        ((live, late),) = rig.late
        assert live is rig.live
        assert late.legs == (Role.EXTERNAL,)
        since = (result.status.since_ns - result.status.started_ns) * 8 // MS
        assert abs(late.start - (since - 4000)) <= 1
        assert 0 < late.end - late.start <= 2.5 * 8000
        await rig.finish()

    rig = run(tmp_path, scenario)
    assert rig.metrics.registry.get_sample_value("hushtap_redactions_late_total") == 1


def test_nothing_more_is_written_of_a_call_that_is_discarded(tmp_path: Path) -> None:
    async def scenario(rig: Rig) -> None:
        await rig.speak(2.5)
        stop = StopRecording(PLAN.call_id, time.monotonic_ns(), Cause.OPT_OUT, "t1", discard=True)
        answered = await rig.controls.order(rig.live, stop)
        assert isinstance(answered, Answered)
        assert answered.outcome is Outcome.APPLIED
        assert rig.state is RecordingNow.OFF
        assert rig.live.call.stopped is not None
        assert rig.live.call.stopped.discard
        await rig.until(lambda: rig.live.call.segment.parts)  # its file is closed
        (path,) = tmp_path.glob("*.sealed")
        size = path.stat().st_size
        await rig.speak(1.5)
        assert (await rig.controls.resume(PLAN.call_id, "t1")).outcome is Outcome.REFUSED
        rig.kill()
        await rig.until(lambda: rig.state is RecordingNow.UNKNOWN)
        await rig.until(lambda: rig.state is RecordingNow.OFF)
        await rig.speak(2.0)
        await rig.finish()
        assert path.stat().st_size == size
        assert len(list(tmp_path.glob("*.sealed"))) == 1

    run(tmp_path, scenario)
