"""The parts of recordings as they lie on disk, those that are still being written included."""

from __future__ import annotations

from typing import BinaryIO

from gateway.recording.model import CallFacts, Part, RecordingFacts, RecordingState
from gateway.storage.vault import Vault


class UpTo:
    """A file up to the length it has now, so that one being written is read as it is at this moment."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


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
