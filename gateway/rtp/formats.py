"""What payload types mean on each leg: a codec of the leg's, a telephone-event, or silence."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gateway.codecs.codec import Codec
from gateway.rtp.packets import Bools, Ints

# What a payload type means on a leg, its kind. Codecs are numbered from AUDIO on.
UNKNOWN, SILENT, EVENT, AUDIO = 0, 1, 2, 3
COMFORT_NOISE = (13, 19)  # RFC 3551's static payload type, and the one that its drafts had
PAYLOAD_TYPES = 128


class Formats:
    """One row a leg; `kinds` is by leg and payload type."""

    def __init__(self, capacity: int) -> None:
        self.kinds = np.zeros((capacity, PAYLOAD_TYPES), np.uint8)
        self._codecs: list[tuple[Codec, ...]] = [()] * capacity

    def clear(self, leg: int) -> None:
        """Another leg has the row now."""
        self.kinds[leg] = UNKNOWN
        self._codecs[leg] = ()

    def add(
        self, leg: int, codecs: Mapping[int, Codec], events: frozenset[int], noise: frozenset[int]
    ) -> None:
        """What payload types mean from now on; what others mean stays, and so do the numbers of codecs."""
        known = tuple(dict.fromkeys((*self._codecs[leg], *codecs.values())))
        self._codecs[leg] = known
        self.kinds[leg, [*COMFORT_NOISE, *noise]] = SILENT
        self.kinds[leg, list(events)] = EVENT
        for payload_type, codec in codecs.items():
            self.kinds[leg, payload_type] = AUDIO + known.index(codec)

    def codec(self, leg: int, kind: int) -> Codec:
        return self._codecs[leg][kind - AUDIO]

    def has_events(self, legs: Ints) -> Bools:
        """Which legs may carry telephone-events."""
        carried: Bools = (self.kinds[legs] == EVENT).any(axis=1)
        return carried
