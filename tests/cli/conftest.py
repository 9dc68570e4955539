"""A vault with calls in it, and the command line run against it in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.storage.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Hushtap = Callable[..., Outcome]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and nothing in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUSHTAP_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def recorder(here: Path) -> Iterator[Recorder]:
    """A vault where the defaults have it."""
    made = Recorder.at(here / "hushtap-data")
    yield made
    made.index.close()


@pytest.fixture
def unmeasured(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's speech is measured, which takes a process of its own each time."""
    (here / "hushtap.toml").write_text("[speech]\nmeasure = false\n", encoding="utf-8")
    monkeypatch.setenv("HUSHTAP_CONFIG", "hushtap.toml")


@pytest.fixture
def hushtap(here: Path, capsys: pytest.CaptureFixture[str]) -> Hushtap:
    """Runs one command line; a wrong one ends as argparse ends it, with status 2."""

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        try:
            status = main(list(words))
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(status, captured.out, captured.err)

    return run
