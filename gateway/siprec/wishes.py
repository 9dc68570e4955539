"""Header fields by which a recording client asks that a call be recorded, or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.recording.model import Wish
from gateway.sip.message import Request

Wishes = Callable[[Request], Wish | None]


def nobody_wishes(request: Request) -> None:
    """Where no header is looked at."""


def wishes(off: Iterable[str], on: Iterable[str]) -> Wishes:
    """Looks for fields like `Name: value`, in any case; not to be recorded outweighs the contrary."""
    fields = [(Wish.OFF, *_split(field)) for field in off] + [(Wish.ON, *_split(field)) for field in on]

    def wish_of(request: Request) -> Wish | None:
        for wish, name, value in fields:
            if any(found.strip().casefold() == value for found in request.headers.all(name)):
                return wish
        return None

    return wish_of


def _split(field: str) -> tuple[str, str]:
    name, _, value = field.partition(":")
    return name, value.strip().casefold()
