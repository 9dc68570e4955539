from __future__ import annotations

import json
import stat
import subprocess
import wave
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pytest

from gateway.codecs.g711 import A_LAW, MU_LAW
from gateway.codecs.registry import Codec, by_name
from gateway.export import BOTH, ExportError, Format, export, sample_rate
from gateway.recording.model import Redaction, Role
from gateway.storage import container
from tests.codecs.coded import opus

PCMA, PCMU = by_name("PCMA", 8000), by_name("PCMU", 8000)
RECORDING, CALL, SEGMENT = (str(UUID(int=number)) for number in (1, 2, 3))
SECOND = 8000

Pcm = npt.NDArray[np.int16]


def noise(seconds: float, seed: int) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, int(seconds * SECOND), np.uint8).tobytes()


def track(number: int, role: Role, codec: Codec = PCMA) -> container.Track:
    return container.Track(
        number,
        role,
        codec.matroska_id,
        codec.private,
        codec.clock_rate,
        1,
        role.value,
        number == 1,
        codec.bits,
    )


def part(
    tracks: list[container.Track],
    audio: list[tuple[int, int, bytes]],
    chapters: tuple[container.Chapter, ...] = (),
) -> container.Reader:
    """A part with 100 ms blocks of (track, time, payload)."""
    blocks = [
        container.Block(number, time + at, payload[at : at + 800])
        for number, time, payload in audio
        for at in range(0, len(payload), 800)
    ]
    blocks.sort(key=lambda block: block.time)
    plain = [
        container.header(RECORDING, CALL, SEGMENT, 1, tracks, 10**18),
        *(container.cluster([block]) for block in blocks),
    ]
    return container.read([*plain, container.trailer({"CAUSE": "test"}, chapters)])


def call() -> container.Reader:
    """Three seconds: the external leg from 0, the agent's from 0.5 s to 2.5 s."""
    tracks = [track(1, Role.EXTERNAL), track(2, Role.AGENT)]
    return part(tracks, [(1, 0, noise(3, 1)), (2, SECOND // 2, noise(2, 2))])


def decoded(path: Path, *options: str) -> Pcm:
    """What ffmpeg hears, as (samples, channels) of 16 bit."""
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", path], check=True, capture_output=True
    )
    channels = json.loads(probe.stdout)["streams"][0]["channels"]
    out = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, *options, "-f", "s16le", "-"], check=True, capture_output=True
    )
    return np.frombuffer(out.stdout, np.int16).reshape(-1, channels)


@pytest.mark.parametrize("form", [Format.WAV, Format.FLAC])
def test_both_legs_are_exact_external_left_agent_right(tmp_path: Path, form: Format) -> None:
    output = tmp_path / f"call.{form}"
    export([call()], BOTH, form, output, length_units=3 * SECOND)
    heard = decoded(output)
    assert heard[:, 0].tolist() == A_LAW.decode(noise(3, 1)).tolist()
    assert heard[4000:20_000, 1].tolist() == A_LAW.decode(noise(2, 2)).tolist()
    assert not heard[:4000, 1].any()
    assert not heard[20_000:, 1].any()


def test_one_leg_is_mono(tmp_path: Path) -> None:
    export([call()], (Role.AGENT,), Format.WAV, tmp_path / "agent.wav", length_units=3 * SECOND)
    with wave.open(str(tmp_path / "agent.wav")) as heard:
        assert (heard.getnchannels(), heard.getframerate(), heard.getnframes()) == (1, 8000, 3 * SECOND)
        pcm = np.frombuffer(heard.readframes(3 * SECOND), "<i2")
    assert pcm[4000:20_000].tolist() == A_LAW.decode(noise(2, 2)).tolist()


@pytest.mark.parametrize("legs", [BOTH, (Role.EXTERNAL,)])
def test_mp3_keeps_length_place_and_sound(tmp_path: Path, legs: tuple[Role, ...]) -> None:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(2 * SECOND) / SECOND)).astype(np.int16)
    levels = np.argsort(A_LAW.table, kind="stable")
    coded = bytes(levels[np.searchsorted(A_LAW.table[levels], tone).clip(0, 255)].astype(np.uint8))
    source = part([track(1, Role.EXTERNAL), track(2, Role.AGENT)], [(1, SECOND, coded)])
    output = tmp_path / "call.mp3"
    export([source], legs, Format.MP3, output, length_units=4 * SECOND)
    heard = decoded(output).astype(np.float64)
    assert heard.shape == (4 * SECOND, len(legs))
    expected = np.zeros(4 * SECOND)
    expected[SECOND : 3 * SECOND] = tone
    assert np.corrcoef(heard[:, 0], expected)[0, 1] > 0.99
    assert np.abs(heard[:6000]).max() < 400


