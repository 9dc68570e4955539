"""The tones are WAV files that cannot be taken for one another."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import pytest

from gateway.hotkey import player
from gateway.hotkey.desk import Tone
from gateway.hotkey.tones import wav


def samples(tone: Tone) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    with wave.open(io.BytesIO(wav(tone))) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)


@pytest.mark.parametrize("tone", Tone)
def test_a_tone_is_short_heard_and_does_not_click(tone: Tone) -> None:
    made = samples(tone)
    assert 0.1 < len(made) / 22_050 < 0.8
    assert 3_000 < np.abs(made).max() < 16_000
    assert abs(made[0]) < 100
    assert abs(made[-1]) < 1_500


def test_no_two_are_alike() -> None:
    made = [samples(tone) for tone in Tone]
    spectra = [np.abs(np.fft.rfft(each, 1 << 15)) for each in made]
    halves = [np.abs(np.fft.rfft(each[: len(each) // 3], 1 << 15)) for each in made]
    for one in range(len(made)):
        for other in range(one):
            whole = np.corrcoef(spectra[one], spectra[other])[0, 1]
            begun = np.corrcoef(halves[one], halves[other])[0, 1]
            assert min(whole, begun) < 0.5


def test_a_player_that_fails_gives_way_to_the_next_and_to_the_bell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "paplay").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "aplay").write_text(f'#!/bin/sh\necho "$2" > {tmp_path}/played\n')
    for name in ("paplay", "aplay"):
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    playing = player.Player()
    playing.sound(Tone.OFF)
    playing.close()
    assert (tmp_path / "played").read_text().strip().endswith("off.wav")
    (tmp_path / "aplay").unlink()
    playing = player.Player()
    playing.sound(Tone.OFF)
    playing.close()
    assert capsys.readouterr().out == "\a"


def test_a_player_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "paplay").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (tmp_path / "paplay").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(player, "PLAY_SECONDS", 0.2)
    assert not player.by_command(Tone.OFF, tmp_path)
