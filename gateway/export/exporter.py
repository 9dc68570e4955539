"""One call's recordings to one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from gateway.codecs.registry import CodecError
from gateway.codecs.rendering import Block, in_order, render
from gateway.codecs.stored import stored_blocks
from gateway.export.errors import ExportError
from gateway.export.matroska import write_matroska
from gateway.export.place import new_file
from gateway.export.sound import SoundFile, open_sound
from gateway.recording.model import UNITS_PER_SECOND, Redaction, Role
from gateway.storage.container import Reader

BOTH = (Role.EXTERNAL, Role.AGENT)  # left, right

Progress = Callable[[int, int], None]  # units done, units in all


class Format(StrEnum):
    WAV = "wav"
    MP3 = "mp3"
    FLAC = "flac"
    MKA = "mka"


def export(
    parts: Sequence[Reader],
    legs: Sequence[Role],
    form: Format,
    output: Path,
    *,
    length_units: int,
    start_units: int = 0,
    redactions: Sequence[Redaction] = (),
    rate: int = UNITS_PER_SECOND,
    progress: Progress | None = None,
    force: bool = False,
) -> None:
    """Write the named legs of a call: one as mono, BOTH as stereo with the external party left.

    `parts` are all sealed parts of the recordings to export, opened; they share one call clock. `length_units` is how
    much of it is exported, from `start_units` on; Matroska keeps the call's clock. What is rendered is so at `rate` Hz.
    An existing file is replaced only with `force`. Raises ExportError, and what reading the parts raises.
    """
    check_legs(parts, legs)
    report = progress or (lambda done, total: None)
    with reasons(), new_file(output, force) as file:
        if form is Format.MKA:
            _matroska(parts, legs, file, length_units, redactions, report)
        else:
            sound = open_sound(form.value, file, len(legs), rate)
            write_sound(parts, legs, sound, length_units, redactions, report, start_units)


@contextmanager
def reasons() -> Iterator[None]:
    """What decoding finds wrong, as ExportError."""
    try:
        yield
    except CodecError as error:
        raise ExportError(str(error)) from error


def check_legs(parts: Sequence[Reader], legs: Sequence[Role]) -> None:
    held = {track.role for part in parts for track in part.tracks}
    if not held.intersection(legs):
        asked = " or ".join(legs)
        raise ExportError(
            f"there is no audio of the {asked} leg: the recordings hold {', '.join(held) or 'none'}"
        )


def _from(start: int, blocks: Iterator[Block]) -> Iterator[Block]:
    """Blocks on a clock that begins at a time of the call's."""
    for block in blocks:
        yield replace(block, time=max(0, block.time - start))


def sample_rate(parts: Sequence[Reader], legs: Sequence[Role]) -> int:
    """The highest rate at which any audio of these legs was sampled, Hz; 8000 where there is none.

    Parts are read to their end only where their tracks leave it open.
    """
    rates = {track.clock_rate for part in parts for track in part.tracks if track.role in legs}
    if len(rates) == 1:
        return rates.pop()
    highest, seen = max(rates, default=UNITS_PER_SECOND), UNITS_PER_SECOND
    with reasons():
        for block in stored_blocks(parts):
            if block.role in legs:
                seen = max(seen, block.codec.sample_rate)
            if seen == highest:
                break
    return seen


def write_sound(
    parts: Sequence[Reader],
    legs: Sequence[Role],
    sound: SoundFile,
    length_units: int,
    redactions: Sequence[Redaction],
    report: Progress,
    start_units: int = 0,
) -> int:
    """Render the legs, from a time of the call on, into a sound file and complete it; how many samples it has."""
    done = 0
    blocks = stored_blocks(parts, redactions)
    if start_units:
        blocks = _from(start_units, blocks)
        moved = (replace(r, start=max(0, r.start - start_units), end=r.end - start_units) for r in redactions)
        redactions = [redaction for redaction in moved if redaction.end > 0]
    with closing(sound):
        for frames in render(blocks, legs, length_units, redactions, sound.rate):
            sound.write(frames)
            done += len(frames)
            report(min(done * UNITS_PER_SECOND // sound.rate, length_units), length_units)
    return done


def _matroska(
    parts: Sequence[Reader], legs: Sequence[Role], file: BinaryIO, length_units: int,
    redactions: Sequence[Redaction], report: Progress,
) -> None:  # fmt: skip
    def watched() -> Iterator[Block]:
        second = 0
        for block in in_order(block for block in stored_blocks(parts, redactions) if block.role in legs):
            if block.time // UNITS_PER_SECOND > second:
                second = block.time // UNITS_PER_SECOND
                report(min(block.time, length_units), length_units)
            yield block

    write_matroska(file, parts, legs, watched())
    report(length_units, length_units)
