"""The calls that are running: set up, and not yet stored as they ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from gateway.io.running_call import Live


class Running:
    """Found by call and by recording."""

    def __init__(self) -> None:
        self._calls: dict[str, Live] = {}
        self._recordings: dict[str, Live] = {}
        self._of_worker: Counter[int] = Counter()
        self.changed: Callable[[], None] = lambda: None  # is called when a call begins or ends
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._calls.values()))

    def call(self, call_id: str) -> Live | None:
        return self._calls.get(call_id)

    def of_recording(self, recording_id: str) -> Live | None:
        """The call that a recording belongs to."""
        return self._recordings.get(recording_id)

    def of_worker(self, worker: int) -> int:
        """How many calls a media worker has."""
        return self._of_worker[worker]

    def add(self, live: Live) -> None:
        self._calls[live.call.id] = live
        self._of_worker[live.worker] += 1
        self.add_recording(live.call.segment.recording_id, live)
        self._idle.clear()
        self.changed()

    def add_recording(self, recording_id: str, live: Live) -> None:
        """A further recording of a running call; before its segment begins, so that no event of it is missed."""
        self._recordings[recording_id] = live

    def remove(self, live: Live) -> None:
        del self._calls[live.call.id]
        self._of_worker[live.worker] -= 1
        for segment in live.call.segments:
            self._recordings.pop(segment.recording_id, None)
        if not self._calls:
            self._idle.set()
        self.changed()

    async def none(self) -> None:
        """Wait until no call is running."""
        await self._idle.wait()
