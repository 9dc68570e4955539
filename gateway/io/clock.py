"""What time it is for the control process: that of the machine, or that of a capture which is replayed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Clock(Protocol):
    def monotonic_ns(self) -> int: ...

    def time_ns(self) -> int:
        """UTC, since 1970."""


class _MachineClock:
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def time_ns(self) -> int:
        return time.time_ns()


class CaptureClock:
    """Stands still until it is set; never goes back."""

    def __init__(self) -> None:
        self._now = 0

    def set(self, now_ns: int) -> None:
        self._now = max(self._now, now_ns)

    def monotonic_ns(self) -> int:
        return self._now

    def time_ns(self) -> int:
        return self._now


_MACHINE: Clock = _MachineClock()
_CLOCK: ContextVar[Clock] = ContextVar("clock", default=_MACHINE)


@contextmanager
def following(clock: Clock) -> Iterator[None]:
    """All that is begun within has its time from this clock; other threads have the machine's."""
    token = _CLOCK.set(clock)
    try:
        yield
    finally:
        _CLOCK.reset(token)


def monotonic_ns() -> int:
    return _CLOCK.get().monotonic_ns()


def time_ns() -> int:
    return _CLOCK.get().time_ns()
