"""`hushtap verify`: is everything still what was recorded."""

from __future__ import annotations

import argparse
import json
import re

from rich.console import Console
from rich.text import Text

from gateway.cli import shapes
from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import failing_in_sentences, index_of, private_keys
from gateway.cli.progress import progress
from gateway.config.settings import Settings
from gateway.storage.index import Index
from gateway.storage.keys import KeyPaths, load_node_public
from gateway.storage.vault import ID, Vault
from gateway.storage.verify import PENDING, Verdict, verify


def run(arguments: argparse.Namespace) -> int:
    """1 when something is not as it was made."""
    settings = settings_of(arguments)
    with failing_in_sentences():
        verdicts = _verdicts(settings, arguments.call.lower() if arguments.call else None)
    if arguments.json:
        print(json.dumps([shapes.verdict(verdict) for verdict in verdicts], indent=2))
    else:
        _print(verdicts)
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def _verdicts(settings: Settings, begins: str | None) -> list[Verdict]:
    vault = Vault(settings.storage.directory)
    keys = private_keys(settings)
    node = load_node_public(KeyPaths.of(settings).node_public)
    with index_of(settings, readonly=True) as index, progress("verifying") as report:
        only = None if begins is None else {_chosen(vault, index, begins)}
        return list(verify(vault, index, keys, node, only, report))


def _chosen(vault: Vault, index: Index, begins: str) -> str:
    """The call whose id begins so, wherever it is known: what the index lacks is to be found, too."""
    if re.fullmatch(ID, begins):
        return begins  # of a call or of a recording
    known = index.ids() | {folder.name for folder in vault.call_folders()}
    found = [call_id for call_id in known if call_id.startswith(begins)]
    if len(found) != 1:
        raise CannotRun(f"{'several calls' if found else 'no call'} of an id that begins with {begins!r}")
    return found[0]


def _print(verdicts: list[Verdict]) -> None:
    console = Console(soft_wrap=True)
    for verdict in verdicts:
        mark = ("good", "green") if verdict.ok else ("BAD ", "red")
        told = f"{verdict.segments:,} segments" if verdict.ok else verdict.problem
        note = f" ({verdict.note})" if verdict.note else ""
        console.print(Text.assemble(mark, f"  {verdict.id}  {told}{note}"))
    bad = sum(not verdict.ok for verdict in verdicts)
    console.print(f"{len(verdicts) - bad} good, {bad} bad", highlight=False)
    if any(verdict.note.startswith(PENDING) for verdict in verdicts):
        console.print("cuts are pending: `hushtap cut --pending` carries them out", highlight=False)
