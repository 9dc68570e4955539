"""The plain format of a recording: Matroska (RFC 9559), written live and read back.

A file is: EBML header, a Segment of unknown size, Info, Tracks, Clusters of at most four seconds
with Voids between them where padding was needed, and at its end Chapters and Tags. It plays
when cut anywhere after the Tracks. Times are units of the call clock, 1/8000 s.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import NamedTuple
from uuid import UUID

from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, Role
from gateway.storage import ebml
from gateway.storage.ebml import ContainerError, Element, children, element, master, real, text, uint, void

__all__ = [
    "Block",
    "Chapter",
    "ContainerError",
    "Info",
    "Reader",
    "Track",
    "cluster",
    "clusters",
    "header",
    "read",
    "trailer",
    "void",
]

MAX_CLUSTER_UNITS = 4 * UNITS_PER_SECOND  # a block's time within its cluster is 16 bits, signed: 4.09 s
MATROSKA_EPOCH_NS = 978_307_200 * 10**9  # 2001-01-01 in UTC nanoseconds since 1970
APPLICATION = "HushTap"
AUDIO_TRACK = 2
KEYFRAME = 0x80


class Id(IntEnum):
    """The elements in use (RFC 9559 section 5.1; the first four are of RFC 8794 section 11.2)."""

    EBML, DOC_TYPE, DOC_TYPE_VERSION, DOC_TYPE_READ_VERSION = 0x1A45DFA3, 0x4282, 0x4287, 0x4285
    SEGMENT, INFO, TRACKS, CLUSTER = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675
    CHAPTERS, TAGS = 0x1043A770, 0x1254C367
    SEGMENT_UUID, SEGMENT_FAMILY, TIMESTAMP_SCALE, DATE_UTC = 0x73A4, 0x4444, 0x2AD7B1, 0x4461
    TITLE, MUXING_APP, WRITING_APP = 0x7BA9, 0x4D80, 0x5741
    TRACK_ENTRY, TRACK_NUMBER, TRACK_UID, TRACK_TYPE = 0xAE, 0xD7, 0x73C5, 0x83
    FLAG_DEFAULT, FLAG_LACING, NAME, LANGUAGE = 0x88, 0x9C, 0x536E, 0x22B59C
    CODEC_ID, CODEC_PRIVATE, AUDIO = 0x86, 0x63A2, 0xE1
    SAMPLING_FREQUENCY, CHANNELS, BIT_DEPTH = 0xB5, 0x9F, 0x6264
    TIMESTAMP, SIMPLE_BLOCK = 0xE7, 0xA3
    EDITION_ENTRY, CHAPTER_ATOM, CHAPTER_UID = 0x45B9, 0xB6, 0x73C4
    CHAPTER_TIME_START, CHAPTER_TIME_END = 0x91, 0x92
    CHAPTER_DISPLAY, CHAP_STRING, CHAP_LANGUAGE = 0x80, 0x85, 0x437C
    TAG, TARGETS, SIMPLE_TAG, TAG_NAME, TAG_STRING = 0x7373, 0x63C0, 0x67C8, 0x45A3, 0x4487


# A Segment whose size is not known while it is written: eight bytes, all ones.
OPEN_SEGMENT = Id.SEGMENT.to_bytes(4) + b"\x01" + b"\xff" * 7
# A SimpleBlock up to its payload: id and three bytes of size in one word; then track, time and flags,
# which the size counts.
BLOCK_HEAD = struct.Struct(">IBhB")
BLOCK_ID_SIZE = Id.SIMPLE_BLOCK << 24 | 1 << 21
BLOCK_FIXED = 4
# A Cluster up to its first block: id and eight bytes of size; then its Timestamp, which the size counts.
CLUSTER_HEAD = struct.Struct(">IQBBQ")
CLUSTER_SIZE = 1 << 56
TIMESTAMP_BYTES = 10


@dataclass(frozen=True, slots=True)
class Track:
    """One leg in one codec, as the codec registry describes it."""

    number: int  # 1 to 126
    role: Role
    codec_id: str
    private: bytes
    clock_rate: int  # samples a second
    channels: int
    name: str
    default: bool
    bits: int  # a sample; 0 where the codec has no such number


class Block(NamedTuple):
    """Payload of one leg; a tuple, because thousands a second are made."""

    track: int
    time: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Chapter:
    """A named interval of the call clock."""

    start: int
    end: int
    name: str


@dataclass(frozen=True, slots=True)
class Info:
    """Which file this is."""

    recording_id: str
    call_id: str
    segment_id: str
    part: int
    date_ns: int  # UTC, nanoseconds since 1970


def header(
    recording_id: str, call_id: str, segment_id: str, part: int, tracks: Sequence[Track], date_ns: int
) -> bytes:
    """All that precedes the first block; the recorded file opens from here on, wherever it is cut."""
    head = master(
        Id.EBML,
        text(Id.DOC_TYPE, "matroska"),
        uint(Id.DOC_TYPE_VERSION, 4),
        uint(Id.DOC_TYPE_READ_VERSION, 2),
    )
    info = master(
        Id.INFO,
        element(Id.SEGMENT_UUID, UUID(recording_id).bytes),
        element(Id.SEGMENT_FAMILY, UUID(call_id).bytes),
        uint(Id.TIMESTAMP_SCALE, UNIT_NS),
        element(Id.DATE_UTC, struct.pack(">q", date_ns - MATROSKA_EPOCH_NS)),
        text(Id.TITLE, f"segment {segment_id} part {part}"),
        text(Id.MUXING_APP, APPLICATION),
        text(Id.WRITING_APP, APPLICATION),
    )
    # An empty cluster closes it: ffmpeg opens a file only once it has seen one, so any cut after this opens.
    first = master(Id.CLUSTER, uint(Id.TIMESTAMP, 0))
    return head + OPEN_SEGMENT + info + master(Id.TRACKS, *map(_track_entry, tracks)) + first


def cluster(blocks: Sequence[Block]) -> bytes:
    """One Cluster of at least one block, in the order given; they span at most four seconds."""
    times = [time for _, time, _ in blocks]
    start = min(times)
    if start < 0 or max(times) - start > MAX_CLUSTER_UNITS:
        raise ContainerError(
            f"a cluster spans at most {MAX_CLUSTER_UNITS} units, from 0 on; found {start} to {max(times)}"
        )
    pieces = [b""]
    size = TIMESTAMP_BYTES
    for track, time, payload in blocks:
        length = len(payload) + BLOCK_FIXED
        if length > ebml.MAX_BODY_BYTES:
            raise ContainerError(
                f"a block of {len(payload)} bytes is over the limit of {ebml.MAX_BODY_BYTES}"
            )
        pieces += (BLOCK_HEAD.pack(BLOCK_ID_SIZE | length, 0x80 | track, time - start, KEYFRAME), payload)
        size += length + BLOCK_FIXED
    pieces[0] = CLUSTER_HEAD.pack(Id.CLUSTER, CLUSTER_SIZE | size, Id.TIMESTAMP, 0x88, start)
    return b"".join(pieces)


def clusters(blocks: Iterable[Block]) -> Iterator[bytes]:
    """Blocks, in order of time but for a few, as Clusters."""
    run: list[Block] = []
    least = most = 0
    for block in blocks:
        if run and max(most, block.time) - min(least, block.time) > MAX_CLUSTER_UNITS // 2:
            yield cluster(run)
            run = []
        least, most = (min(least, block.time), max(most, block.time)) if run else (block.time, block.time)
        run.append(block)
    if run:
        yield cluster(run)


def trailer(tags: Mapping[str, str], chapters: Sequence[Chapter]) -> bytes:
    """What closes a file: chapters, then tags; either may be empty."""
    atoms = [_chapter_atom(uid, chapter) for uid, chapter in enumerate(chapters, 1)]
    simple = [
        master(Id.SIMPLE_TAG, text(Id.TAG_NAME, name), text(Id.TAG_STRING, value))
        for name, value in tags.items()
    ]
    closing = master(Id.CHAPTERS, master(Id.EDITION_ENTRY, *atoms)) if atoms else b""
    return closing + (master(Id.TAGS, master(Id.TAG, master(Id.TARGETS), *simple)) if simple else b"")


def read(plain: Iterable[bytes], *, swapped: bool = False) -> Reader:
    """Read a container from its plaintext, in chunks of any size; see Reader.

    With `swapped` every track and tag counts as the other role's, as a recording's record may say.
    """
    return Reader(plain, swapped)


class Reader:
    """The tracks of a container at once, its blocks in file order; tags and chapters after the blocks.

    Input that stops anywhere gives what was whole, and `truncated` tells that an element was cut.
    Raises ContainerError on anything else that is not such a container.
    """

    def __init__(self, plain: Iterable[bytes], swapped: bool = False) -> None:
        self._swapped = swapped
        self.info: Info | None = None
        self.tracks: tuple[Track, ...] = ()
        self.tags: dict[str, str] = {}
        self.chapters: tuple[Chapter, ...] = ()
        self.truncated = False
        self._elements = self._scan(plain)
        self._read_head()

    def blocks(self) -> Iterator[Block]:
        """Every whole block, once."""
        numbers = {track.number for track in self.tracks}
        start: int | None = None
        for id, body in self._elements:
            match id:
                case Id.CLUSTER:
                    start = None
                case Id.TIMESTAMP:
                    start = ebml.uint_of(body)
                case Id.SIMPLE_BLOCK:
                    yield _block(start, numbers, body)
                case Id.CHAPTERS:
                    self.chapters = _chapters(body)
                case Id.TAGS:
                    tags = _tags(body)
                    self.tags = {_of_other(name): tags[name] for name in tags} if self._swapped else tags

    def _scan(self, plain: Iterable[bytes]) -> Iterator[Element]:
        try:
            yield from ebml.scan(plain, (Id.SEGMENT, Id.CLUSTER))
        except ebml.CutError:
            self.truncated = True

    def _read_head(self) -> None:
        first = next(self._elements, None)
        if first is not None and first.id != Id.EBML:
            raise ContainerError(f"the container begins with element {first.id:X}, not with an EBML header")
        for id, body in self._elements:
            match id:
                case Id.INFO:
                    self.info = _info(body)
                case Id.TRACKS:
                    self.tracks = tuple(
                        _track(entry.body) for entry in children(body) if entry.id == Id.TRACK_ENTRY
                    )
                    if self._swapped:
                        self.tracks = tuple(replace(track, role=track.role.other) for track in self.tracks)
                    return
                case Id.CLUSTER:
                    raise ContainerError("the container has a cluster before its tracks")
        self.truncated = True


def _of_other(tag: str) -> str:
    """The name of a statistic, of the other role."""
    role, line, name = tag.partition("_")
    known = role.lower() in tuple(Role)
    return f"{Role(role.lower()).other.upper()}{line}{name}" if known else tag


def _track_entry(track: Track) -> bytes:
    audio = [real(Id.SAMPLING_FREQUENCY, track.clock_rate), uint(Id.CHANNELS, track.channels)]
    if track.bits:
        audio.append(uint(Id.BIT_DEPTH, track.bits))
    return master(
        Id.TRACK_ENTRY,
        uint(Id.TRACK_NUMBER, track.number),
        uint(Id.TRACK_UID, track.number),
        uint(Id.TRACK_TYPE, AUDIO_TRACK),
        uint(Id.FLAG_DEFAULT, track.default),
        uint(Id.FLAG_LACING, 0),
        text(Id.NAME, f"{track.role.value}: {track.name}"),
        text(Id.LANGUAGE, "und"),
        text(Id.CODEC_ID, track.codec_id),
        element(Id.CODEC_PRIVATE, track.private) if track.private else b"",
        master(Id.AUDIO, *audio),
    )


def _chapter_atom(uid: int, chapter: Chapter) -> bytes:
    return master(
        Id.CHAPTER_ATOM,
        uint(Id.CHAPTER_UID, uid),
        uint(Id.CHAPTER_TIME_START, chapter.start * UNIT_NS),
        uint(Id.CHAPTER_TIME_END, chapter.end * UNIT_NS),
        master(Id.CHAPTER_DISPLAY, text(Id.CHAP_STRING, chapter.name), text(Id.CHAP_LANGUAGE, "und")),
    )


def _fields(body: bytes) -> dict[int, bytes]:
    return {found.id: found.body for found in children(body)}


def _info(body: bytes) -> Info:
    fields = _fields(body)
    title = re.fullmatch(r"segment (\S+) part (\d+)", ebml.text_of(fields.get(Id.TITLE, b"")))
    if title is None or ebml.uint_of(fields.get(Id.TIMESTAMP_SCALE, b"")) != UNIT_NS:
        raise ContainerError(
            f"the container's Info lacks its segment, its part or the timestamp scale {UNIT_NS}"
        )
    try:
        recording_id, call_id = (UUID(bytes=fields[id]) for id in (Id.SEGMENT_UUID, Id.SEGMENT_FAMILY))
        (date,) = struct.unpack(">q", fields[Id.DATE_UTC])
    except (KeyError, ValueError, struct.error) as error:
        raise ContainerError("the container's Info lacks its recording id, call id or date") from error
    return Info(str(recording_id), str(call_id), title[1], int(title[2]), date + MATROSKA_EPOCH_NS)


def _track(body: bytes) -> Track:
    fields = _fields(body)
    audio = _fields(fields.get(Id.AUDIO, b""))
    role, _, name = ebml.text_of(fields.get(Id.NAME, b"")).partition(": ")
    if role not in tuple(Role):
        raise ContainerError(f"a track's name begins with {role!r}, not with the role of its leg")
    return Track(
        number=ebml.uint_of(fields.get(Id.TRACK_NUMBER, b"")),
        role=Role(role),
        codec_id=ebml.text_of(fields.get(Id.CODEC_ID, b"")),
        private=fields.get(Id.CODEC_PRIVATE, b""),
        clock_rate=int(ebml.real_of(audio.get(Id.SAMPLING_FREQUENCY, b""))),
        channels=ebml.uint_of(audio.get(Id.CHANNELS, b"")),
        name=name,
        default=bool(ebml.uint_of(fields.get(Id.FLAG_DEFAULT, b"\1"))),
        bits=ebml.uint_of(audio.get(Id.BIT_DEPTH, b"")),
    )


def _block(start: int | None, numbers: set[int], body: bytes) -> Block:
    if start is None:
        raise ContainerError("a block comes before the timestamp of its cluster")
    if len(body) < BLOCK_FIXED:
        raise ContainerError(f"a block has {len(body)} bytes, at least {BLOCK_FIXED} are needed")
    track, time, _ = struct.unpack_from(">BhB", body)
    if track & 0x7F not in numbers:
        raise ContainerError(f"a block is of track {track & 0x7F}, which is not declared")
    return Block(track & 0x7F, start + time, body[BLOCK_FIXED:])


def _chapters(body: bytes) -> tuple[Chapter, ...]:
    atoms = [
        _fields(atom.body)
        for edition in children(body)
        for atom in children(edition.body)
        if atom.id == Id.CHAPTER_ATOM
    ]
    return tuple(
        Chapter(
            ebml.uint_of(atom.get(Id.CHAPTER_TIME_START, b"")) // UNIT_NS,
            ebml.uint_of(atom.get(Id.CHAPTER_TIME_END, b"")) // UNIT_NS,
            ebml.text_of(_fields(atom.get(Id.CHAPTER_DISPLAY, b"")).get(Id.CHAP_STRING, b"")),
        )
        for atom in atoms
    )


def _tags(body: bytes) -> dict[str, str]:
    simple = [
        _fields(found.body)
        for tag in children(body)
        for found in children(tag.body)
        if found.id == Id.SIMPLE_TAG
    ]
    return {
        ebml.text_of(tag.get(Id.TAG_NAME, b"")): ebml.text_of(tag.get(Id.TAG_STRING, b"")) for tag in simple
    }
