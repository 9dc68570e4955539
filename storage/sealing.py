"""Sealed streams: Google Tink's Streaming AEAD, type AES256_GCM_HKDF.

A stream is a header and equal ciphertext segments; only the last may be shorter, and it alone is
marked as the last. Removing, reordering, exchanging and altering segments are all detected.
The caller gives salt and nonce prefix, fresh from a random source for every stream: a stream that
broke off is never continued under its salt, because a nonce could serve twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
SALT_BYTES = 32
PREFIX_BYTES = 7
TAG_BYTES = 16
HEADER_BYTES = 1 + SALT_BYTES + PREFIX_BYTES
SEGMENT_BYTES = 4096  # of ciphertext: a quarter of a second of two G.711 legs


class SealError(Exception):
    """A sealed stream is not as it was written; `segment` is the first that cannot be given out."""

    def __init__(self, text: str, segment: int) -> None:
        super().__init__(text)
        self.segment = segment


class TruncatedError(SealError):
    """The stream stops without its last-segment mark."""


class AlteredError(SealError):
    """A segment is not authentic: changed, moved, of another stream, or read with another key."""


class Ending(Enum):
    """How a stream ended."""

    COMPLETE = "complete"  # with its last-segment mark
    TRUNCATED = "truncated"  # at the end of the input, without the mark
    ALTERED = "altered"  # at a segment that is not authentic, with more input after it


class Source(Protocol):
    """A binary file open for reading."""

    def read(self, size: int, /) -> bytes: ...


class Sealer:
    """Turns plaintext into a sealed stream; a segment is held until it is known not to be the last."""

    def __init__(
        self,
        key: bytes,
        associated_data: bytes,
        salt: bytes,
        nonce_prefix: bytes,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        if (len(key), len(salt), len(nonce_prefix)) != (KEY_BYTES, SALT_BYTES, PREFIX_BYTES):
            raise ValueError("a sealer needs a key of 32 bytes, a salt of 32 and a nonce prefix of 7")
        self._cipher = _cipher(key, salt, associated_data)
        self._prefix = nonce_prefix
        self._out = [bytes([HEADER_BYTES]) + salt + nonce_prefix]
        self._held = bytearray()
        self._later = segment_bytes - TAG_BYTES
        self._room = self._later - HEADER_BYTES  # of the segment being filled
        self._index = 0
        self._finished = False

    @property
    def waiting(self) -> int:
        """Plaintext bytes taken and not yet given out."""
        return len(self._held)

    def padding(self) -> int:
        """The least number of further plaintext bytes that makes `write` give out all that waits now."""
        return self._room - len(self._held) + 1 if self._held else 0

    def write(self, data: bytes | memoryview) -> bytes:
        """Take plaintext; give the ciphertext that is now certain: first the header, then whole segments."""
        if self._finished:
            raise ValueError("the sealed stream is finished; nothing can be added")
        held, more = self._held, memoryview(data)
        # What fills a segment is sealed where it is, not gathered first.
        if len(held) + len(more) > self._room:
            at = self._room - len(held)
            held += more[:at]
            self._seal(held, last=False)
            while len(more) - at > self._later:
                self._seal(more[at : at + self._later], last=False)
                at += self._later
            self._room = self._later
            held[:] = more[at:]
        else:
            held += more
        return self._flush()

    def finish(self) -> bytes:
        """The last segment; every later call raises ValueError."""
        out = self.write(b"")
        self._finished = True
        self._seal(self._held, last=True)
        self._held.clear()
        return out + self._flush()

    def _seal(self, plain: bytearray | memoryview, last: bool) -> None:
        self._out.append(self._cipher.encrypt(_nonce(self._prefix, self._index, last), plain, None))
        self._index += 1

    def _flush(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out


class SealedReader:
    """Iterates over the authentic plaintext segments of one stream.

    Raises TruncatedError or AlteredError at the first segment that is not as written. With
    `torn` it stops there instead, and `ending` tells why. A stream cut inside a segment cannot be
    told from one whose last segment was altered: both end as truncated.
    """

    def __init__(
        self,
        source: Source,
        key: bytes,
        associated_data: bytes,
        *,
        torn: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.segments = 0  # authentic ones given out so far
        self.ending: Ending | None = None  # None while there is more to come
        self.error: SealError | None = None  # what stopped a torn stream
        self._segments = self._open(source, key, associated_data, segment_bytes)
        self._torn = torn

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.error is not None and not self._torn:
            raise self.error
        try:
            plain = next(self._segments)
        except SealError as error:
            self.error = error
            self.ending = Ending.TRUNCATED if isinstance(error, TruncatedError) else Ending.ALTERED
            if self._torn:
                raise StopIteration from None
            raise
        except StopIteration:
            self.ending = self.ending or Ending.COMPLETE
            raise
        self.segments += 1
        return plain

    def _open(self, source: Source, key: bytes, associated_data: bytes, size: int) -> Iterator[bytes]:
        header = _read(source, HEADER_BYTES)
        if header[:1] not in (b"", bytes([HEADER_BYTES])):
            raise AlteredError(f"the header begins with {header[0]}, not {HEADER_BYTES}", 0)
        if len(header) < HEADER_BYTES:
            raise TruncatedError(f"the header is cut after {len(header)} of {HEADER_BYTES} bytes", 0)
        cipher = _cipher(key, header[1 : 1 + SALT_BYTES], associated_data)
        prefix = header[1 + SALT_BYTES :]
        index, chunk = 0, _read(source, size - HEADER_BYTES)
        while following := _read(source, size):
            plain = _decrypt(cipher, _nonce(prefix, index, False), chunk)
            if plain is None:
                raise self._altered(cipher, prefix, index, chunk)
            yield plain
            index, chunk = index + 1, following
        plain = _decrypt(cipher, _nonce(prefix, index, True), chunk)
        if plain is None:
            # A whole segment that is authentic, though not as the last, is still good audio.
            plain = _decrypt(cipher, _nonce(prefix, index, False), chunk)
            if plain is None:
                raise TruncatedError(f"segment {index}, where the file ends, is cut or altered", index)
            yield plain
            raise TruncatedError(
                f"the file ends after segment {index} without its last-segment mark", index + 1
            )
        yield plain

    @staticmethod
    def _altered(cipher: AESGCM, prefix: bytes, index: int, chunk: bytes) -> AlteredError:
        if _decrypt(cipher, _nonce(prefix, index, True), chunk) is not None:
            return AlteredError(f"bytes follow segment {index}, which is marked as the last", index)
        other = ", or sealed for another recording or under another key" if index == 0 else ""
        return AlteredError(f"segment {index} is altered or out of its place{other}", index)


def open_sealed(source: Source, key: bytes, associated_data: bytes, *, torn: bool = False) -> SealedReader:
    """Decrypt a sealed stream segment by segment; `torn` accepts one that breaks off (see SealedReader)."""
    return SealedReader(source, key, associated_data, torn=torn)


def _cipher(key: bytes, salt: bytes, associated_data: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, associated_data).derive(key))


def _nonce(prefix: bytes, index: int, last: bool) -> bytes:
    return struct.pack(">7sI?", prefix, index, last)


def _decrypt(cipher: AESGCM, nonce: bytes, chunk: bytes) -> bytes | None:
    try:
        return cipher.decrypt(nonce, chunk, None)
    except InvalidTag:
        return None


def _read(source: Source, size: int) -> bytes:
    """As many bytes as asked for, fewer only at the end: a raw file may give less at a time."""
    data = source.read(size)
    while 0 < len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data