def test_matroska_keeps_the_payload_and_the_gap(tmp_path: Path) -> None:
    output = tmp_path / "call.mka"
    export([call()], BOTH, Format.MKA, output, length_units=3 * SECOND)
    reader = container.read([output.read_bytes()])
    blocks = list(reader.blocks())
    assert b"".join(b.payload for b in blocks if b.track == 1) == noise(3, 1)
    assert b"".join(b.payload for b in blocks if b.track == 2) == noise(2, 2)
    assert min(b.time for b in blocks if b.track == 2) == SECOND // 2
    assert reader.tags == {"CAUSE": "test"}
    external = decoded(output, "-map", "0:0")
    assert external[:, 0].tolist() == A_LAW.decode(noise(3, 1)).tolist()


def test_matroska_of_one_leg_has_one_track(tmp_path: Path) -> None:
    output = tmp_path / "agent.mka"
    export([call()], (Role.AGENT,), Format.MKA, output, length_units=3 * SECOND)
    reader = container.read([output.read_bytes()])
    assert [(t.number, t.role) for t in reader.tracks] == [(1, Role.AGENT)]
    assert b"".join(b.payload for b in reader.blocks()) == noise(2, 2)


def two_parts() -> list[container.Reader]:
    """A worker died after one second; the other part begins half a second later, in another codec."""
    chapter = container.Chapter(SECOND, SECOND + 100, "pause")
    first = part([track(1, Role.EXTERNAL)], [(1, 0, noise(1, 1))], (chapter,))
    tracks = [track(1, Role.EXTERNAL, PCMU), track(2, Role.EXTERNAL)]
    second = part(tracks, [(1, 12_000, noise(5, 2)), (2, 52_000, noise(1, 3))])
    return [first, second]


def test_parts_and_codecs_join_on_one_clock(tmp_path: Path) -> None:
    export(two_parts(), (Role.EXTERNAL,), Format.WAV, tmp_path / "call.wav", length_units=60_000)
    heard = decoded(tmp_path / "call.wav")[:, 0]
    assert heard[:8000].tolist() == A_LAW.decode(noise(1, 1)).tolist()
    assert not heard[8000:12_000].any()
    assert heard[12_000:52_000].tolist() == MU_LAW.decode(noise(5, 2)).tolist()
    assert heard[52_000:].tolist() == A_LAW.decode(noise(1, 3)).tolist()


def test_parts_join_into_one_matroska_file(tmp_path: Path) -> None:
    output = tmp_path / "call.mka"
    export(two_parts(), BOTH, Format.MKA, output, length_units=60_000)
    reader = container.read([output.read_bytes()])
    blocks = list(reader.blocks())
    assert sorted({track.private for track in reader.tracks}) == sorted({PCMA.private, PCMU.private})
    assert b"".join(b.payload for b in blocks) == noise(1, 1) + noise(5, 2) + noise(1, 3)
    assert [chapter.name for chapter in reader.chapters] == ["pause"]


def test_a_redaction_is_silence_also_where_one_packet_is_missing(tmp_path: Path) -> None:
    payload = noise(1, 1)
    source = part([track(1, Role.EXTERNAL)], [(1, 0, payload[:4000]), (1, 4160, payload[4160:])])
    redacted = Redaction(4000, 4160, (Role.EXTERNAL,), "dtmf")
    output = tmp_path / "call.wav"
    export([source], (Role.EXTERNAL,), Format.WAV, output, length_units=SECOND, redactions=(redacted,))
    assert not decoded(output)[4000:4160].any()


def test_only_the_owner_reads_it_and_nothing_else_is_left(tmp_path: Path) -> None:
    output = tmp_path / "call.wav"
    export([call()], BOTH, Format.WAV, output, length_units=3 * SECOND)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [output]


def test_an_existing_file_is_left_unless_forced(tmp_path: Path) -> None:
    output = tmp_path / "call.wav"
    output.write_text("mine")
    with pytest.raises(ExportError, match="exists already"):
        export([call()], BOTH, Format.WAV, output, length_units=0)
    assert output.read_text() == "mine"
    export([call()], BOTH, Format.WAV, output, length_units=0, force=True)
    assert output.read_bytes().startswith(b"RIFF")


