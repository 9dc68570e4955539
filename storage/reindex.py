"""The index built anew from the vault's signed records, and put in the old one's place in one step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.storage import files
from gateway.storage.index import Index
from gateway.storage.keys import NodePublicKey
from gateway.storage.records import CallRecord, RecordError
from gateway.storage.vault import NotInVault, Vault

BATCH = 200  # calls in one transaction: some hundred kB of rows


def reindex(
    vault: Vault, node: NodePublicKey, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Rebuild the index; needs no private key. Gives a sentence for each call whose record was not usable.

    Raises VaultBusy while a gateway runs.
    """
    with vault.exclusive():
        fresh = vault.index_path.with_name(f"{vault.index_path.name}.new")
        _remove(fresh, fresh)
        faults: list[str] = []
        folders = list(vault.call_folders())
        with Index.open(fresh) as index:
            for at in range(0, len(folders), BATCH):
                batch = folders[at : at + BATCH]
                index.put(*(record for folder in batch if (record := _read(vault, folder, node, faults))))
                progress(at + len(batch), len(folders))
        _remove(vault.index_path)
        fresh.replace(vault.index_path)
        files.sync_folder(vault.directory)
    return faults


def _read(vault: Vault, folder: Path, node: NodePublicKey, faults: list[str]) -> CallRecord | None:
    try:
        return vault.read_call(folder, node)
    except (NotInVault, RecordError) as error:
        faults.append(f"{folder.relative_to(vault.directory)}: left out: {error}")
        return None


def _remove(index: Path, *also: Path) -> None:
    """Remove what belongs to an index beside its file, which would be taken for the new one's."""
    for path in (*(index.with_name(index.name + suffix) for suffix in ("-wal", "-shm")), *also):
        path.unlink(missing_ok=True)
