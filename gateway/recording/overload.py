"""Whether the media workers could take another call: decided from what they say of themselves, once a second.

Times are ns of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass

TROUBLED = 2  # readings in a row above a limit until it counts: one late tick is a hiccup
CALM = 5  # readings in a row below until it is over
RELIEF = 0.75  # of a limit: what counts as below
SILENCE_NS = 5_000_000_000  # a worker that says nothing for so long is not one to give calls to


@dataclass(frozen=True, slots=True)
class Limits:
    busy: float  # share of its time a worker may spend in ticks
    late_ns: int  # how late a tick may begin


@dataclass(frozen=True, slots=True)
class Reading:
    """A worker's last second."""

    busy: float
    late_ns: int


class Overload:
    """Feed it readings; ask it for a reason not to take a call."""

    def __init__(self, limits: Limits, now: int) -> None:
        self._limits = limits
        self._heard = now
        self._above = self._below = 0
        self._reason = ""

    def begun(self, now: int) -> None:
        """A worker has started."""
        self._heard = now

    def hear(self, reading: Reading, now: int) -> None:
        self._heard = now
        if fault := self._fault(reading, 1.0):
            self._above, self._below = self._above + 1, 0
            if self._above >= TROUBLED:
                self._reason = fault
            return
        self._above = 0
        self._below = 0 if self._fault(reading, RELIEF) else self._below + 1
        if self._below >= CALM:
            self._reason = ""

    def reason(self, now: int) -> str:
        """Why no call can be taken, one clause; empty when one can."""
        if now - self._heard > SILENCE_NS:
            return f"the media worker has said nothing for {(now - self._heard) / 1e9:.0f} s"
        return self._reason

    def _fault(self, reading: Reading, share: float) -> str:
        if reading.busy >= self._limits.busy * share:
            return f"the media worker was busy {reading.busy:.0%} of its time"
        if reading.late_ns >= self._limits.late_ns * share:
            return f"the media worker was {reading.late_ns / 1e9:.1f} s late"
        return ""
