"""Plays tones by what the platform has, without making anybody wait."""

from __future__ import annotations

import importlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from gateway.hotkey.desk import Tone
from gateway.hotkey.tones import wav

# Commands that take a WAV file, the likeliest to be heard first.
COMMANDS = (("afplay",), ("paplay",), ("pw-play",), ("aplay", "-q"))
PLAY_SECONDS = 3.0  # a tone takes half a second; a player that hangs is given up
WAITING = 2  # tones that may wait; of more, the newest count


class Player:
    """Plays in a thread of its own, one tone after the other, until it is closed."""

    def __init__(self) -> None:
        self._tones: queue.Queue[Tone | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def sound(self, tone: Tone) -> None:
        while self._tones.qsize() >= WAITING:
            self._tones.get_nowait()
        self._tones.put(tone)

    def close(self) -> None:
        self._tones.put(None)
        self._thread.join(PLAY_SECONDS)

    def _run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="hushtap-tones-") as folder:
            while (tone := self._tones.get()) is not None:
                if not (_by_windows(tone) if sys.platform == "win32" else by_command(tone, Path(folder))):
                    print("\a", end="", flush=True)


def _by_windows(tone: Tone) -> bool:
    winsound = importlib.import_module("winsound")
    try:
        winsound.PlaySound(wav(tone), winsound.SND_MEMORY)
    except RuntimeError:
        return False
    return True


def by_command(tone: Tone, folder: Path) -> bool:
    """Whether a command played it; they want files, which are kept in a folder."""
    file = folder / f"{tone.value}.wav"
    if not file.exists():
        file.write_bytes(wav(tone))
    return any(_plays(command, file) for command in COMMANDS)


def _plays(command: tuple[str, ...], file: Path) -> bool:
    program = shutil.which(command[0])
    if program is None:
        return False
    try:
        done = subprocess.run(  # noqa: S603
            [program, *command[1:], str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PLAY_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
