"""What recording costs here, tried on a worker's own steps."""

from __future__ import annotations

import resource
from contextlib import ExitStack
from pathlib import Path

import pytest

from gateway.config.settings import Settings
from gateway.io import calibration
from gateway.io.calibration import CannotCalibrate, calibrate


def test_it_measures_everything_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "MANY", 60)
    costs = calibrate(Settings(), tmp_path)
    # A call-second is a hundred packets: on no machine a microsecond's work, nor a tenth of a second's.
    assert 0.001 < costs.tick_ms < 100
    assert costs.tick_ms <= costs.worker_ms * 2
    assert 0.01 < costs.pace < 100
    assert costs.disk_bytes > 1000
    assert not list(tmp_path.iterdir())


def test_every_call_is_recorded_meanwhile(tmp_path: Path) -> None:
    """What is measured is the work of recording: all that was sent and has waited its time is in the files."""
    with ExitStack() as stack:
        trial = calibration._Trial(4, Settings(), tmp_path, stack)
        trial.second()
    files = list(tmp_path.iterdir())
    ticks = calibration.SETTLING_TICKS + calibration.TICKS
    seconds = ticks / calibration.TICKS - calibration.HOLD_BACK_NS / calibration.NS
    assert len(files) == 4
    for file in files:
        assert 2 * 8000 * (seconds - 1) < file.stat().st_size < 2 * 8000 * (seconds + 1)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CannotCalibrate, match="No such file"):
        calibrate(Settings(), tmp_path / "gone")


def test_too_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (150, 150))
    with pytest.raises(CannotCalibrate, match="150 open files"):
        calibrate(Settings(), tmp_path)
