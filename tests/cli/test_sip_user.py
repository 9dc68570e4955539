from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.cli.conftest import Hushtap

SETTINGS = '[sip.access]\ncredentials = "users"\nalgorithms = ["SHA-256", "MD5"]\n'


def give(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_users_come_and_go(here: Path, hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "hushtap.toml").write_text(SETTINGS)
    for name in ("sbc", "other"):
        give(monkeypatch, "correct horse\n")
        assert hushtap("sip-user", "add", name).status == 0
    stored = (here / "users").read_text()
    assert "correct horse" not in stored
    assert (here / "users").stat().st_mode & 0o777 == 0o600
    assert hushtap("sip-user", "list").out.split("\n")[0].split() == ["other", "MD5,", "SHA-256"]
    give(monkeypatch, "battery staple\n")
    assert hushtap("sip-user", "add", "sbc").status == 0
    changed = (here / "users").read_text()
    assert changed != stored
    assert len(changed.splitlines()) == 4
    assert hushtap("sip-user", "remove", "sbc").status == 0
    assert "sbc" not in (here / "users").read_text()
    assert hushtap("sip-user", "remove", "sbc").status == 2


@pytest.mark.parametrize(
    ("settings", "name", "password", "complaint"),
    [
        ("", "sbc", "long enough", "sip.access.credentials is not set"),
        (SETTINGS, "s:bc", "long enough", "no white space, colon"),
        (SETTINGS, "sbc", "short", "at least 8"),
    ],
)
def test_what_is_refused(
    here: Path, hushtap: Hushtap, monkeypatch: pytest.MonkeyPatch, settings: str, name: str, password: str,
    complaint: str,
) -> None:  # fmt: skip
    (here / "hushtap.toml").write_text(settings)
    give(monkeypatch, password + "\n")
    done = hushtap("sip-user", "add", name)
    assert done.status == 2
    assert complaint in done.err
    assert not (here / "users").exists()


def test_a_file_that_others_can_read_is_refused(here: Path, hushtap: Hushtap) -> None:
    (here / "hushtap.toml").write_text(SETTINGS)
    (here / "users").touch(0o644)
    done = hushtap("sip-user", "list")
    assert done.status == 2
    assert "mode 0644 lets others read it" in done.err
