"""Going over to a new vault key: every wrapped key and sealed document moves, the audio stays.

The order makes it safe to stop anywhere. The next private key is written first; then each document is
opened with the key it names and sealed to the next; only when nothing is left under the old key does
the public key change and the next private key take the old one's place. Run again, it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.storage import access, files, never_record, records
from gateway.storage.index import Index
from gateway.storage.keys import (
    FilePrivateKeys,
    KeyPaths,
    NodeKey,
    NotOpened,
    PrivateKeyMissing,
    VaultPublicKey,
    load_node,
    load_private,
    private_pem,
    public_pem,
)
from gateway.storage.records import RecordError
from gateway.storage.vault import NotInVault, Vault

Progress = Callable[[int, int], None]  # documents done, documents in all


def rotate(
    vault: Vault, index: Index | None, paths: KeyPaths, progress: Progress = lambda done, total: None
) -> str:
    """Replace the vault's key pair; returns the id of the new key. The old private key is gone afterwards.

    Raises VaultBusy while a gateway runs, KeysError, RecordError at a document that is not as signed.
    """
    with vault.exclusive(), vault.wrapping(anew=True):
        node = load_node(paths.node)
        if not paths.vault_private.exists():
            raise PrivateKeyMissing(
                f"{paths.vault_private}: the vault's private key is not there; rotation needs it"
            )
        if not paths.next_private.exists():
            files.replace(paths.next_private, private_pem(X25519PrivateKey.generate()))
        public = VaultPublicKey(load_private(paths.next_private).public_key())
        keys = FilePrivateKeys(paths.vault_private)
        wrapped, folders = list(vault.wrapped_keys()), list(vault.call_folders())
        total = len(wrapped) + len(folders)
        for done, path in enumerate(wrapped, 1):
            with _naming(path):
                _rewrap(vault, path.stem, keys, public)
            progress(done, total)
        for done, folder in enumerate(folders, len(wrapped) + 1):
            with _naming(folder):
                record = _reseal(vault, vault.read_call(folder, node.public), keys, public, node)
            if index is not None:
                index.reseal(record.facts.id, record.sealed)
            progress(done, total)
        files.replace(paths.vault_public, public_pem(public.key))
        # Exports go on meanwhile, and by now log under the new key; so do additions to the list.
        access.reseal(vault.directory, keys, public)
        never_record.reseal(vault.directory, keys, public)
        # The rename removes the old key's name; its bytes go where the file system lets them go.
        paths.next_private.replace(paths.vault_private)
        files.sync_folder(paths.vault_private.parent)
    return public.id


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Say in errors where the document lies, for it must be put right before the rotation can go on."""
    try:
        yield
    except (RecordError, NotInVault, NotOpened) as error:
        raise type(error)(f"{path}: {error}; put it right and rotate again") from error


def _rewrap(vault: Vault, recording_id: str, keys: FilePrivateKeys, public: VaultPublicKey) -> None:
    path = vault.key_path(recording_id)
    _, sealed = records.decode_data_key(path.read_bytes())
    if sealed.key_id != public.id:
        moved = public.seal(vault.data_key(recording_id, keys), records.data_key_info(recording_id))
        files.replace(path, records.encode_data_key(recording_id, moved))


def _reseal(
    vault: Vault, record: records.CallRecord, keys: FilePrivateKeys, public: VaultPublicKey, node: NodeKey
) -> records.CallRecord:
    if record.sealed.key_id == public.id:
        return record
    info = records.participants_info(record.facts.id)
    moved = replace(record, sealed=public.seal(keys.open(record.sealed, info), info))
    vault.write_record(moved, node)
    return moved
