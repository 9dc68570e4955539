"""Feature codes: what an agent asks for by keys."""

from __future__ import annotations

from enum import Enum

from gateway.redaction.digit import Digit
from gateway.redaction.rules import SECOND, FeatureCodes

KEY_GAP_NS = 3 * SECOND  # between two keys of a code
KEYS = "0123456789*#ABCD"  # in the order of Digit


class CodeAction(Enum):
    PAUSE = "pause"
    RESUME = "resume"
    OPT_OUT = "opt_out"


class CodeWatch:
    """Listens to one agent's keys for the codes.

    Of two codes of which one begins the other, as *7 begins *70, the shorter one acts when the gap has passed
    without a further key. Keys are kept only while they agree with the beginning of a code.
    """

    def __init__(self, codes: FeatureCodes) -> None:
        asked = ((codes.pause, CodeAction.PAUSE), (codes.resume, CodeAction.RESUME),
                 (codes.opt_out, CodeAction.OPT_OUT))  # fmt: skip
        self._codes = {
            tuple(Digit(KEYS.index(key)) for key in keys): action for keys, action in asked if keys
        }
        self._begun: tuple[Digit, ...] = ()
        self._last_ns = 0

    def key(self, digit: Digit, at_ns: int) -> CodeAction | None:
        """Take a key; what it asks for, with those before it."""
        asked = self.due(at_ns)
        self._last_ns = at_ns
        begun = (*self._begun, digit)
        if not self._longer(begun) and begun not in self._codes:
            begun = (digit,)  # it may begin a code itself
        self._begun = begun if self._longer(begun) else ()
        return asked if self._begun else self._codes.get(begun, asked)

    def due(self, now: int) -> CodeAction | None:
        """What the keys so far ask for, now that no further one came; to be called now and then."""
        if not self._begun or now - self._last_ns <= KEY_GAP_NS:
            return None
        begun, self._begun = self._begun, ()
        return self._codes.get(begun)

    def _longer(self, begun: tuple[Digit, ...]) -> bool:
        return any(len(code) > len(begun) and code[: len(begun)] == begun for code in self._codes)
