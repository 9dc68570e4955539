"""Reading recordings back: decrypted in memory, part by part, never as a plaintext file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from gateway.recording.model import CallFacts, Part, RecordingFacts, RecordingState
from gateway.storage import container
from gateway.storage.keys import PrivateKeyProvider
from gateway.storage.sealing import SealedReader, Source, open_sealed
from gateway.storage.vault import Vault


class OpenPart(NamedTuple):
    """One part being read; its file is closed when the next one is asked for, or the iterator is dropped."""

    part: Part
    container: container.Reader
    sealed: SealedReader  # tells how the part ended once its blocks have been read


class UpTo:
    """A file up to the length it has now, so that one being written is read as it is at this moment."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


def open_recording(
    vault: Vault, keys: PrivateKeyProvider, call: CallFacts, recording: RecordingFacts
) -> Iterator[OpenPart]:
    """The parts of a recording in order; one that is still being recorded is read as far as it goes.

    Raises NotInVault, NotOpened and RecordError; while blocks are read SealError and ContainerError.
    """
    data_key = vault.data_key(recording.id, keys)
    for part in stored_parts(vault, call, recording):
        path = vault.part_path(call.id, call.started_ns, recording.id, part.number)
        with path.open("rb") as file:
            source: Source = UpTo(file, part.bytes) if recording.state is RecordingState.RECORDING else file
            sealed = open_sealed(source, data_key, recording.id.encode("ascii"), torn=part.torn)
            yield OpenPart(part, container.read(sealed, swapped=recording.swapped), sealed)


def stored_parts(vault: Vault, call: CallFacts, recording: RecordingFacts) -> tuple[Part, ...]:
    """The parts as signed; of a recording that is still written those found on disk, without a hash."""
    if recording.state is not RecordingState.RECORDING:
        return recording.parts
    folder = vault.call_folder(call.id, call.started_ns)
    paths = {
        number: vault.part_path(call.id, call.started_ns, recording.id, number)
        for number in vault.parts_on_disk(folder).get(recording.id, [])
    }
    return tuple(Part(number, path.stat().st_size, "", torn=True) for number, path in paths.items())
