"""`hushtap cut`: cuts that were not carried out while their call's key was at hand."""

from __future__ import annotations

import argparse
import time
from functools import partial

from gateway.cli.configuration import settings_of
from gateway.cli.errors import CannotRun
from gateway.cli.opening import failing_in_sentences, index_of, private_keys
from gateway.io.ids import new_id
from gateway.storage.cutting import carry_out, pending
from gateway.storage.index import Index
from gateway.storage.keys import KeyPaths, PrivateKeyProvider, load_node, load_vault_public
from gateway.storage.records import CallRecord
from gateway.storage.vault import Vault


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    vault, paths = Vault(settings.storage.directory), KeyPaths.of(settings)
    with failing_in_sentences(), index_of(settings) as index:
        keys = private_keys(settings)
        found = index.calls(cuts_pending=True) if arguments.pending else [index.get(arguments.call)]
        records = [record for record in found if record.facts.ended_ns is not None]
        if not arguments.pending and not (records and pending(records[0].facts)):
            raise CannotRun("nothing is to be cut from this call, or it is still being recorded")
        for record in records:
            _cut(vault, index, keys, paths, record)
    if not records:
        print("no cuts are pending")
    return 0


def _cut(vault: Vault, index: Index, keys: PrivateKeyProvider, paths: KeyPaths, row: CallRecord) -> None:
    """One call, as its signed record says, not its row."""
    node, facts = load_node(paths.node), row.facts
    with vault.wrapping(), vault.alone(facts):
        record = vault.read_call(vault.call_folder(facts.id, facts.started_ns), node.public)
        public = load_vault_public(paths.vault_public)
        key = partial(vault.data_key, keys=keys)
        record = carry_out(vault, record, key, new_id, time.time_ns(), public, node)
        index.put(record)
    for cut in record.facts.rewrites[len(facts.rewrites) :]:
        print(f"{cut.old_id} is now {cut.new_id}; its old key and files are destroyed")
