from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from gateway.demo import show
from gateway.demo.gateway_process import DemoError, Gateway

STUB = (sys.executable, str(Path(__file__).with_name("stub_gateway.py")))


def demonstrate(folder: Path) -> tuple[int, str]:
    """Exit code and what a person sees."""
    screen = Console(file=io.StringIO(), width=120)
    code = asyncio.run(show.run(folder, screen, seconds=0.3, program=STUB))
    assert isinstance(screen.file, io.StringIO)
    return code, screen.file.getvalue()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "LOOK_SECONDS", 0.05)


def test_three_calls_are_recorded_verified_and_exported(tmp_path: Path) -> None:
    code, seen = demonstrate(tmp_path)
    assert code == 0, seen
    (run,) = tmp_path.iterdir()
    names = {file.name for file in (run / "exports").iterdir()}
    assert names == {f"{name}.{form}" for name in ("inbound", "outbound", "rough") for form in ("wav", "mp3")}
    assert "5 % loss, jitter, reordering" in seen
    assert str(run / "exports" / "rough.mp3") in seen


def test_a_forged_recording_is_told_and_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUB_FAULT", "forged")
    code, seen = demonstrate(tmp_path)
    assert code == 1
    assert "byte 7 differs" in seen


@pytest.mark.parametrize(("fault", "told"), [("full", "503 Service Unavailable"), ("dies", "ended with 3")])
def test_what_went_wrong_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, told: str
) -> None:
    monkeypatch.setenv("STUB_FAULT", fault)
    code, seen = demonstrate(tmp_path)
    assert code == 1
    assert told in seen


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import sys; sys.exit('no such call')", "hushtap calls --json ended with 1: no such call"),
        ("print('oops')", "hushtap calls --json printed no JSON"),
    ],
)
def test_a_failing_command_is_told_with_its_words(tmp_path: Path, program: str, told: str) -> None:
    gateway = Gateway(tmp_path / "run", (sys.executable, "-c", program))
    with pytest.raises(DemoError, match=told):
        asyncio.run(gateway.table("calls"))
