"""Stored payload to PCM: both legs of a call placed on its clock, in chunks of bounded size.

Contiguous audio comes out as its codec decodes it, sample for sample where it is rendered at the codec's own rate.
Gaps of up to 60 ms are concealed, longer ones and all redactions are silence. Small steps of the clock, as skew
correction makes them, are played over without a click or a lost sample.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.codecs.codec import Codec, Decoder
from gateway.codecs.voice import Voice
from gateway.recording.model import UNITS_PER_SECOND, Redaction, Role

Frames = npt.NDArray[np.int16]

CHUNK_SECONDS = 10
DISORDER_UNITS = 5 * UNITS_PER_SECOND  # blocks may lie this far out of order; held in memory for so long
_MARGIN_SECONDS = (
    1  # of audio behind a chunk that must be placed before it is final; no gap that is bridged is longer
)


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
    """Arrays of (samples, legs) at `rate` Hz that follow each other from call time 0, of about CHUNK_SECONDS each.

    Together they last `length_units`, or as long as the audio where that is longer. A leg is mono, whatever its codec.
    """
    mixer = _Mixer(legs, redactions, rate)
    for block in in_order(block for block in blocks if block.role in legs):
        mixer.place(block)
        yield from mixer.ready(block.time)
    yield from mixer.rest(length_units)


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
    """The legs side by side; a leg has a voice for each sample rate that its codecs have had."""

    def __init__(self, legs: Sequence[Role], redactions: Sequence[Redaction], rate: int) -> None:
        self._rate = rate
        self._silent = {role: [(r.start, r.end) for r in redactions if role in r.legs] for role in legs}
        self._voices: dict[Role, dict[int, Voice]] = {role: {} for role in legs}
        self._decoders: dict[tuple[Role, Codec], Decoder] = {}
        self._taken = 0  # seconds of the call whose audio is final
        self._given = 0  # samples

    def place(self, block: Block) -> None:
        codec, voices = block.codec, self._voices[block.role]
        voice = voices.get(codec.sample_rate)
        if voice is None:
            voice = Voice(codec.sample_rate, self._rate, self._silent[block.role], self._taken)
            voices[codec.sample_rate] = voice
        key = block.role, codec
        decoder = self._decoders.get(key) or self._decoders.setdefault(key, codec.decoder())
        # The clock of 1/8000 s tells the place of other rates only so exactly.
        slack = 0 if codec.clock_rate == UNITS_PER_SECOND else -(-codec.sample_rate // UNITS_PER_SECOND)
        voice.place(position(block.time, codec.sample_rate), block.payload, decoder, slack)

    def ready(self, reached: int) -> Iterator[Frames]:
        """Chunks that nothing starting at `reached` (units) or later can change."""
        while (self._taken + CHUNK_SECONDS + _MARGIN_SECONDS) * UNITS_PER_SECOND <= reached:
            self._taken += CHUNK_SECONDS
            for voice in self._all():
                voice.take(self._taken * voice.rate)
            held = min((voice.final for voice in self._all()), default=self._taken * self._rate)
            if held > self._given:
                yield self._give(held)

    def rest(self, length_units: int) -> Iterator[Frames]:
        """What is left, once the last block is placed."""
        ends = [voice.finish() for voice in self._all()]
        length = max([position(length_units, self._rate), *ends])
        while self._given < length:
            yield self._give(min(length, self._given + CHUNK_SECONDS * self._rate))

    def _all(self) -> list[Voice]:
        return [voice for voices in self._voices.values() for voice in voices.values()]

    def _give(self, stop: int) -> Frames:
        given = np.zeros((stop - self._given, len(self._voices)), np.int16)
        for column, voices in enumerate(self._voices.values()):
            heard = [voice.give(self._given, stop) for voice in voices.values()]
            if len(heard) == 1:
                given[:, column] = heard[0]
            elif heard:
                given[:, column] = np.clip(np.sum(heard, axis=0, dtype=np.int32), -32768, 32767)
        self._given = stop
        return given
