"""Whether another call can be recorded to its end, and why not."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config.settings import Settings
from gateway.io import clock
from gateway.io.channel import Ticked
from gateway.io.ports import MediaPorts
from gateway.io.running import Running
from gateway.recording.overload import Limits, Reading
from gateway.recording.spread import Spread

MEGABYTE = 1 << 20
PORTS_PER_CALL = 2
NS = 1_000_000_000


class Refusal(Exception):
    """A call cannot be taken; the text is for the call's record."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.kind = kind


class Room:
    """Asked before each call, and once a second for those who ask by OPTIONS; knows how each media worker does."""

    def __init__(
        self,
        settings: Settings,
        free_bytes: Callable[[], int],
        ports: MediaPorts,
        running: Running,
        workers: int,
    ) -> None:
        self._max_calls = settings.media.max_calls
        self._min_free = settings.storage.min_free_megabytes * MEGABYTE
        self._free_bytes = free_bytes
        self._ports = ports
        self._running = running
        self._workers = range(workers)
        load = settings.load
        limits = Limits(load.busy_percent / 100, load.late_milliseconds * NS // 1000)
        now = clock.monotonic_ns()
        self._spread = Spread(limits, workers, self._max_calls, now)
        self._ticked_ns = [now] * workers
        self.closed = ""  # why no call is taken any more

    def ready(self, worker: int) -> None:
        """A worker has begun, which takes longer than one may be silent."""
        self._ticked_ns[worker] = now = clock.monotonic_ns()
        self._spread.begun(worker, now)

    def lost(self, worker: int) -> None:
        """A worker has died; another takes its place."""
        self._spread.lost(worker)

    def ticked(self, worker: int, report: Ticked) -> None:
        """A worker's report since its last one, a second ago if all is well."""
        before, self._ticked_ns[worker] = self._ticked_ns[worker], (now := clock.monotonic_ns())
        busy = report.busy_ns / max(NS, now - before)
        self._spread.hear(worker, Reading(min(busy, 1.0), report.latest_ns), now)

    def worker(self) -> int:
        """The media worker for a call that begins now."""
        return self._spread.choose(self._calls(), clock.monotonic_ns())

    def refusal(self, calls: int, sockets: bool = True) -> Refusal | None:
        """Why the last of so many calls, those being set up included, cannot be taken; one that a tap overhears needs
        no `sockets`."""
        if self.closed:
            return Refusal(503, "stopping", self.closed)
        if calls > self._max_calls:
            return Refusal(503, "max_calls", "as many calls as configured were running already")
        if self._free_bytes() < self._min_free:
            return Refusal(503, "disk_full", "the storage was nearly full")
        if sockets and self._ports.free < PORTS_PER_CALL:
            return Refusal(503, "no_port", "every media port was in use")
        if overload := self._spread.reason(self._calls(), clock.monotonic_ns()):
            return Refusal(503, "overload", overload)
        return None

    def _calls(self) -> list[int]:
        """How many each worker has."""
        return [self._running.of_worker(worker) for worker in self._workers]
