"""A digit of a keypad, in a type that cannot be printed."""

from __future__ import annotations

from enum import IntEnum


class Digit(IntEnum):
    """One of the sixteen keys, by its event code (RFC 4733 section 3.2); every member prints the same."""

    ZERO, ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT, NINE, STAR, HASH, A, B, C, D = range(16)

    def __repr__(self) -> str:
        return "REDACTED"

    def __str__(self) -> str:
        return "REDACTED"

    def __format__(self, spec: str) -> str:
        return format("REDACTED", spec)
