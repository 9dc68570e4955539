from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.page.switchboard import Switchboard, switchboard
from tests.hotkey.desktop import Desktop, desktop


@pytest.fixture(scope="package")
def screen() -> Iterator[Desktop]:
    with desktop() as running:
        yield running


@pytest.fixture
def gateway() -> Iterator[Switchboard]:
    with switchboard() as started:
        yield started


@pytest.fixture
def player(tmp_path: Path) -> Path:
    """A folder of commands with a player that notes what it was to play, a line each, in `played`."""
    folder = tmp_path / "players"
    folder.mkdir()
    command = folder / "paplay"
    command.write_text(f'#!/bin/sh\nhead -c 4 "$1" | grep -q RIFF && basename "$1" .wav >> {folder}/played\n')
    command.chmod(0o755)
    return folder
