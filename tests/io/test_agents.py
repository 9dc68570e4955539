from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.console.agents import Agent, Right, identify, issue
from gateway.io.agents import AgentsFault, AgentsFile, changing, read, write

EVERY = frozenset(Right)
NONE = '{"agents": []}'
ENTRY = (
    '{"agents": [{"id": "0000000a", "name": "x", "extensions": ["201"], "may": ["pause"], "sha256": "'
    + "0" * 64
    + '", "created": "2026-01-01T00:00:00Z"}]}'
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents.json"


def made(name: str = "desk", extensions: frozenset[str] | None = frozenset({"201"})) -> tuple[Agent, str]:
    return issue(name, extensions, EVERY, "2026-01-01T00:00:00Z", ())


def test_what_was_written_is_read(path: Path) -> None:
    agents = [made()[0], made("all", None)[0], made("nobody", frozenset())[0]]
    write(path, agents)
    assert list(read(path).values()) == agents
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_secret_is_not_in_the_file(path: Path) -> None:
    agent, token = made()
    write(path, [agent])
    assert token.rpartition(agent.id)[2].strip("_") not in path.read_text()
    assert identify(token, read(path)) == agent


def test_a_change_holds_at_once(path: Path) -> None:
    write(path, [made()[0]])
    agents = AgentsFile(path)
    assert len(agents.current()) == 1
    write(path, [])
    assert agents.current() == {}
    write(path, [made()[0], made()[0]])
    assert len(agents.current()) == 2
    path.unlink()
    assert agents.current() == {}


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.write_text("{"), "Invalid JSON"),
        (lambda path: path.write_text(ENTRY.replace('"pause"', '"fly"')), r"agents\.0\.may\.0"),
        (lambda path: path.write_text(ENTRY.replace("0000000a", "../../")), r"agents\.0\.id"),
        (lambda path: path.write_text(ENTRY.replace('"name": "x",', "")), r"agents\.0\.name: Field required"),
        (lambda path: path.write_bytes(b" " * (5 << 20)), "more than"),
        (lambda path: path.chmod(0o644), "mode 0644 lets others read it"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(
    path: Path, spoil: Callable[[Path], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, [made()[0]])
    agents = AgentsFile(path)
    before = agents.current()
    spoil(path)
    os.utime(path, ns=(1, 1))
    assert agents.current() == agents.current() == before
    assert caplog.text.count("kept as before") == 1
    with pytest.raises(AgentsFault, match=why):
        read(path)


def test_of_two_changes_at_once_none_is_lost(path: Path) -> None:
    def add(_: int) -> None:
        with changing(path):
            write(path, [*read(path).values(), made()[0]])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(40)))
    assert len(read(path)) == 40


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(AgentsFault, match="file"), changing(tmp_path / "file" / "agents.json"):
        pass
