"""One press of a key, counted once, in how many ways it may be heard. Times are ns of one clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.recording.model import Role
from gateway.redaction.digit import Digit

MEDIA_LAG_NS = 1_000_000_000  # a tone comes back over a bridge, or as an echo of the far network
# Signalling goes another path, through queues, and some only at the key's release.
INFO_LAG_NS = 2_500_000_000
FORGET_NS = 5_000_000_000  # after its end no other way tells of a press any more
MAX_PRESSES = 64  # kept at once: more than are keyed in FORGET_NS, by either party
INFO = "info"


@dataclass(frozen=True, slots=True)
class Heard:
    """A press as one way tells of it."""

    way: str  # rfc4733, inband, info
    role: Role | None  # on whose leg; None where that is not known
    digit: Digit
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class _Press:
    first: Heard
    ways: set[tuple[str, Role | None]] = field(default_factory=set)

    def may_be(self, heard: Heard) -> bool:
        first = self.first
        lag = INFO_LAG_NS if INFO in (heard.way, first.way) else MEDIA_LAG_NS
        apart = max(heard.start_ns - first.end_ns, first.start_ns - heard.end_ns)
        return first.digit is heard.digit and apart <= lag and (heard.way, heard.role) not in self.ways


class Presses:
    """The presses of one call.

    A way, of one leg, tells each press once and in order. So the n-th that a way tells is the n-th that any other
    tells: a press that a way has not told yet is the one it tells now. What one way tells twice was pressed twice.
    """

    def __init__(self) -> None:
        self._presses: list[_Press] = []

    def heard(self, heard: Heard) -> Heard | None:
        """The press, where nothing has told of it before; None where it is counted already."""
        self.forget(heard.start_ns)
        press = next((press for press in self._presses if press.may_be(heard)), None)
        if press is None:
            del self._presses[: len(self._presses) + 1 - MAX_PRESSES]
            press = _Press(heard)
            self._presses.append(press)
        new = not press.ways
        press.ways.add((heard.way, heard.role))
        return heard if new else None

    def forget(self, now: int) -> None:
        """Let go of the digits of presses that nothing else can tell of; to be called now and then."""
        if self._presses:
            self._presses = [press for press in self._presses if now - press.first.end_ns <= FORGET_NS]
