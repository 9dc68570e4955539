"""The example in docs/formats.md reads what is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from gateway.storage.container import read
from tests.storage.recorder import BLOCKS, Recorder

PAGE = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_example_turns_a_part_into_a_playable_file(recorder: Recorder, tmp_path: Path) -> None:
    facts = recorder.call(1)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) <= 30  # short enough to be read as part of the page
    plain = tmp_path / "plain.mka"
    with plain.open("wb") as out:
        arguments = [sys.executable, "-c", example, recorder.vault.directory, recorder.part_path(facts)]
        subprocess.run(arguments, stdout=out, check=True)
    assert list(read([plain.read_bytes()]).blocks()) == BLOCKS
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", plain, "-map", "0:1", "-c", "copy", "-f", "alaw", "-"],
        capture_output=True,
        check=True,
    ).stdout
    assert decoded == b"".join(block.payload for block in BLOCKS if block.track == 2)
