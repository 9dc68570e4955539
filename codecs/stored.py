"""The audio of stored parts, as rendering takes it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from gateway.codecs.registry import by_track
from gateway.codecs.rendering import Block
from gateway.storage.container import Reader


def stored_blocks(parts: Sequence[Reader]) -> Iterator[Block]:
    """The blocks of all parts together, in order of time as far as each part is. Raises CodecError."""

    def of(part: Reader) -> Iterator[Block]:
        tracks = {
            track.number: (
                track.role,
                by_track(track.codec_id, track.private, track.clock_rate, track.channels),
            )
            for track in part.tracks
        }
        for number, time, payload in part.blocks():
            role, codec = tracks[number]
            yield Block(role, time, codec, payload)

    return heapq.merge(*map(of, parts), key=lambda block: block.time)
