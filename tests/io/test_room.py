from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.config.settings import parse
from gateway.io.channel import Ticked
from gateway.io.ports import MediaPorts
from gateway.io.room import MEGABYTE, NS, Room
from gateway.io.running import Running

SETTINGS: dict[str, object] = {
    "media": {"max_calls": 2, "first_port": 40200, "last_port": 40203},
    "storage": {"min_free_megabytes": 100},
}


class Bench:
    def __init__(self, workers: int = 1) -> None:
        settings = parse(SETTINGS, "test", Path())
        self.free = 200 * MEGABYTE
        self.ports = MediaPorts(settings.media)
        self.now = 0
        self.room = Room(settings, lambda: self.free, self.ports, Running(), workers)

    def why_not(self, calls: int = 1) -> str:
        refusal = self.room.refusal(calls)
        assert refusal is None or refusal.status == 503
        return refusal.kind if refusal else ""

    def tick(self, *busy_ns: int, seconds: float = 1.0) -> None:
        """Each worker tells of its last seconds."""
        self.now += round(seconds * NS)
        for worker, busy in enumerate(busy_ns):
            self.room.ticked(worker, Ticked(10, 0, busy))


@pytest.fixture
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """With one worker, or as many as the test is given."""
    clock = [lambda: 0]
    monkeypatch.setattr("gateway.io.room.clock", SimpleNamespace(monotonic_ns=lambda: clock[0]()))
    made = Bench(getattr(request, "param", 1))
    clock[0] = lambda: made.now
    return made


def test_what_leaves_no_room(bench: Bench) -> None:
    assert bench.why_not(2) == ""
    assert bench.why_not(3) == "max_calls"
    bench.free = 99 * MEGABYTE
    assert bench.why_not() == "disk_full"
    bench.free = 100 * MEGABYTE
    with bench.ports.claim("127.0.0.1") as claimed:
        assert bench.why_not() == "no_port"
    assert claimed
    bench.room.closed = "the gateway was being stopped"
    assert bench.why_not() == "stopping"


def test_a_busy_worker(bench: Bench) -> None:
    for _ in range(3):
        bench.tick(NS * 9 // 10)
    assert bench.why_not() == "overload"
    for _ in range(5):
        bench.tick(NS // 10)
    assert bench.why_not() == ""


def test_a_late_report_is_measured_by_the_time_it_covers(bench: Bench) -> None:
    for _ in range(3):
        bench.tick(NS, seconds=4)
    assert bench.why_not() == ""


def test_a_worker_that_says_nothing(bench: Bench) -> None:
    bench.tick(0)
    bench.now += 6 * NS
    assert bench.why_not() == "overload"
    bench.room.ready(0)
    assert bench.why_not() == ""


@pytest.mark.parametrize("bench", [2], indirect=True)
def test_calls_are_refused_when_no_worker_takes_one(bench: Bench) -> None:
    for _ in range(3):
        bench.tick(NS * 9 // 10, NS // 10)
    assert (bench.why_not(), bench.room.worker()) == ("", 1)
    bench.room.lost(1)
    bench.tick(NS * 9 // 10)
    assert (bench.why_not(), bench.room.worker()) == ("", 1)
    bench.room.ready(1)
    for _ in range(3):
        bench.tick(NS * 9 // 10, NS * 9 // 10)
    assert bench.why_not() == "overload"
