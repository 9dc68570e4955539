"""Our own faults, in words that may be logged."""

from __future__ import annotations

import traceback


def place_of(error: BaseException) -> str:
    """What and where, without the error's text: that may hold personal data."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_globals.get('__name__')} line {line}"
