"""How calls are spread over the media workers: each call has one from its start to its end.

Workers are numbered from 0. Times are ns of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.recording.overload import Limits, Overload, Reading

BUSIER = (
    0.1  # of a processor: a worker that much busier than the idlest one is spared, however few calls it has
)
SHARES = (
    2  # a worker has room for so many times its share of the calls, for the time when others can take none
)


def worker_count(wanted: int, cores: int) -> int:
    """As many as wanted; for 0 one a core, less one for the control process."""
    return wanted or max(1, cores - 1)


def calls_each(calls: int, workers: int) -> int:
    """How many of so many calls one worker has room for."""
    return min(calls, SHARES * -(-calls // workers))


class Spread:
    """Feed it what the workers say; ask it which of them takes a call, or why none does."""

    def __init__(self, limits: Limits, workers: int, calls: int, now: int) -> None:
        self._numbers = range(workers)
        self._loads = [Overload(limits, now) for _ in self._numbers]
        self._busy = [0.0] * workers  # in the last second
        self._present = [True] * workers
        self._room = calls_each(calls, workers)

    def begun(self, worker: int, now: int) -> None:
        """A worker can record."""
        self._loads[worker].begun(now)
        self._present[worker] = True

    def lost(self, worker: int) -> None:
        """A worker died and is being replaced."""
        self._present[worker] = False
        self._busy[worker] = 0.0

    def hear(self, worker: int, reading: Reading, now: int) -> None:
        self._loads[worker].hear(reading, now)
        self._busy[worker] = reading.busy

    def choose(self, calls: Sequence[int], now: int) -> int:
        """The worker for the next call, by how many calls each has.

        Never one without room for it: together they have room for more than all calls. One that is being replaced only
        where no other can take it; its audio waits in the sockets then.
        """
        roomy = [worker for worker in self._numbers if calls[worker] < self._room]
        able = [worker for worker in roomy if not self._loads[worker].reason(now)] or roomy
        able = [worker for worker in able if self._present[worker]] or able
        idlest = min(self._busy[worker] for worker in able)
        spared = [worker for worker in able if self._busy[worker] > idlest + BUSIER]
        return min((worker for worker in able if worker not in spared), key=lambda worker: calls[worker])

    def reason(self, calls: Sequence[int], now: int) -> str:
        """Why none of the workers takes a call, one clause; empty when one does."""
        roomy = [worker for worker in self._numbers if calls[worker] < self._room]
        reasons = [self._loads[worker].reason(now) for worker in roomy]
        return "" if "" in reasons else "; ".join(dict.fromkeys(reasons))
