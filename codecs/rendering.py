"""Stored payload to PCM: both legs of a call placed on its clock, in chunks of bounded size.

Contiguous audio comes out as its codec decodes it, sample for sample. Gaps of up to 60 ms are concealed, longer ones
and all redactions are silence, and the small steps of skew correction are joined without a click.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.codecs.codec import Codec, Decoder
from gateway.codecs.placing import Line
from gateway.recording.model import UNITS_PER_SECOND, Redaction, Role

Frames = npt.NDArray[np.int16]

CHUNK_SECONDS = 10
DISORDER_UNITS = 5 * UNITS_PER_SECOND  # blocks may lie this far out of order; held in memory for so long
_MARGIN_SECONDS = (
    1  # of audio behind a chunk that must be placed before it is final; no gap that is bridged is longer
)


class RenderError(Exception):
    """The blocks cannot be rendered as asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Block:
    """Contiguous payload of one leg."""

    role: Role
    time: int  # of its first sample, on the call clock
    codec: Codec
    payload: bytes


def render(
    blocks: Iterable[Block],
    legs: Sequence[Role],
    length_units: int,
    redactions: Sequence[Redaction] = (),
    rate: int = UNITS_PER_SECOND,
) -> Iterator[Frames]:
    """Arrays of (samples, legs) that follow each other from call time 0, each of at most CHUNK_SECONDS.

    Together they last `length_units`, or as long as the audio where that is longer. Raises RenderError.
    """
    mixer = _Mixer(legs, redactions, rate)
    for block in in_order(block for block in blocks if block.role in legs):
        mixer.place(block)
        yield from mixer.ready(position(block.time, rate))
    yield from mixer.rest(position(length_units, rate))


def position(units: int, rate: int) -> int:
    """The sample at a time of the call clock."""
    return units * rate // UNITS_PER_SECOND


def in_order(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks that are out of order by at most DISORDER_UNITS, sorted by their time."""
    waiting: list[tuple[int, int, Block]] = []
    latest = 0
    for count, block in enumerate(blocks):
        heapq.heappush(waiting, (block.time, count, block))
        latest = max(latest, block.time)
        while waiting[0][0] < latest - DISORDER_UNITS:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


class _Mixer:
    """The legs' lines side by side."""

    def __init__(self, legs: Sequence[Role], redactions: Sequence[Redaction], rate: int) -> None:
        self._rate = rate
        self._lines = {
            role: Line(
                rate, [(position(r.start, rate), position(r.end, rate)) for r in redactions if role in r.legs]
            )
            for role in legs
        }
        self._decoders: dict[tuple[Role, str], Decoder] = {}
        self._done = 0

    def place(self, block: Block) -> None:
        codec = block.codec
        if codec.sample_rate != self._rate or codec.channels != 1:
            raise RenderError(
                f"{codec.name} of {codec.sample_rate} Hz and {codec.channels} channels cannot be rendered "
                f"at {self._rate} Hz mono"
            )
        key = block.role, codec.name
        decoder = self._decoders.get(key) or self._decoders.setdefault(key, codec.decoder())
        self._lines[block.role].place(position(block.time, self._rate), decoder.decode(block.payload))

    def ready(self, reached: int) -> Iterator[Frames]:
        """Full chunks that nothing starting at `reached` or later can change."""
        while self._done + (CHUNK_SECONDS + _MARGIN_SECONDS) * self._rate <= reached:
            yield self._take(self._done + CHUNK_SECONDS * self._rate)

    def rest(self, length: int) -> Iterator[Frames]:
        """What is left, once the last block is placed."""
        length = max([length, *(line.end for line in self._lines.values())])
        while self._done < length:
            yield self._take(min(length, self._done + CHUNK_SECONDS * self._rate))

    def _take(self, stop: int) -> Frames:
        columns = [line.take(self._done, stop) for line in self._lines.values()]
        self._done = stop
        return np.stack(columns, axis=1)
