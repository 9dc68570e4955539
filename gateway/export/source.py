"""Recordings opened for export: decrypted, and only as far as their signed manifest vouches for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from gateway.export.errors import ExportError
from gateway.recording.model import Part
from gateway.storage.container import Reader, read
from gateway.storage.keys import NodePublicKey, PrivateKeyProvider
from gateway.storage.records import Manifest
from gateway.storage.sealing import open_sealed
from gateway.storage.vault import Vault, measure_part


@contextmanager
def open_parts(vault: Vault, manifest: Manifest, keys: PrivateKeyProvider) -> Iterator[list[Reader]]:
    """Every part of a finished recording, positioned at its first block.

    A part that a crash tore is read up to the tear, since the manifest pins where that is. Raises ExportError, and
    what unwrapping the key raises; reading raises SealError where a byte is not as it was written.
    """
    key = vault.data_key(manifest.recording_id, keys)
    with ExitStack() as files:
        parts = []
        for part in manifest.parts:
            path = vault.part_path(manifest.call_id, manifest.started_ns, manifest.recording_id, part.number)
            if not path.exists():
                raise ExportError(f"{path}: is not there")
            if part.torn:
                _check(measure_part(path, part.number, torn=True), part, str(path))
            file = files.enter_context(path.open("rb"))
            sealed = open_sealed(file, key, manifest.recording_id.encode("ascii"), torn=part.torn)
            reader = read(sealed, swapped=manifest.swapped)
            if reader.info is not None or not part.torn:  # a part torn at its very beginning holds nothing
                parts.append(reader)
        yield parts


def manifest_of(
    vault: Vault, call_id: str, started_ns: int, recording_id: str, node: NodePublicKey
) -> Manifest:
    """The manifest that belongs to this recording of this call. Raises ExportError, NotInVault, RecordError."""
    manifest = vault.read_manifest(call_id, started_ns, recording_id, node)
    if (manifest.call_id, manifest.recording_id) != (call_id, recording_id):
        raise ExportError(f"the manifest of recording {recording_id} is that of {manifest.recording_id}")
    return manifest


def _check(found: Part, signed: Part, place: str) -> None:
    """Without its last-segment mark only its length and hash tell that a torn part was not cut further."""
    if found != signed:
        raise ExportError(
            f"{place}: has {found.bytes} bytes, and is not the {signed.bytes} bytes that were signed"
        )
