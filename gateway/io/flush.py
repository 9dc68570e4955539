"""Making a whole file system durable at once."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)  # lets go of the interpreter lock while it waits


class FileSystem:
    """The one that holds a folder."""

    def __init__(self, folder: Path) -> None:
        self._handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def flush(self) -> None:
        """Return when all that was written is durable (syncfs). Raises OSError."""
        if _libc.syncfs(self._handle) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def close(self) -> None:
        os.close(self._handle)


class FlushedAtTheEnd(FileSystem):
    """For what can be done again from its beginning, as a replay can: all of it is made durable by `close`, at once."""

    def flush(self) -> None:
        """Return at once."""

    def close(self) -> None:
        """Raises OSError when it could not be made durable."""
        try:
            super().flush()
        finally:
            super().close()
