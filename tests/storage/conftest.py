"""What the storage tests share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.recorder import Recorder


@pytest.fixture(scope="session")
def new_vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage folder with keys and an empty index, to be copied: making one takes a tenth of a second."""
    folder = tmp_path_factory.mktemp("vault") / "data"
    Recorder.at(folder).index.close()
    return folder


@pytest.fixture
def recorder(new_vault: Path, tmp_path: Path) -> Iterator[Recorder]:
    made = Recorder.at(shutil.copytree(new_vault, tmp_path / "data"))
    yield made
    made.index.close()
