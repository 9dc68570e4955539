"""`hushtap reindex`: the index anew, from the signed records of the vault."""

from __future__ import annotations

import argparse

from gateway.cli.configuration import settings_of


def run(arguments: argparse.Namespace) -> int:
    settings_of(arguments)
    return 2
