"""Every command's grammar, and how failures end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli.main import COMMANDS
from tests.cli.conftest import Hushtap


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(hushtap: Hushtap, command: str) -> None:
    outcome = hushtap(command, "--help")
    assert outcome.status == 0
    assert f"hushtap {command}" in outcome.out
    assert "--config" in outcome.out


def test_help_lists_every_command_with_examples(hushtap: Hushtap) -> None:
    outcome = hushtap("--help")
    assert outcome.status == 0
    assert all(command in outcome.out for command in COMMANDS)
    assert "examples:" in outcome.out


def test_version(hushtap: Hushtap) -> None:
    assert hushtap("--version").out.startswith("hushtap 0.")


@pytest.mark.parametrize(
    "line",
    [
        "",
        "frobnicate",
        "calls --state lost",
        "calls --limit 0",
        "calls --since yesterday",
        "show",
        "verify 0193 --all",
        "keys",
        "keys burn",
        "export 0193 --output x.wav --reason audit",
        "export 0193 --format wav --output x.wav",
        "export 0193 --format ogg --output x.ogg --reason audit",
        "doctor --calls many",
    ],
)
def test_a_wrong_line_ends_with_2(hushtap: Hushtap, line: str) -> None:
    outcome = hushtap(*line.split())
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.err


def test_the_configuration_is_named_before_or_after_the_command(hushtap: Hushtap, here: Path) -> None:
    (here / "other.toml").write_text("[sip]\nport = 5099\n")
    assert "port 5099" in hushtap("--config", "other.toml", "check-config").out
    assert "port 5099" in hushtap("check-config", "--config", "other.toml").out
    assert "port 5060" in hushtap("check-config").out


def test_the_configuration_is_found(hushtap: Hushtap, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "hushtap.toml").write_text("[sip]\nport = 5061\n")
    (here / "named.toml").write_text("[sip]\nport = 5062\n")
    assert "port 5061" in hushtap("check-config").out
    monkeypatch.setenv("HUSHTAP_CONFIG", "named.toml")
    assert "port 5062" in hushtap("check-config").out
    assert "port 5061" in hushtap("check-config", "--config", "hushtap.toml").out


def test_a_bad_configuration_is_one_line_a_fault(hushtap: Hushtap, here: Path) -> None:
    (here / "hushtap.toml").write_text("[sip]\nport = 0\nprot = 1\n")
    outcome = hushtap("check-config")
    assert outcome.status == 2
    assert [line.split(": ")[2] for line in outcome.err.splitlines()] == ["sip.port", "sip.prot"]
    assert (
        hushtap("calls", "--config", "absent.toml").err
        == "hushtap: absent.toml: cannot be read: No such file or directory\n"
    )


def test_interruption_ends_with_130(hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.check_config.run", interrupt)
    assert hushtap("check-config").status == 130


def test_a_fault_of_ours_is_told_without_its_text(hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> int:
        raise ValueError("+441632960123")

    monkeypatch.setattr("gateway.cli.check_config.run", fail)
    outcome = hushtap("check-config")
    assert outcome.status == 2
    assert "ValueError" in outcome.err
    assert "441632960123" not in outcome.err


def test_a_reader_that_leaves_is_no_failure(here: Path) -> None:
    """`hushtap check-config | true`, in processes of their own: the pipe has to break."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "check-config"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 0


def test_help_loads_nothing_heavy(here: Path) -> None:
    code = (
        "import sys\nfrom gateway.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'numpy', 'sqlalchemy', 'cryptography', 'pydantic', 'rich', 'av'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_doctor(hushtap: Hushtap, here: Path) -> None:
    (here / "hushtap.toml").write_text(
        "[metrics]\nport = 0\n[media]\nfirst_port = 42000\nlast_port = 42009\n"
    )
    small = hushtap("doctor", "--calls", "1", "--json")
    assert {row["check"] for row in small.json} >= {"open files", "RTP ports", "disk", "clock", "keys"}
    *checks, capacity = small.json
    assert all(set(row) == {"check", "level", "found", "expected", "action"} for row in checks)
    assert (capacity["check"], capacity["calls"]) == ("capacity", 2)
    assert capacity["found"].startswith("can take about 2 calls: RTP ports end first; next ")
    large = hushtap("doctor", "--calls", "500", "--quick")
    assert large.status == 1
    assert "fault    RTP ports" in large.out
    assert "processor and disk left out: it was not tried" in large.out
