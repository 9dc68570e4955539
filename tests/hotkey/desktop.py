"""A desktop that nobody sees, with real key events, and the hotkey on it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.console.fake import TOKENS
from tests.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.02

T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """The condition's first true value; fails when there is none in so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not so after {seconds} s"
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True, slots=True)
class Desktop:
    display: str

    def keys(self, *words: str) -> None:
        """As xdotool's: key, keydown, keyup and what they take."""
        subprocess.run(["xdotool", *words], env=self.environment(), check=True, timeout=PATIENCE_SECONDS)

    def window(self, title: str) -> str:
        """The id of a window that can be seen, by a part of its title; empty where there is none."""
        found = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--name", title],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return found.stdout.strip()

    def picture(self, window: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        geometry = subprocess.run(
            ["xdotool", "getwindowgeometry", "--shell", window],
            env=self.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        place = dict(line.split("=") for line in geometry.stdout.split())
        size, at = f"{place['WIDTH']}x{place['HEIGHT']}", f"{self.display}+{place['X']},{place['Y']}"
        grab = ["ffmpeg", "-v", "error", "-y", "-f", "x11grab", "-video_size", size, "-i", at]
        subprocess.run([*grab, "-frames:v", "1", path], check=True, timeout=PATIENCE_SECONDS)

    def environment(self) -> dict[str, str]:
        return {**os.environ, "DISPLAY": self.display}


@contextmanager
def desktop() -> Iterator[Desktop]:
    """Runs while the context lasts."""
    for program in ("Xvfb", "xdotool"):
        assert shutil.which(program), f"{program} is not installed: scripts/bootstrap test"
    read, write = os.pipe()
    options = ["-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    process = subprocess.Popen(["Xvfb", *options], pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    try:
        with open(read) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not start"
        yield Desktop(f":{number}")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@dataclass(frozen=True, slots=True)
class Hotkey:
    """`hushtap hotkey` on a desktop."""

    process: subprocess.Popen[str]
    screen: Desktop
    folder: Path

    def shows(self, state: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Waits until its window says so; gives the window."""
        return until(f"the window shows {state}", lambda: self.screen.window(f"^HushTap: {state}"), seconds)

    def played(self) -> list[str]:
        """The tones so far."""
        log = self.folder / "players" / "played"
        return log.read_text().split() if log.exists() else []

    def plays(self, *tones: str) -> None:
        """Waits until these, and no others, have been played."""
        until(f"{tones} played", lambda: len(self.played()) >= len(tones))
        assert self.played() == list(tones)


@contextmanager
def hotkey(
    url: str, screen: Desktop | None, folder: Path, *options: str, token: str = TOKENS["one"]
) -> Iterator[Hotkey]:
    """Runs while the context lasts; without a screen it has no display. Its sounds go to the players in the folder."""
    kept = folder / "token"
    kept.write_text(f"{token}\n")
    kept.chmod(0o600)
    environment = {**os.environ, "PATH": f"{folder}/players:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment.pop("DISPLAY", None)
    if screen:
        environment["DISPLAY"] = screen.display
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway", "hotkey", "--url", url, "--token-file", kept, *options],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Hotkey(process, screen or Desktop(""), folder)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        assert "Traceback" not in out + err, err
