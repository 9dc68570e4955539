"""Plays tones by what the platform has, without making anybody wait."""

from __future__ import annotations

import importlib
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from gateway.hotkey.desk import Tone
from gateway.hotkey.tones import wav

# Commands that take a WAV file, the likeliest to be heard first.
COMMANDS = (("afplay",), ("paplay",), ("pw-play",), ("aplay", "-q"))
PLAY_SECONDS = 3.0  # a tone takes half a second; a player that hangs is given up
WAITING = 2  # tones that may wait; of more, the newest count

Play = Callable[[Tone], bool]


class Player:
    """Plays in a thread of its own, one tone after the other, until it is closed."""

    def __init__(self, play: Play | None = None) -> None:
        self._play = play or _platform()
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
        while (tone := self._tones.get()) is not None:
            if not self._play(tone):
                print("\a", end="", flush=True)


def _platform() -> Play:
    if sys.platform == "win32":
        return _winsound()
    return _Files().play


def _winsound() -> Play:
    winsound = importlib.import_module("winsound")

    def play(tone: Tone) -> bool:
        try:
            winsound.PlaySound(wav(tone), winsound.SND_MEMORY)
        except RuntimeError:
            return False
        return True

    return play


class _Files:
    """The commands want files: they are kept as long as this is."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hushtap-tones-")
        for tone in Tone:
            self._path(tone).write_bytes(wav(tone))

    def _path(self, tone: Tone) -> Path:
        return Path(self._folder.name, f"{tone.value}.wav")

    def play(self, tone: Tone) -> bool:
        """Whether a command played it."""
        return any(self._plays(command, tone) for command in COMMANDS)

    def _plays(self, command: tuple[str, ...], tone: Tone) -> bool:
        program = shutil.which(command[0])
        if program is None:
            return False
        try:
            done = subprocess.run(  # noqa: S603
                [program, *command[1:], str(self._path(tone))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=PLAY_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0
