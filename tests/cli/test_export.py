"""`export`: the file, and the line in the access log that must come first."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import av
import pytest

from gateway.recording.model import CallFacts
from gateway.storage import access
from gateway.storage.container import read
from tests.cli.conftest import Hushtap, Outcome
from tests.storage.recorder import PATTERN, Recorder


def export(
    hushtap: Hushtap, call: CallFacts, output: str, *more: str, reason: str = "complaint 4711"
) -> Outcome:
    return hushtap(
        *("export", call.id, "--format", output.rpartition(".")[2], "--output", output, "--reason", reason),
        *more,
    )


@pytest.mark.parametrize(
    ("form", "reader"), [("wav", "wav"), ("mp3", "mp3"), ("flac", "flac"), ("mka", "matroska,webm")]
)
def test_every_format_opens(hushtap: Hushtap, recorder: Recorder, form: str, reader: str) -> None:
    outcome = export(hushtap, recorder.call(1), f"call.{form}")
    assert (outcome.status, outcome.out) == (0, f"call.{form}\n"), outcome.err
    with av.open(f"call.{form}") as file:
        assert file.format.name == reader
    assert Path(f"call.{form}").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("leg", "channels"), [("both", 2), ("external", 1), ("agent", 1)])
def test_legs(hushtap: Hushtap, recorder: Recorder, leg: str, channels: int) -> None:
    assert export(hushtap, recorder.call(1), "call.wav", "--leg", leg).status == 0
    with wave.open("call.wav") as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getnframes()) == (channels, 8000, 32_000)


def test_the_reason_is_kept_sealed(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    export(hushtap, call, "call.wav", reason="asked by Grace Hopper")
    log = recorder.vault.directory / access.FILE
    assert log.stat().st_mode & 0o777 == 0o600
    assert b"Hopper" not in log.read_bytes()
    assert call.id.encode() in log.read_bytes()
    (entry,) = access.read(recorder.vault.directory, recorder.private)
    assert (entry.call_id, entry.action) == (call.id, "export")
    assert entry.details == {"reason": "asked by Grace Hopper", "leg": "both", "format": "wav"}


@pytest.mark.parametrize("form", ["unsigned", "signed"])
def test_a_vcon(hushtap: Hushtap, recorder: Recorder, form: str) -> None:
    sign = ("--sign",) if form == "signed" else ()
    assert export(hushtap, recorder.call(1), "call.vcon", *sign).status == 0
    vcon = json.loads(Path("call.vcon").read_bytes())
    assert ("signatures" in vcon) == (form == "signed")
    (entry,) = access.read(recorder.vault.directory, recorder.private)
    assert (entry.details["format"], entry.details.get("signed")) == ("vcon", "yes" if sign else None)


def test_only_a_vcon_is_signed_and_only_with_the_key(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    assert "--sign is for --format vcon" in export(hushtap, call, "call.wav", "--sign").err
    recorder.paths.node.unlink()
    outcome = export(hushtap, call, "call.vcon", "--sign")
    assert outcome.status == 2
    assert "node.key" in outcome.err
    assert not Path("call.vcon").exists()


def test_nothing_is_exported_when_the_log_cannot_be_written(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    (recorder.vault.directory / access.FILE).mkdir()
    outcome = export(hushtap, call, "call.wav")
    assert outcome.status == 2
    assert access.FILE in outcome.err
    assert not Path("call.wav").exists()


def test_an_existing_file_is_left_alone(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    Path("call.wav").write_text("mine")
    assert export(hushtap, call, "call.wav").status == 2
    assert Path("call.wav").read_text() == "mine"
    assert export(hushtap, call, "call.wav", "--force").status == 0


def test_a_torn_part_is_exported_as_far_as_it_goes(hushtap: Hushtap, recorder: Recorder) -> None:
    call, key = recorder.begin(1)
    done = recorder.finish(call, recorder.write_part(call, key, torn=True))
    assert export(hushtap, done, "call.mka").status == 0
    assert Path("call.mka").read_bytes().count(PATTERN * 40) > 60


def test_a_torn_part_cut_further_is_refused(hushtap: Hushtap, recorder: Recorder) -> None:
    call, key = recorder.begin(1)
    done = recorder.finish(call, recorder.write_part(call, key, torn=True))
    path = recorder.part_path(done)
    path.write_bytes(path.read_bytes()[:-4096])
    outcome = export(hushtap, done, "call.mka")
    assert outcome.status == 2
    assert "that were signed" in outcome.err
    assert not Path("call.mka").exists()


def test_an_altered_part_is_refused(hushtap: Hushtap, recorder: Recorder) -> None:
    call = recorder.call(1)
    path = recorder.part_path(call)
    data = bytearray(path.read_bytes())
    data[10_000] ^= 1
    path.write_bytes(data)
    outcome = export(hushtap, call, "call.wav")
    assert outcome.status == 2
    assert "segment 2" in outcome.err
    assert not Path("call.wav").exists()


def test_what_cannot_be_exported(hushtap: Hushtap, recorder: Recorder) -> None:
    running, _ = recorder.begin(1)
    assert "still being recorded" in export(hushtap, running, "call.wav").err
    done = recorder.call(2)
    recorder.vault.destroy_key(done.recordings[0].id)
    assert export(hushtap, done, "call.wav").status == 2
    recorder.paths.vault_private.unlink()
    refused = export(hushtap, done, "call.wav")
    assert refused.status == 2
    assert "private key" in refused.err


@pytest.mark.parametrize("form", ["wav", "mka", "vcon"])
def test_what_the_record_redacts_is_left_out_even_where_it_is_stored(
    hushtap: Hushtap, recorder: Recorder, form: str
) -> None:
    """The recorder's calls say that 800 to 1600 is redacted, and store it all the same."""
    call = recorder.call(1)
    assert export(hushtap, call, f"call.{form}").status == 0
    assert export(hushtap, call, "call.mka", "--force").status == 0
    with Path("call.mka").open("rb") as file:
        kept = [(block.time, len(block.payload)) for block in read([file.read()]).blocks()]
    assert not any(start < 1600 and start + size > 800 for start, size in kept)
    if form == "wav":
        with wave.open("call.wav") as sound:
            heard = sound.readframes(3200)
        assert not any(heard[800 * 4 : 1600 * 4])
        assert any(heard[: 800 * 4])
