"""Metadata that is nearly XML, as some clients write it, made well-formed step by step.

Each step repairs one mistake and is tried only when what came before it did not read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_BARE_AMPERSAND = re.compile(rb"&(?!(?:#\d+|#x[0-9A-Fa-f]+|amp|lt|gt|quot|apos);)")
_NAME_TEXT = re.compile(rb"(<(?:[\w.-]+:)?name\b[^<>]*>)(.*?)(</(?:[\w.-]+:)?name\s*>)", re.DOTALL)
_VALUE = re.compile(rb"=\s*(\"[^\"]*\"|'[^']*')")
_TAG_PREFIX = re.compile(rb"<(/?)[A-Za-z_][\w.-]*:(?=[A-Za-z_])")
_ATTRIBUTE_PREFIX = re.compile(rb"(\s)(?!xmlns:|xml:)[A-Za-z_][\w.-]*:([A-Za-z_][\w.-]*\s*=\s*[\"'])")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DECLARATION = re.compile(rb"\A<\?xml[^>]*\?>")


def mended(data: bytes) -> Iterator[tuple[bytes, str]]:
    """The document after each repair that changes it, with a note of what has been repaired so far."""
    notes: list[str] = []
    for repair, note in _REPAIRS:
        after = repair(data)
        if after != data:
            data = after
            notes.append(note)
            yield data, "the metadata has " + " and ".join(notes)


def _escape_ampersands(data: bytes) -> bytes:
    return _BARE_AMPERSAND.sub(b"&amp;", data)


def _escape_brackets(data: bytes) -> bytes:
    """Brackets in names and in attribute values, which clients copy from name-addr headers."""
    data = _NAME_TEXT.sub(lambda m: m[1] + _brackets(m[2]) + m[3], data)
    return _VALUE.sub(lambda m: b"=" + _brackets(m[1]), data)


def _brackets(text: bytes) -> bytes:
    return text.replace(b"<", b"&lt;").replace(b">", b"&gt;")


def _to_utf8(data: bytes) -> bytes:
    """Octets that are not what the declaration says: taken for UTF-8, else for Latin-1."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return _CONTROL.sub(b"", _DECLARATION.sub(b"", text.encode("utf-8")))


def _drop_prefixes(data: bytes) -> bytes:
    return _ATTRIBUTE_PREFIX.sub(rb"\1\2", _TAG_PREFIX.sub(rb"<\1", data))


_REPAIRS: tuple[tuple[Callable[[bytes], bytes], str], ...] = (
    (_escape_ampersands, "unescaped ampersands"),
    (_escape_brackets, "unescaped brackets"),
    (_to_utf8, "octets that XML or its declaration does not allow"),
    (_drop_prefixes, "prefixes that are not declared"),
)
