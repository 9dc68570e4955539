"""`hushtap reindex`: the index anew, from the signed records of the vault."""

from __future__ import annotations

import argparse
import sys

from gateway.cli.configuration import settings_of
from gateway.cli.opening import failing_in_sentences
from gateway.cli.progress import progress
from gateway.storage.keys import KeyPaths, load_node_public
from gateway.storage.reindex import reindex
from gateway.storage.vault import Vault


def run(arguments: argparse.Namespace) -> int:
    """1 when a call's record could not be used; the others are in the new index."""
    settings = settings_of(arguments)
    vault = Vault(settings.storage.directory)
    with failing_in_sentences(), progress("reading call records") as report:
        faults = reindex(vault, load_node_public(KeyPaths.of(settings).node_public), report)
    for fault in faults:
        print(f"hushtap: {fault}", file=sys.stderr)
    print(f"{vault.index_path} is new")
    return 1 if faults else 0
