"""Whether more of the calls are paused than usual. Times are ns of one clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

BUCKET_NS = 600_000_000_000
RECENT, LONG = 6, 144  # buckets: an hour, of which is asked, and the day before it, which tells what is usual
FACTOR = 2.0  # more than twice the usual share
LEAST_PAUSED = 10  # calls of the hour: fewer are chance
LEAST_CALLS = 20  # of the day before: fewer tell nothing of what is usual


@dataclass(slots=True)
class _Bucket:
    number: int
    calls: int = 0
    paused: int = 0


@dataclass(frozen=True, slots=True)
class Unusual:
    """Shares of calls, 0 to 1."""

    share: float
    usual: float


class PauseShare:
    """Counts calls and those of them that were paused, for a day and an hour."""

    def __init__(self) -> None:
        self._buckets: deque[_Bucket] = deque(maxlen=RECENT + LONG)
        self._told = False

    def began(self, now: int) -> None:
        self._bucket(now).calls += 1

    def paused(self, now: int) -> None:
        """A call was paused for the first time."""
        self._bucket(now).paused += 1

    def look(self, now: int) -> Unusual | None:
        """Told once, until it has been as usual again."""
        found = self._found(now // BUCKET_NS)
        new, self._told = found is not None and not self._told, found is not None
        return found if new else None

    def _found(self, number: int) -> Unusual | None:
        recent = [each for each in self._buckets if each.number > number - RECENT]
        before = [each for each in self._buckets if number - RECENT - LONG < each.number <= number - RECENT]
        calls, paused = sum(each.calls for each in recent), sum(each.paused for each in recent)
        known = sum(each.calls for each in before)
        if paused < LEAST_PAUSED or known < LEAST_CALLS:
            return None
        found = Unusual(min(1.0, paused / max(calls, 1)), sum(each.paused for each in before) / known)
        return found if found.share > FACTOR * found.usual else None

    def _bucket(self, now: int) -> _Bucket:
        number = now // BUCKET_NS
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]
