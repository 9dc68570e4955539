"""`hushtap never-record`: the list of numbers that are never recorded."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from functools import partial

from gateway.cli import text
from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import failing_in_sentences, private_keys
from gateway.config.settings import Settings
from gateway.storage import never_record
from gateway.storage.keys import KeyPaths, load_lookup, load_vault_public
from gateway.storage.lookup import is_number

HEADINGS = ("NUMBER", "REASON", "ADDED", "UNTIL")


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    with failing_in_sentences():
        match arguments.action:
            case "add":
                _add(settings, arguments)
            case "remove":
                _remove(settings, arguments.number)
            case "list":
                _list(settings, arguments.json)
    return 0


def _add(settings: Settings, arguments: argparse.Namespace) -> None:
    if not is_number(arguments.number):
        raise CannotRun("that is no number: digits are expected, or an address")
    paths, today = KeyPaths.of(settings), _today()
    if arguments.until and arguments.until < today:
        raise CannotRun(f"--until {arguments.until} is past already; today is {today} UTC")
    never_record.add(
        settings.storage.directory, arguments.number, arguments.reason, arguments.until, today,
        load_lookup(paths.lookup), partial(load_vault_public, paths.vault_public),
    )  # fmt: skip
    print("calls with this number are not recorded any more; a running gateway knows at once")


def _remove(settings: Settings, number: str) -> None:
    lookup_key = load_lookup(KeyPaths.of(settings).lookup)
    if not never_record.remove(settings.storage.directory, number, lookup_key):
        raise CannotRun("that number is not on the list")
    print("calls with this number are recorded again")


def _list(settings: Settings, as_json: bool) -> None:
    keys, today = private_keys(settings), _today()
    entries = [
        (never_record.number_of(entry, keys), entry)
        for entry in never_record.read(settings.storage.directory)
        if entry.holds(today)
    ]
    if as_json:
        rows = [
            {"number": number, "reason": entry.reason, "added": entry.added, "until": entry.until}
            for number, entry in entries
        ]
        print(json.dumps(rows, indent=2))
    elif entries:
        shown = [(number, entry.reason, entry.added, entry.until or "for ever") for number, entry in entries]
        print(text.table([HEADINGS, *shown]))
    else:
        print("no number is on the list")


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"
