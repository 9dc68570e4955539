"""Silent calls on an event loop whose clock is wound by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.config.settings import MediaSettings
from gateway.io.silence import Silences
from gateway.siprec.effects import SessionId

CALL = SessionId(1)
SETTINGS = MediaSettings(timeout_seconds=60, silence_limit_seconds=600)


class Clock:
    """An event loop's time and timers, and nothing else of it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        if handle in self._timers:
            self._timers.remove(handle)

    def call_at(self, when: float, callback: Callable[..., object], *args: object) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self)  # type: ignore[arg-type]
        handle._scheduled = True  # type: ignore[attr-defined]
        self._timers.append(handle)
        return handle

    def wait(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [handle for handle in self._timers if handle.when() <= until]:
            first = min(due, key=lambda handle: handle.when())
            self._timers.remove(first)
            self.now = max(self.now, first.when())
            first._run()
        self.now = until


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.timed = False
        self.packets = 100
        self.probes: list[float] = []
        self.ended: list[tuple[float, str]] = []
        self.silences = Silences(
            SETTINGS,
            lambda session: self.timed,
            lambda session: self.probes.append(self.clock.now - 1000),
            self.end,
        )

    def end(self, session: SessionId, cause: str) -> None:
        self.ended.append((self.clock.now - 1000, cause))
        self.silences.ended(session)

    def begin(self) -> None:
        self.silences.begun(CALL, lambda: self.packets)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: made.clock)
    return made


def test_a_client_that_is_gone_ends_the_call(bench: Bench) -> None:
    bench.begin()
    bench.begin()
    assert bench.probes == [0]
    bench.silences.probed(CALL, alive=False)
    assert bench.ended == [(0, "client_gone")]
    bench.clock.wait(10_000)
    assert len(bench.ended) == 1


def test_a_client_that_answers_keeps_it_until_the_limit(bench: Bench) -> None:
    bench.begin()
    for _ in range(20):
        bench.silences.probed(CALL, alive=True)
        bench.clock.wait(60)
    assert bench.probes == [0, 60, 120, 180, 240, 300, 360, 420, 480]
    assert bench.ended == [(540, "media_timeout")], "600 s after the last packet"


def test_a_session_timer_spares_the_probe_not_the_limit(bench: Bench) -> None:
    bench.timed = True
    bench.begin()
    bench.clock.wait(1000)
    assert bench.probes == []
    assert bench.ended == [(540, "media_timeout")]


def test_media_that_comes_back_is_no_silence(bench: Bench) -> None:
    bench.begin()
    bench.packets += 1
    bench.silences.probed(CALL, alive=False)
    bench.clock.wait(1000)
    assert (bench.ended, len(bench.silences)) == ([], 0)
    bench.begin()
    assert len(bench.probes) == 2


def test_a_call_that_ends_is_forgotten(bench: Bench) -> None:
    bench.begin()
    bench.silences.ended(CALL)
    bench.silences.probed(CALL, alive=False)
    bench.clock.wait(1000)
    assert (bench.ended, len(bench.probes)) == ([], 1)
