"""A file inside another one, as base64url text."""

from __future__ import annotations

import base64
import io
from typing import BinaryIO

HEAD_BYTES = (
    48  # that may be written again: a WAVE header is 44; a multiple of three, so that it stands alone
)
HEAD_CHARACTERS = HEAD_BYTES // 3 * 4


class Base64File:
    """Writes what is written to it into `file`, encoded as it comes (RFC 4648 section 5, without padding).

    It is written from start to end, but for its first HEAD_BYTES, to which one may go back until `finish`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = file.tell()
        self._head = bytearray()
        self._rest = b""  # less than three bytes, not encoded yet
        self._at = self._size = 0
        file.write(bytes(HEAD_CHARACTERS))

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        self._at = offset
        return offset

    def flush(self) -> None:
        """Nothing is held back that could be written now."""

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        inside = max(0, min(HEAD_BYTES - self._at, len(view)))
        assert inside == len(view) or self._at + inside == max(self._size, HEAD_BYTES)
        self._head[self._at : self._at + inside] = view[:inside]
        if inside < len(view):
            self._append(self._rest + view[inside:])
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def finish(self) -> None:
        """Write what is held back; the other file then stands behind it."""
        self._file.write(encoded(self._rest))
        end = self._file.tell()
        self._file.seek(self._place)
        self._file.write(encoded(self._head))
        if self._size < HEAD_BYTES:
            self._file.truncate()
        else:
            self._file.seek(end)

    def _append(self, data: bytes) -> None:
        whole = len(data) // 3 * 3
        self._file.write(encoded(data[:whole]))
        self._rest = data[whole:]


def encoded(data: bytes | bytearray | memoryview) -> bytes:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")
