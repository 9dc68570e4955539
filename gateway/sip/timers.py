"""Which timer of which owner is due: a heap in which an exchanged timer is dropped when it comes up."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

Owner = TypeVar("Owner", bound=Hashable)
Name = TypeVar("Name", bound=Hashable)

_SLACK = 64  # dead entries tolerated before the heap is rebuilt


class Timers(Generic[Owner, Name]):
    """Times are float seconds of one monotonic clock; a timer armed again replaces the one before."""

    def __init__(self) -> None:
        self._due: dict[Owner, dict[Name, float]] = {}
        self._heap: list[tuple[float, int, Owner, Name]] = []
        self._count = 0  # breaks ties in the order of arming, so owners are never compared
        self._live = 0

    def arm(self, owner: Owner, name: Name, at: float) -> None:
        mine = self._due.setdefault(owner, {})
        self._live += name not in mine
        mine[name] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, owner, name))
        if len(self._heap) > 2 * self._live + _SLACK:
            self._heap = [entry for entry in self._heap if self._alive(entry)]
            heapq.heapify(self._heap)

    def disarm(self, owner: Owner) -> None:
        """All timers of one owner."""
        self._live -= len(self._due.pop(owner, {}))

    def armed(self, owner: Owner, name: Name) -> bool:
        return name in self._due.get(owner, {})

    def next(self) -> float | None:
        """When the earliest timer is due, or None."""
        while self._heap and not self._alive(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> tuple[Owner, Name] | None:
        """One timer that is due, no longer armed; None when none is."""
        at = self.next()
        if at is None or at > now:
            return None
        _, _, owner, name = heapq.heappop(self._heap)
        del self._due[owner][name]
        self._live -= 1
        if not self._due[owner]:
            del self._due[owner]
        return owner, name

    def _alive(self, entry: tuple[float, int, Owner, Name]) -> bool:
        at, _, owner, name = entry
        return self._due.get(owner, {}).get(name) == at
