"""EBML (RFC 8794): elements written to bytes and scanned from them."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

MAX_BODY_BYTES = 1 << 20  # of one element; the largest we write, a block of 100 ms, is under 40 kB
VOID = 0xEC


class ContainerError(Exception):
    """The plaintext is not a container, or was asked to hold what none can."""


class CutError(ContainerError):
    """The input stops inside an element."""


class Element(NamedTuple):
    """One element; `body` is empty for one that was entered."""

    id: int
    body: bytes


def element(id: int, body: bytes) -> bytes:
    """An element of known size."""
    return id.to_bytes((id.bit_length() + 7) // 8) + _size(len(body)) + body


def master(id: int, *parts: bytes) -> bytes:
    return element(id, b"".join(parts))


def uint(id: int, value: int) -> bytes:
    return element(id, value.to_bytes((value.bit_length() + 7) // 8 or 1))


def real(id: int, value: float) -> bytes:
    return element(id, struct.pack(">d", value))


def text(id: int, value: str) -> bytes:
    return element(id, value.encode())


def void(size: int) -> bytes:
    """A Void of exactly `size` bytes in all, at least 2; it may stand between any two elements."""
    if size < 2:
        raise ContainerError(f"a Void takes at least 2 bytes, {size} were asked for")
    if size <= 128:
        return bytes([VOID, 0x80 | size - 2]) + bytes(size - 2)
    return bytes([VOID]) + (1 << 56 | size - 9).to_bytes(8) + bytes(size - 9)


def uint_of(body: bytes) -> int:
    if len(body) > 8:
        raise ContainerError(f"an unsigned integer has {len(body)} bytes, at most 8 are allowed")
    return int.from_bytes(body)


def real_of(body: bytes) -> float:
    if len(body) not in (4, 8):
        raise ContainerError(f"a float has {len(body)} bytes, 4 or 8 are allowed")
    value: float = struct.unpack(">f" if len(body) == 4 else ">d", body)[0]
    return value


def text_of(body: bytes) -> str:
    try:
        return body.rstrip(b"\0").decode()
    except UnicodeDecodeError as error:
        raise ContainerError("a text is not UTF-8") from error


def children(body: bytes) -> Iterator[Element]:
    """The elements in the body of a master element."""
    return scan([body], ())


def scan(plain: Iterable[bytes], entered: Collection[int]) -> Iterator[Element]:
    """Elements in order, from chunks of any size; masters in `entered` are given empty, then their children.

    Raises CutError where the input stops inside an element, ContainerError where it is not EBML.
    """
    window = _Window(plain)
    while window.more():
        id = window.number(4, keep_marker=True)
        size = window.number(8, keep_marker=False)
        if id in entered:
            yield Element(id, b"")
        elif size > MAX_BODY_BYTES:
            raise ContainerError(f"element {id:X} claims {size} bytes, at most {MAX_BODY_BYTES} are allowed")
        else:
            yield Element(id, window.take(size))


class _Window:
    """The part of the input that is being looked at."""

    def __init__(self, plain: Iterable[bytes]) -> None:
        self._chunks = iter(plain)
        self._data = b""
        self._at = 0

    def more(self) -> bool:
        return self._fill(1)

    def take(self, size: int) -> bytes:
        if not self._fill(size):
            raise CutError("the container stops inside an element")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, longest: int, *, keep_marker: bool) -> int:
        """A variable-length integer (RFC 8794 section 4): the place of its first one-bit tells its length."""
        first = self.take(1)
        length = 9 - first[0].bit_length()
        if length > longest:
            raise ContainerError(
                f"an element begins with {first[0]:02X}, which starts no number of {longest} bytes"
            )
        value = int.from_bytes(first + self.take(length - 1))
        return value if keep_marker else value ^ 1 << 7 * length

    def _fill(self, size: int) -> bool:
        missing = size - (len(self._data) - self._at)
        if missing <= 0:
            return True
        pieces = [self._data[self._at :]]
        while missing > 0 and (chunk := next(self._chunks, None)) is not None:
            pieces.append(chunk)
            missing -= len(chunk)
        self._data, self._at = b"".join(pieces), 0
        return missing <= 0


def _size(value: int) -> bytes:
    length = value.bit_length() // 7 + 1
    if value == (1 << 7 * length) - 1:  # all ones means "unknown"
        length += 1
    return (value | 1 << 7 * length).to_bytes(length)
