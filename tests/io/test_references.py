"""Notices are read from files people have; what cannot be read is told in one sentence, before anything is recorded."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gateway.config.notice import NoticeSettings
from gateway.io.references import ReferenceFault, read_notices, read_reference
from gateway.recording.model import Direction
from gateway.recording.notice import RATE
from tests.recording import noticed


def written(folder: Path, name: str, *options: str, samples: noticed.Pcm | None = None) -> Path:
    path = folder / name
    data = (noticed.notice() if samples is None else samples).tobytes()
    command = ["ffmpeg", "-v", "error", "-f", "s16le", "-ar", "8000", "-i", "-", *options, str(path)]
    subprocess.run(command, input=data, check=True)
    return path


@pytest.mark.parametrize(
    "form",
    [
        ("a.wav",),
        ("a.flac",),
        ("a.wav", "-ar", "44100", "-ac", "2"),
        ("a.flac", "-ar", "48000"),
        ("a.wav", "-c:a", "pcm_alaw"),
        ("a.wav", "-c:a", "pcm_f32le", "-ar", "16000"),
    ],
)
def test_any_wav_or_flac_will_do(tmp_path: Path, form: tuple[str, ...]) -> None:
    reference = read_reference("welcome", written(tmp_path, *form))
    found = noticed.heard(
        reference, np.concatenate((noticed.silence(2), noticed.notice(), noticed.silence(2)))
    )
    assert found
    assert found.share > 0.95
    assert abs(found.start - 2 * RATE) < RATE // 50


def test_settings_become_what_the_analyst_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, "welcome.wav")
    told = read_notices(NoticeSettings(references={"welcome": path}, within_seconds=20, share_percent=90))
    (notice,) = told.references
    assert notice.name == "welcome"
    assert base64.b64decode(notice.samples) == noticed.notice().astype("<i2").tobytes()
    assert (told.share_percent, told.within_units) == (90, 160_000)
    assert told.directions == (Direction.INBOUND,)
    assert read_notices(NoticeSettings()).references == ()


def test_faults_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("not sound")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    cases = {
        tmp_path / "none.wav": "cannot be read: No such file or directory",
        tmp_path / "folder.wav": "cannot be read: ",
        tmp_path / "text.wav": "cannot be read: Invalid data found when processing input",
        tmp_path / "empty.wav": "cannot be read: Invalid data found when processing input",
        written(tmp_path, "short.wav", samples=noticed.notice()[:8000]): "it lasts 1.0 s, expected are",
        written(
            tmp_path, "long.flac", samples=np.resize(noticed.notice(), 90 * RATE)
        ): "expected are 2 to 60 s",
        written(tmp_path, "silent.wav", samples=noticed.silence(5)): "it is silent",
    }
    for path, why in cases.items():
        with pytest.raises(ReferenceFault) as fault:
            read_notices(NoticeSettings(references={"welcome": path}))
        assert str(fault.value).startswith(f"{path}: notice 'welcome' cannot be ")
        assert why in str(fault.value)
        assert "\n" not in str(fault.value)


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_the_gateway_does_not_start_without_its_notice(tmp_path: Path, command: str) -> None:
    config = tmp_path / "hushtap.toml"
    config.write_text(
        '[notice]\nreferences = { welcome = "none.wav" }\n[api]\nport = 0\n[metrics]\nport = 0\n'
    )
    done = subprocess.run(
        [sys.executable, "-m", "gateway", command, "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 2
    *_, line = done.stderr.splitlines()
    assert line == f"hushtap: {tmp_path}/none.wav: notice 'welcome' cannot be read: No such file or directory"