@pytest.mark.parametrize("form", list(Format))
def test_a_failing_source_leaves_nothing_behind(tmp_path: Path, form: Format) -> None:
    odd = container.Track(1, Role.EXTERNAL, "A_OPUS", b"", 48_000, 1, "external", True, 0)
    with pytest.raises(ExportError, match="A_OPUS"):
        export([part([odd], [(1, 0, b"\x01")])], BOTH, form, tmp_path / "call", length_units=0)
    assert not list(tmp_path.iterdir())


def test_a_leg_that_was_never_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no audio of the agent leg: the recordings hold external"):
        export(two_parts(), (Role.AGENT,), Format.WAV, tmp_path / "call.wav", length_units=0)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nowhere"):
        export([call()], BOTH, Format.WAV, tmp_path / "nowhere" / "call.wav", length_units=0)


@pytest.mark.parametrize("form", list(Format))
def test_progress_rises_to_the_whole(tmp_path: Path, form: Format) -> None:
    seen: list[tuple[int, int]] = []
    source = part([track(1, Role.EXTERNAL)], [(1, 0, noise(25, 1))])
    export(
        [source],
        BOTH,
        form,
        tmp_path / "call",
        length_units=25 * SECOND,
        progress=lambda *step: seen.append(step),
    )
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == (25 * SECOND, 25 * SECOND)


def test_a_file_that_appears_meanwhile_is_left(tmp_path: Path) -> None:
    output = tmp_path / "call.wav"

    def meanwhile(done: int, total: int) -> None:
        output.write_text("mine")

    with pytest.raises(ExportError, match="exists already"):
        export([call()], BOTH, Format.WAV, output, length_units=0, progress=meanwhile)
    assert output.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [output]


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    output = tmp_path / "call.wav"
    export([call()], BOTH, Format.WAV, output, length_units=0)
    assert list(tmp_path.iterdir()) == [output]


def linear_track(number: int, role: Role, rate: int) -> container.Track:
    return replace(track(number, role, by_name("L16", rate)), clock_rate=rate)


@pytest.mark.parametrize(("used", "rate"), [((1,), 8000), ((1, 2), 16_000), ((), 8000)])
def test_the_rate_is_the_highest_that_was_used(used: tuple[int, ...], rate: int) -> None:
    tracks = [
        track(1, Role.EXTERNAL),
        linear_track(2, Role.EXTERNAL, 16_000),
        linear_track(3, Role.AGENT, 48_000),
    ]
    blocks = [(number, number * SECOND, bytes(3200)) for number in used]
    assert sample_rate([part(tracks, blocks)], (Role.EXTERNAL,)) == rate
    assert sample_rate([part(tracks[2:], [])], BOTH) == 48_000


@pytest.mark.parametrize("form", [Format.WAV, Format.FLAC, Format.MP3])
@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_a_file_has_the_rate_asked_for(tmp_path: Path, form: Format, rate: int) -> None:
    spoken = (6000 * np.sin(2 * np.pi * 440 * np.arange(2 * rate) / rate)).astype(np.int16)
    tracks = [linear_track(1, Role.EXTERNAL, rate), track(2, Role.AGENT)]
    pieces = np.split(spoken, np.arange(rate // 10, 2 * rate, rate // 10))
    audio = [(1, 800 * place, piece.astype(">i2").tobytes()) for place, piece in enumerate(pieces)]
    blocks = [container.Block(*block) for block in audio]
    plain = container.header(RECORDING, CALL, SEGMENT, 1, tracks, 10**18) + container.cluster(blocks)
    output = tmp_path / f"call.{form}"
    export([container.read([plain])], BOTH, form, output, length_units=2 * SECOND, rate=rate)
    heard = decoded(output)
    assert heard.shape == (2 * rate, 2)
    if form is Format.MP3:
        assert np.corrcoef(heard[:, 0], spoken)[0, 1] > 0.99
    else:
        assert heard[:, 0].tolist() == spoken.tolist()


def test_opus_leaves_as_it_came(tmp_path: Path) -> None:
    stream = opus(20)
    tracks = [replace(track(1, Role.EXTERNAL, stream.codec), clock_rate=48_000, channels=2)]
    blocks = [container.Block(1, 160 * place, payload) for place, payload in enumerate(stream.payloads)]
    plain = container.header(RECORDING, CALL, SEGMENT, 1, tracks, 10**18) + container.cluster(blocks)
    output = tmp_path / "call.mka"
    export([container.read([plain])], (Role.EXTERNAL,), Format.MKA, output, length_units=2 * SECOND)
    kept = container.read([output.read_bytes()])
    assert [block.payload for block in kept.blocks()] == stream.payloads
    assert decoded(output).shape == (len(stream.payloads) * 960, 2)
