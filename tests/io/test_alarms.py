"""Pauses that operations should hear of, in figures and in lines without a person in them."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import cast

import pytest

from gateway.io.alarms import SILENT_NS, Alarms
from gateway.io.metrics import Metrics
from gateway.io.running import Running
from gateway.io.running_call import Live, Requested
from gateway.recording.call import Call, Opening
from gateway.recording.messages import (
    Answered,
    Keyed,
    LateRedaction,
    OpenRedaction,
    Outcome,
    Pause,
    RecordingNow,
    Status,
)
from gateway.recording.model import Cause, Direction, Role
from gateway.redaction.rules import PauseRule, Rules
from gateway.siprec.parties import Parties
from tests.recording.simulation import KEY, PLAN, SECOND

RULES = Rules(pause=PauseRule(forgotten_ns=180 * SECOND))
NOW = 10_000 * SECOND


class Watch:
    """Two running calls, and what is said of them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.running = Running()
        self.alarms = Alarms(self.running, self.metrics, RULES)
        self.calls = [self._call(number) for number in range(2)]
        for live in self.calls:
            self.running.add(live)

    def _call(self, number: int) -> Live:
        opening = Opening(
            f"call{number}", "s", f"r{number}", time.monotonic_ns(), 0, Direction.INBOUND, (), PLAN.legs
        )
        parties = cast(Parties, SimpleNamespace())
        return Live(Call(opening), parties, {f"r{number}": KEY.hex()}, [])

    def said(self, live: Live, *causes: Cause, since_ns: int = NOW) -> None:
        state = RecordingNow.PAUSED if causes else RecordingNow.RECORDING
        standing = tuple(OpenRedaction(cause, (), since_ns, "t1") for cause in causes)
        status = Status(live.call.id, state, since_ns, standing)
        self.alarms.said(live, status)
        live.status = status

    def figure(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"hushtap_{name}", labels)
        assert found is not None
        return found


def test_pauses_count_by_cause_and_calls_once() -> None:
    watch = Watch()
    first, second = watch.calls
    watch.said(first, Cause.AGENT)
    watch.said(first, Cause.AGENT, Cause.CARD)
    watch.said(first)
    watch.said(first, Cause.AGENT, since_ns=NOW + 1)
    watch.said(second, Cause.SRC)
    assert watch.figure("redactions_total", cause="agent") == 2
    assert watch.figure("redactions_total", cause="card") == 1
    assert watch.figure("redactions_total", cause="src") == 1
    assert watch.figure("calls_paused_total") == 1
    watch.alarms.look(NOW + SECOND)
    assert watch.figure("calls_paused_now") == 2
    watch.said(second)
    watch.alarms.look(NOW + SECOND)
    assert watch.figure("calls_paused_share") == 0.5


def test_a_forgotten_pause_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    watch.said(watch.calls[0], Cause.AGENT)
    watch.alarms.look(NOW + 179 * SECOND)
    assert watch.figure("pauses_forgotten_now") == 0
    for seconds in (180, 181, 240):
        watch.alarms.look(NOW + seconds * SECOND)
    assert (watch.figure("pauses_forgotten_now"), watch.figure("pauses_forgotten_total")) == (1, 1)
    assert [record.getMessage() for record in caplog.records if "forgotten" in record.getMessage()] == [
        "call call0: a pause has lasted 180 s and may be forgotten"
    ]
    watch.said(watch.calls[0])
    watch.alarms.look(NOW + 241 * SECOND)
    assert watch.figure("pauses_forgotten_now") == 0


@pytest.mark.parametrize(
    ("ago", "held", "alarms"), [(0, False, 0), (SILENT_NS, False, 1), (SILENT_NS, True, 0)]
)
def test_a_pause_of_a_call_without_media_is_told_of(
    ago: int, held: bool, alarms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    live = watch.calls[0]
    monkeypatch.setattr(Live, "held", held)
    live.heard_ns = {Role.EXTERNAL: time.monotonic_ns(), Role.AGENT: time.monotonic_ns() - ago}
    watch.said(live, Cause.AGENT)
    assert watch.figure("pauses_without_media_total") == alarms


def test_more_pauses_than_usual_are_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watch()
    at = time.monotonic_ns()
    monkeypatch.setattr(time, "monotonic_ns", lambda: at)

    def hour(calls: int, paused: int) -> None:
        nonlocal at
        for number in range(calls):
            live = watch.calls[0]
            live.counted = live.paused_before = False
            watch.alarms.look(at)
            watch.said(live, *[Cause.AGENT] * (number < paused), since_ns=at)
            watch.said(live)
            at += 60 * SECOND
        at += (60 - calls) * 60 * SECOND
        watch.alarms.look(at)

    for _ in range(4):
        hour(30, 3)
        at += 3600 * SECOND
    assert watch.figure("pauses_unusual_total") == 0
    hour(30, 15)
    assert watch.figure("pauses_unusual_total") == 1
    assert [each.getMessage() for each in caplog.records if "usual" in each.getMessage()]


def test_latency_is_measured_where_something_was_applied() -> None:
    watch = Watch()
    asked = Pause("call0", (), time.monotonic_ns() - 4 * SECOND, Cause.AGENT, "t1", request="1")
    requested = Requested(asked, cast("asyncio.Future[Answered]", None))
    for outcome in Outcome:
        watch.alarms.answered(requested, Answered("call0", "1", outcome))
    assert watch.figure("redaction_latency_seconds_count") == 2
    assert watch.figure("redaction_latency_seconds_sum") >= 8
    assert watch.figure("look_back_seconds") == 3


def test_late_redactions_unanswered_requests_and_keys_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch()
    watch.alarms.late(LateRedaction("call0", 8000, 20_000, (Role.AGENT,), Cause.AGENT))
    watch.alarms.unconfirmed("call0")
    watch.alarms.keyed(Keyed("call0", "inband", 16))
    assert watch.figure("redactions_late_total") == 1
    assert watch.figure("requests_unconfirmed_total") == 1
    assert watch.figure("masked_keys_total", way="inband") == 16
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].getMessage().startswith("call call0: 1.5 s were stored")


def test_legs_that_were_never_heard() -> None:
    watch = Watch()
    first, second = watch.calls
    roles = [leg.role for leg in first.call.legs]
    begun = first.call.opening.started_ns

    def looked(seconds: float) -> tuple[float, float]:
        watch.alarms.look(begun + round(seconds * SECOND))
        return watch.figure("calls_one_leg_now"), watch.figure("calls_without_media_now")

    assert looked(5) == (0, 0)
    assert looked(60) == (0, 2)
    first.heard_ns[roles[0]] = begun
    second.heard_ns.update(dict.fromkeys(roles, begun))
    assert looked(60) == (1, 0)
    first.pauses[1] = begun  # by the client: nothing is to come
    assert looked(60) == (0, 0)
