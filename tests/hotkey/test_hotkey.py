"""The hotkey on a real desktop, with real key events, against the real API."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.recording.messages import Outcome, RecordingNow
from tests.console.fake import TOKENS
from tests.console.page.switchboard import Switchboard
from tests.hotkey.desktop import ROOT, Desktop, hotkey, until
from tests.patience import PATIENCE_SECONDS

LOSS_SECONDS = 15.0  # it waits 2.5 s; the rest is for a machine that is busy


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return Path(os.environ.get("HUSHTAP_IMAGES", tmp_path)).absolute()


def actions(gateway: Switchboard) -> list[object]:
    return [asked[0] for asked in gateway.asked()]


def test_a_key_pauses_and_resumes(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path, pictures: Path
) -> None:
    with hotkey(gateway.url, screen, tmp_path) as running:
        running.shows("NO CALL")
        gateway.begin()
        running.shows("RECORDING")
        screen.keys("key", "ctrl+alt+p")
        window = running.shows("PAUSED")
        running.plays("paused")
        screen.picture(window, pictures / "hotkey-paused.png")
        action, _, _, _, ago_ns = gateway.asked()[0]
        assert action == "pause"
        assert int(str(ago_ns)) >= 0
        screen.keys("key", "ctrl+alt+p")
        running.shows("RECORDING")
        running.plays("paused", "recording")
        assert actions(gateway) == ["resume"]


def test_a_held_key_acts_once_and_others_do_nothing(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path
) -> None:
    gateway.begin()
    with hotkey(gateway.url, screen, tmp_path) as running:
        running.shows("RECORDING")
        for keys in ("p", "ctrl+p", "alt+p", "ctrl+alt+o"):
            screen.keys("key", keys)
        screen.keys("keydown", "ctrl", "keydown", "alt", "keydown", "p", "sleep", "1.5")
        screen.keys(
            *["keyup", "--delay", "0", "p", "keydown", "--delay", "0", "p"] * 5
        )  # as some systems repeat
        screen.keys("keyup", "p", "keyup", "alt", "keyup", "ctrl")
        running.shows("PAUSED")
        running.plays("paused")
        assert actions(gateway) == ["pause"]


def test_what_others_do_is_shown_and_sounds(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path
) -> None:
    gateway.begin()
    with hotkey(gateway.url, screen, tmp_path) as running:
        running.shows("RECORDING")
        gateway.do(lambda calls: calls.change("c1", state=RecordingNow.PAUSED))
        running.shows("PAUSED")
        gateway.do(lambda calls: calls.change("c1", state=RecordingNow.OFF))
        running.shows("OFF")
        running.plays("paused", "off")


def test_a_gateway_that_is_lost_is_shown_and_sounds(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path, pictures: Path
) -> None:
    gateway.begin()
    with hotkey(gateway.url, screen, tmp_path) as running:
        running.shows("RECORDING")
        with gateway.frozen():
            running.shows("UNKNOWN", LOSS_SECONDS)
            running.plays("fault")
        running.shows("RECORDING")
        running.plays("fault", "recording")
        gateway.stop()
        window = running.shows("UNKNOWN", LOSS_SECONDS)
        running.plays("fault", "recording", "fault")
        screen.keys("key", "ctrl+alt+p")
        running.plays("fault", "recording", "fault", "fault")
        screen.picture(window, pictures / "hotkey-unknown.png")
        gateway.start()
        running.shows("RECORDING")
        assert actions(gateway) == []


def test_what_is_not_confirmed_is_not_claimed(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path
) -> None:
    gateway.begin()

    def answer(outcome: Outcome) -> None:
        gateway.do(lambda calls: setattr(calls, "outcome", outcome))

    with hotkey(gateway.url, screen, tmp_path) as running:
        running.shows("RECORDING")
        answer(Outcome.REFUSED)
        screen.keys("key", "ctrl+alt+p")
        running.plays("fault")
        running.shows("RECORDING")
        answer(Outcome.LATE)
        screen.keys("key", "ctrl+alt+p")
        running.plays("fault", "paused")
        running.shows("PAUSED")
        answer(Outcome.UNCONFIRMED)
        screen.keys("key", "ctrl+alt+p")
        running.shows("UNKNOWN")
        running.plays("fault", "paused", "fault")


def test_opting_out_takes_two_presses(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path
) -> None:
    gateway.begin()
    options = ("--opt-out-key", "<ctrl>+<alt>+o", "--opt-out-reason", "distress", "--key", "<f9>")
    with hotkey(gateway.url, screen, tmp_path, *options) as running:
        running.shows("RECORDING")
        screen.keys("key", "ctrl+alt+o")
        running.plays("again")
        assert actions(gateway) == []
        screen.keys("key", "ctrl+alt+o")
        running.shows("OFF")
        running.plays("again", "off")
        assert [asked[0] for asked in gateway.asked()] == ["opt_out"]


def test_quiet_is_quiet(gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path) -> None:
    gateway.begin()
    with hotkey(gateway.url, screen, tmp_path, "--quiet") as running:
        running.shows("RECORDING")
        screen.keys("key", "ctrl+alt+p")
        running.shows("PAUSED")
    assert running.played() == []
    assert running.process.returncode == 0


def complaint(url: str, screen: Desktop | None, folder: Path, *options: str) -> str:
    """What it says when it cannot run."""
    with hotkey(url, screen, folder, *options) as running:
        status = running.process.wait(PATIENCE_SECONDS)
        assert running.process.stderr
        said = running.process.stderr.read()
    assert status == 2
    return said


def test_what_cannot_run_says_why(gateway: Switchboard, screen: Desktop, tmp_path: Path) -> None:
    assert "DISPLAY" in complaint(gateway.url, None, tmp_path)
    assert "names no keys" in complaint(gateway.url, screen, tmp_path, "--key", "<strg>+p")
    assert "is not the URL of a gateway" in complaint("recorder:9480", screen, tmp_path)
    withdrawn = gateway.agents.agents.pop("00000001")
    assert "does not know the token" in complaint(gateway.url, screen, tmp_path)
    assert withdrawn.id not in complaint(gateway.url, screen, tmp_path)


def test_a_token_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKENS["one"])
    token.chmod(0o644)
    command = ["hotkey", "--url", "http://127.0.0.1:9", "--token-file", str(token)]
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert "mode 0644" in done.stderr
    assert TOKENS["one"] not in done.stderr


def test_a_desktop_needs_none_of_the_recorders_libraries() -> None:
    heavy = ("numpy", "cryptography", "pydantic", "fastapi", "sqlalchemy", "av", "rich", "prometheus_client")
    code = (
        "import sys, gateway.cli.main, gateway.cli.hotkey;"
        f"sys.exit(', '.join(each for each in {heavy!r} if each in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_at_the_terminal_where_there_is_no_window(
    gateway: Switchboard, screen: Desktop, tmp_path: Path, player: Path
) -> None:
    """Without tkinter the state is told in lines."""
    (tmp_path / "tkinter.py").write_text("raise ImportError('no tkinter')\n")
    gateway.begin()
    out = tmp_path / "out"
    token = tmp_path / "token"
    token.write_text(TOKENS["one"])
    token.chmod(0o600)
    with out.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "hotkey", "--url", gateway.url, "--token-file", token],
            env={
                **screen.environment(),
                "PYTHONPATH": f"{tmp_path}:{ROOT}",
                "PATH": f"{player}:/usr/bin:/bin",
            },
            stdout=lines,
        )
    try:
        until("the line", lambda: "RECORDING" in out.read_text())
        screen.keys("key", "ctrl+alt+p")
        until("the line", lambda: "PAUSED" in out.read_text())
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
