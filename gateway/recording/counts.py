"""What is counted of a call's legs, through all workers that had it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.recording.messages import LegPlan
from gateway.recording.model import LegReport, Role

Change = tuple[LegReport, LegReport]  # a leg's report before and now


class LegCounts:
    """How the legs stand, by their roles. A worker that replaces a dead one counts from 0."""

    def __init__(self, legs: Iterable[LegPlan]) -> None:
        self._earlier: dict[Role, LegReport] = {}  # of workers that died
        self._now: dict[Role, LegReport] = {}
        for leg in legs:
            self.join(leg)

    def __len__(self) -> int:
        return len(self._now)

    def join(self, leg: LegPlan) -> None:
        self._now[leg.role] = LegReport(leg.role, leg.formats[0].name)

    def reports(self) -> tuple[LegReport, ...]:
        return tuple(self._now.values())

    def totals(self, legs: Iterable[LegReport]) -> tuple[LegReport, ...]:
        """A worker's counts with those of the workers before it."""
        return tuple(_sum(self._earlier[leg.role], leg) if leg.role in self._earlier else leg for leg in legs)

    def report(self, legs: Iterable[LegReport]) -> list[Change]:
        """A worker tells how its legs stand."""
        return [self._change(total) for total in self.totals(legs)]

    def count(self, roles: Iterable[Role], counts: Iterable[Sequence[int]]) -> list[Change]:
        """As `report`, of legs of which nothing but numbers has changed."""
        legs = (
            LegReport(role, self._now[role].codec, *numbers)
            for role, numbers in zip(roles, counts, strict=False)
        )
        return self.report(legs)

    def worker_lost(self) -> None:
        self._earlier = dict(self._now)

    def _change(self, total: LegReport) -> Change:
        before, self._now[total.role] = self._now[total.role], total
        return before, total


def since(total: Iterable[LegReport], before: Iterable[LegReport]) -> tuple[LegReport, ...]:
    """What was counted after `before`."""
    base = {leg.role: leg for leg in before}
    return tuple(_less(leg, base[leg.role]) if leg.role in base else leg for leg in total)


def _less(total: LegReport, before: LegReport) -> LegReport:
    counts = ("packets", "lost", "late", "duplicated", "media_units")
    return replace(total, **{name: max(0, getattr(total, name) - getattr(before, name)) for name in counts})


def _sum(earlier: LegReport, later: LegReport) -> LegReport:
    return replace(
        later,
        packets=earlier.packets + later.packets,
        lost=earlier.lost + later.lost,
        late=earlier.late + later.late,
        duplicated=earlier.duplicated + later.duplicated,
        media_units=earlier.media_units + later.media_units,
    )
