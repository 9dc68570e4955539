"""The container, judged by ffmpeg."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.model import Role
from gateway.storage.container import (
    Block,
    Chapter,
    ContainerError,
    Track,
    cluster,
    header,
    read,
    trailer,
    void,
)

RECORDING, CALL, SEGMENT = (f"0199d6a4-0000-7000-8000-00000000000{n}" for n in (1, 2, 3))
STARTED_NS = 1_795_000_000_000_000_000
ALAW, MULAW = 0x0006, 0x0007


def g711(number: int, role: Role, tag: int) -> Track:
    private = struct.pack("<HHIIHHH", tag, 1, 8000, 8000, 1, 8, 0)
    return Track(number, role, "A_MS/ACM", private, 8000, 1, "G.711", number == 1, 8)


TRACKS = (g711(1, Role.EXTERNAL, ALAW), g711(2, Role.AGENT, MULAW))
HEAD = header(RECORDING, CALL, SEGMENT, 1, TRACKS, STARTED_NS)
TAGS = {"LEG_EXTERNAL_PACKETS": "150", "NOTE": "Grüße"}
CHAPTERS = (Chapter(8000, 16000, "pause"), Chapter(20000, 20001, "dtmf"))


def block(track: int, index: int) -> Block:
    return Block(track, index * 800, bytes((track * 50 + index + i) % 256 for i in range(800)))


BLOCKS = [block(track, index) for index in range(100) for track in (1, 2)]  # ten seconds of both legs


def live_file() -> bytes:
    groups = [BLOCKS[i : i + 40] for i in range(0, len(BLOCKS), 40)]
    body = b"".join(cluster(group) + void(2 + 127 * i) for i, group in enumerate(groups))
    return HEAD + body + trailer(TAGS, CHAPTERS)


def ffmpeg_payload(path: Path, track: int) -> bytes:
    codec = ("alaw", "mulaw")[track]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-map", f"0:{track}", "-c", "copy", "-f", codec, "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    return done.stdout


def payload(blocks: list[Block], track: int) -> bytes:
    return b"".join(b.payload for b in blocks if b.track == track)


def test_ffmpeg_reads_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "whole.mka"
    path.write_bytes(live_file())
    for track in (0, 1):
        assert ffmpeg_payload(path, track) == payload(BLOCKS, track + 1)


def test_ffprobe_reads_tracks_tags_and_chapters(tmp_path: Path) -> None:
    """It takes tags and chapters only from before the first cluster, so here they go there."""
    path = tmp_path / "tagged.mka"
    first_cluster = 8
    path.write_bytes(HEAD[:-first_cluster] + trailer(TAGS, CHAPTERS) + cluster(BLOCKS[:40]))
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_format", "-show_streams", "-show_chapters", path],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    for line in (
        "codec_name=pcm_alaw", "codec_name=pcm_mulaw", "sample_rate=8000", "TAG:title=external: G.711",
        "TAG:NOTE=Grüße", "TAG:title=pause", "start_time=1.000000", "end_time=2.000000", "time_base=1/8000",
        f"TAG:title=segment {SEGMENT} part 1", "TAG:creation_time=2026-11-18T11:06:40.000000Z",
    ):  # fmt: skip
        assert line in shown


@pytest.mark.parametrize("cut", [0, 1, 30, 31, 400, 5_000, 32_600, 65_000, 100_001, 161_000])
def test_ffmpeg_reads_a_file_cut_anywhere(tmp_path: Path, cut: int) -> None:
    whole = live_file()
    path = tmp_path / "cut.mka"
    path.write_bytes(whole[: len(HEAD) + cut])
    kept = list(read([path.read_bytes()]).blocks())
    for track in (0, 1):
        mine, theirs, sent = payload(kept, track + 1), ffmpeg_payload(path, track), payload(BLOCKS, track + 1)
        assert sent.startswith(theirs)
        assert len(mine) <= len(theirs) <= len(mine) + 800  # ffmpeg may give the cut block's bytes, too


def test_gaps_stay_on_the_clock(tmp_path: Path) -> None:
    path = tmp_path / "gap.mka"
    path.write_bytes(HEAD + cluster([block(1, 0), block(2, 0)]) + cluster([block(1, 70), block(2, 70)]))
    times = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=pts", "-of", "csv=p=0", path],
        capture_output=True, check=True, text=True,
    ).stdout.split()  # fmt: skip
    assert [int(time.strip(",")) for time in times] == [0, 0, 56000, 56000]


def test_what_was_written_is_read() -> None:
    reader = read([live_file()])
    assert reader.info is not None
    assert reader.info.recording_id == RECORDING
    assert (reader.info.call_id, reader.info.segment_id, reader.info.part) == (CALL, SEGMENT, 1)
    assert reader.info.date_ns == STARTED_NS
    assert reader.tracks == TRACKS
    assert list(reader.blocks()) == BLOCKS
    assert reader.tags == TAGS
    assert reader.chapters == CHAPTERS
    assert not reader.truncated


def test_the_size_of_the_chunks_does_not_matter() -> None:
    whole = live_file()[:20_000]
    for step in (1, 7, 4080):
        reader = read(whole[i : i + step] for i in range(0, len(whole), step))
        assert list(reader.blocks()) == list(read([whole]).blocks())
        assert reader.truncated


@given(st.integers(0, 40_000))
def test_every_cut_gives_what_was_whole(cut: int) -> None:
    reader = read([live_file()[:cut]])
    blocks = list(reader.blocks())
    assert blocks == BLOCKS[: len(blocks)]
    assert len(blocks) >= (cut - len(HEAD) - 600) // 808


@given(st.binary(max_size=200), st.integers(0, len(HEAD) + 200))
def test_nonsense_raises_only_container_error(noise: bytes, at: int) -> None:
    whole = live_file()[: len(HEAD) + 2000]
    try:
        list(read([whole[:at] + noise + whole[at:]]).blocks())
        list(read([noise]).blocks())
    except ContainerError:
        pass


@given(
    st.lists(
        st.tuples(st.integers(1, 126), st.integers(10**9, 10**9 + 32_000), st.binary(max_size=300)),
        min_size=1,
    )
)
def test_any_blocks_come_back(rows: list[tuple[int, int, bytes]]) -> None:
    blocks = [Block(*row) for row in rows]
    tracks = [g711(n, Role.AGENT, ALAW) for n in range(1, 127)]
    head = header(RECORDING, CALL, SEGMENT, 2, tracks, STARTED_NS)
    assert list(read([head, cluster(blocks)]).blocks()) == blocks


def test_too_wide_a_cluster_is_refused() -> None:
    cluster([Block(1, 0, b"a"), Block(1, 32_000, b"b")])
    with pytest.raises(ContainerError, match="spans at most"):
        cluster([Block(1, 0, b"a"), Block(1, 32_001, b"b")])
    with pytest.raises(ContainerError, match="spans at most"):
        cluster([Block(1, -1, b"a")])


@pytest.mark.parametrize("size", [2, 3, 127, 128, 129, 130, 4096, 16_384, 70_000])
def test_a_void_has_exactly_its_size_and_is_passed_over(size: int) -> None:
    assert len(void(size)) == size
    assert list(read([HEAD, void(size), cluster(BLOCKS[:2])]).blocks()) == BLOCKS[:2]


def test_a_void_of_one_byte_is_refused() -> None:
    with pytest.raises(ContainerError, match="at least 2"):
        void(1)
