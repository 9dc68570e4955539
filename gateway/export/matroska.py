"""All parts of a call in one plain Matroska file, payload unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from gateway.codecs.codec import Codec
from gateway.codecs.rendering import Block
from gateway.export.errors import ExportError
from gateway.recording.model import Role
from gateway.storage import container
from gateway.storage.container import Reader, Track


def write_matroska(
    file: BinaryIO, parts: Sequence[Reader], legs: Sequence[Role], blocks: Iterable[Block]
) -> None:
    """Write blocks, which are in order of time, under the first part's ids; then every part's tags and chapters."""
    info = parts[0].info
    if info is None:
        raise ExportError("the first part does not say which recording it belongs to")
    tracks = _tracks(parts, legs)
    file.write(
        container.header(info.recording_id, info.call_id, info.segment_id, info.part, tracks, info.date_ns)
    )
    numbers = {(track.role, *_form(track)): track.number for track in tracks}
    stored = (container.Block(numbers[b.role, *_stored(b.codec)], b.time, b.payload) for b in blocks)
    file.writelines(map(container.cluster, _clusters(stored)))
    chapters = {chapter for part in parts for chapter in part.chapters}
    tags = {name: value for part in parts for name, value in part.tags.items()}
    file.write(container.trailer(tags, sorted(chapters, key=lambda chapter: chapter.start)))


def _tracks(parts: Sequence[Reader], legs: Sequence[Role]) -> list[Track]:
    """Every leg and codec that a part declares, once, numbered anew."""
    distinct = {
        (track.role, *_form(track)): track
        for part in reversed(parts)
        for track in part.tracks
        if track.role in legs
    }
    ordered = sorted(distinct.values(), key=lambda track: (legs.index(track.role), track.number))
    return [replace(track, number=number) for number, track in enumerate(ordered, 1)]


def _form(track: Track) -> tuple[str, bytes, int, int]:
    """What tells codecs apart in a file."""
    return track.codec_id, track.private, track.clock_rate, track.channels


def _stored(codec: Codec) -> tuple[str, bytes, int, int]:
    return codec.matroska_id, codec.private, codec.sample_rate, codec.channels


def _clusters(blocks: Iterable[container.Block]) -> Iterator[list[container.Block]]:
    """Runs of blocks that fit into one cluster each."""
    run: list[container.Block] = []
    for block in blocks:
        if run and block.time - run[0].time >= container.MAX_CLUSTER_UNITS:
            yield run
            run = []
        run.append(block)
    if run:
        yield run
