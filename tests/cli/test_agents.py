from __future__ import annotations

from pathlib import Path

import pytest

from gateway.console.agents import TOKEN, Right, identify
from gateway.io.agents import AgentsFile, read
from tests.cli.conftest import Hushtap


def test_tokens_come_and_go(here: Path, hushtap: Hushtap) -> None:
    path = here / "hushtap-data" / "agents.json"
    made = hushtap(
        "agents", "add", "Desk [3]", "--extension", "201", "--extension", "202", "--may", "pause,mark"
    )
    assert made.status == 0
    token = made.out.strip()
    assert TOKEN.fullmatch(token)
    assert token not in made.err
    assert path.stat().st_mode & 0o777 == 0o600
    assert token[12:] not in path.read_text()
    agents = AgentsFile(path)
    agent = identify(token, agents.current())
    assert agent
    assert agent.extensions == frozenset({"201", "202"})
    assert agent.rights == {Right.PAUSE, Right.MARK}
    every = hushtap("agents", "add", "Supervisor", "--extension", "*").out.strip()
    listed = hushtap("agents", "list").out
    assert "Desk [3]" in listed
    assert "201, 202" in listed
    assert "all" in listed
    assert token[12:] not in listed
    supervisor = identify(every, read(path))
    assert supervisor
    assert supervisor.extensions is None
    assert supervisor.rights == set(Right)
    assert hushtap("agents", "revoke", agent.id).status == 0
    assert identify(token, agents.current()) is None
    assert identify(every, agents.current()) == supervisor
    again = hushtap("agents", "revoke", agent.id)
    assert (again.status, again.err) == (2, f"hushtap: hushtap-data/agents.json holds no token {agent.id}\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "--extension"),
        (["", "--extension", "1"], "1 to 64"),
        (["x\n", "--extension", "1"], "1 to 64"),
        (["x", "--extension", ""], "1 to 64"),
        (["x", "--extension", "1", "--may", "fly"], "pause, opt-out, mark"),
        (["x", "--extension", "1", "--extension", "*"], "no other is named beside it"),
    ],
)
def test_what_is_refused(here: Path, hushtap: Hushtap, words: list[str], complaint: str) -> None:
    done = hushtap("agents", "add", *words)
    assert done.status == 2
    assert complaint in done.err
    assert not (here / "hushtap-data").exists()


def test_a_file_that_others_can_read_is_refused(here: Path, hushtap: Hushtap) -> None:
    (here / "hushtap.toml").write_text('[api]\nagents = "tokens"\n')
    (here / "tokens").touch(0o640)
    done = hushtap("agents", "list")
    assert done.status == 2
    assert "mode 0640 lets others read it" in done.err
