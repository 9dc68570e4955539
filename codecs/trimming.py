"""Stored payload without some stretches of the call clock: what is left stays exactly where it was.

A payload is cut between frames, so to the sample where the octets are samples; where a codec's payload cannot be
cut, the whole of it falls.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNITS_PER_SECOND
from gateway.redaction.timeline import Span, Timeline


class Trimmer:
    """One leg's payloads in one codec, in order of time; nothing of `gone` is left."""

    def __init__(self, codec: Codec, gone: Timeline) -> None:
        self._codec = codec
        self._gone = gone.spans
        self._before: int | None = None  # where the payload before began

    def left(self, time: int, payload: bytes) -> Iterator[tuple[int, bytes]]:
        """What is left of a payload that begins at a call time, with the time of each piece."""
        frame, ticks = _frame(self._codec, payload)
        rate = self._codec.clock_rate
        count = -(-len(payload) // frame) if frame else 0
        begins = time if self._before is None or not self._codec.linked else min(self._before, time)
        self._before = time
        ends = time + -(-count * ticks * UNITS_PER_SECOND // rate)
        touched = [span for span in self._gone if span.start < ends and span.stop > begins]
        if not touched:
            yield time, payload
            return
        if not self._codec.frames:
            return
        step = ticks * UNITS_PER_SECOND
        first = 0
        for span in (*touched, Span(ends + 1, ends + 2)):
            stop = min(count, max(0, (span.start - time) * rate // step))
            if stop > first:
                yield time + first * step // rate, payload[first * frame : stop * frame]
            first = max(first, -(-(span.stop - time) * rate // step))


def _frame(codec: Codec, payload: bytes) -> tuple[int, int]:
    """Octets and clock ticks of one frame of a payload; all of it where it has none."""
    for octets, ticks in reversed(codec.frames):
        if len(payload) % octets == 0 or octets == codec.frames[0][0]:
            return octets, ticks
    heads = np.frombuffer(payload[: codec.heads].ljust(codec.heads, b"\0"), np.uint8)
    return max(1, len(payload)), int(codec.durations(np.array([len(payload)]), heads[None])[0])
