"""The audio of stored parts, as rendering takes it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gateway.codecs.codec import Codec
from gateway.codecs.registry import by_track
from gateway.codecs.rendering import Block
from gateway.codecs.trimming import Trimmer
from gateway.recording.model import UNITS_PER_SECOND, Redaction, Role
from gateway.redaction.timeline import Span, Timeline
from gateway.storage.container import Reader, Track


def stored_blocks(parts: Sequence[Reader], redactions: Sequence[Redaction] = ()) -> Iterator[Block]:
    """The blocks of all parts together, in order of time as far as each part is. Raises CodecError.

    Nothing is given out that a redaction covers, even if it were there.
    """
    gone = spans_of(redactions)

    def of(part: Reader) -> Iterator[Block]:
        tracks = {track.number: (track.role, codec_of(track)) for track in part.tracks}
        trimmers = {number: Trimmer(codec, gone[role]) for number, (role, codec) in tracks.items()}
        for number, time, payload in part.blocks():
            role, codec = tracks[number]
            for place, left in trimmers[number].left(time, payload):
                yield Block(role, place, codec, left)

    return heapq.merge(*map(of, parts), key=lambda block: block.time)


def lasts(block: Block) -> int:
    """How long a block's audio is, in call units."""
    heads = np.frombuffer(block.payload[: block.codec.heads].ljust(block.codec.heads, b"\0"), np.uint8)
    ticks = int(block.codec.durations(np.array([len(block.payload)]), heads[None])[0])
    return ticks * UNITS_PER_SECOND // block.codec.clock_rate


def codec_of(track: Track) -> Codec:
    """Raises CodecError."""
    return by_track(track.codec_id, track.private, track.clock_rate, track.channels)


def spans_of(redactions: Iterable[Redaction]) -> dict[Role, Timeline]:
    """What is not kept of each role's voice."""
    redactions = list(redactions)
    return {
        role: Timeline.of(Span(r.start, r.end) for r in redactions if role in r.legs and r.start < r.end)
        for role in Role
    }
