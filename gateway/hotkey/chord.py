"""Keys that are pressed together act once, however long they are held. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Hashable

# A key that is held repeats as a release and a press in one instant; no finger is this quick.
REPEAT_SECONDS = 0.04
# A release can be missed, as when the screen is locked: a key that was pressed longer ago is not taken as held down.
STUCK_SECONDS = 10.0


class Chord:
    def __init__(self, keys: frozenset[Hashable]) -> None:
        self._keys = keys
        self._down: dict[Hashable, float] = {}
        self._released: dict[Hashable, float] = {}

    def press(self, key: Hashable, now: float) -> bool:
        """Whether the chord is complete by this press."""
        if key not in self._keys:
            return False
        self._down = {held: at for held, at in self._down.items() if now - at < STUCK_SECONDS}
        repeated = key in self._down or now - self._released.get(key, float("-inf")) < REPEAT_SECONDS
        self._down[key] = now
        return self._down.keys() == self._keys and not repeated

    def release(self, key: Hashable, now: float) -> None:
        if self._down.pop(key, None) is not None:
            self._released[key] = now
