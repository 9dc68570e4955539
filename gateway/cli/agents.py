"""`hushtap agents`: who may act on running calls, by a token each."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.console.agents import Agent, Right, issue
from gateway.io.agents import AgentsFault, changing, read, write

ALL = "*"


def run(arguments: argparse.Namespace) -> int:
    path = settings_of(arguments).agents_path()
    try:
        match arguments.action:
            case "add":
                _add(path, arguments.name, arguments.extension, arguments.may)
            case "revoke":
                _revoke(path, arguments.id)
            case "list":
                _list(read(path))
    except AgentsFault as error:
        raise CannotRun(str(error)) from error
    return 0


def _add(path: Path, name: str, extensions: list[str], rights: frozenset[Right]) -> None:
    if ALL in extensions and len(extensions) > 1:
        raise CannotRun(f"--extension '{ALL}' is all of them: no other is named beside it")
    chosen = None if ALL in extensions else frozenset(extensions)
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    with changing(path):
        kept = read(path)
        agent, token = issue(name, chosen, rights, created, kept)
        write(path, [*kept.values(), agent])
    print(token)
    print("It is shown this once. Whoever has it may do what it allows, from now on.", file=sys.stderr)


def _revoke(path: Path, id: str) -> None:
    with changing(path):
        kept = read(path)
        if id not in kept:
            raise CannotRun(f"{path} holds no token {id}")
        write(path, [agent for agent in kept.values() if agent.id != id])
    print(f"{id} may do nothing any more")


def _list(agents: dict[str, Agent]) -> None:
    table = Table("id", "name", "extensions", "may", "made", box=None, pad_edge=False)
    for agent in sorted(agents.values(), key=lambda agent: agent.created):
        extensions = "all" if agent.extensions is None else ", ".join(sorted(agent.extensions))
        table.add_row(
            agent.id, agent.name.reveal(), extensions, ", ".join(sorted(agent.rights)), agent.created
        )
    Console(highlight=False, markup=False).print(table)
