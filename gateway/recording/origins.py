"""In which order keys count that are heard at once: the leg on which a key was pressed before those on which it echoes.

Who pressed a key decides what it may do, and the first that tells of a press is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.rtp.tones import Tone

# Legs that pass a tone on without delay have it at the same time, give or take their packets' time on the way. There
# the loudest is the leg on which it was pressed, and any echo that comes later comes later.
AT_ONCE_NS = 60_000_000


@dataclass(frozen=True, slots=True)
class Pressed:
    """A tone that told of its key."""

    tone: Tone
    call: int  # the same for all legs of a call
    began: int  # ns, by arrival

    def echoes(self, other: Pressed) -> bool:
        """Whether this is the other one's key, heard on another leg at the same time and less loudly."""
        same = self.call == other.call and self.tone.digit is other.tone.digit
        apart = abs(self.began - other.began)
        return (
            same
            and self.tone.leg != other.tone.leg
            and apart <= AT_ONCE_NS
            and self.tone.power < other.tone.power
        )


def in_order(presses: Iterable[Pressed]) -> list[Tone]:
    """Call by call, each press before its echoes."""
    ordered: list[Pressed] = []
    for press in sorted(presses, key=lambda press: (press.call, press.began)):
        at = next((at for at, other in enumerate(ordered) if other.echoes(press)), len(ordered))
        ordered.insert(at, press)
    return [press.tone for press in ordered]
