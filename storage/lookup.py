"""Finding calls by number without storing numbers: keyed hashes of a number and its suffixes.

A number of four digits or more is stored as the hashes of its last 4, 5, ... 9 digits and of the
whole without leading zeros; anything else (a short extension, a name) as the hash of the whole.
A search by more than nine digits takes the last nine, so +44, 0044 and 0 forms of one number meet;
shorter national numbers meet as the last seven or eight digits of an international one.
"""

from __future__ import annotations

import hashlib
import hmac
import re

MIN_SUFFIX, MAX_SUFFIX = 4, 9  # digits; four is what people remember, nine identify a subscriber
SHORT_NATIONAL = (7, 8)  # digits of whole national numbers shorter than nine
MAX_LISTED = 256  # characters of a number or address on a list
HASH_BYTES = 16  # of the HMAC kept: no two numbers meet by chance

DIALLED = re.compile(r"\+?[\d\s().\-/]*\d[\d\s().\-/]*")
SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)


def number_hashes(lookup_key: bytes, number: str) -> tuple[bytes, ...]:
    """What is stored for a number, extension or address of record."""
    text = _normal(number)
    if not text.isdecimal():
        return (_hash(lookup_key, "whole", text),)
    suffixes = [text[-size:] for size in range(MIN_SUFFIX, min(len(text), MAX_SUFFIX) + 1)]
    return (
        _hash(lookup_key, "whole", _significant(text)),
        *(_hash(lookup_key, "suffix", s) for s in suffixes),
    )


def search_hashes(lookup_key: bytes, number: str) -> tuple[bytes, ...]:
    """What to look for: a call matches that has any of these."""
    text = _normal(number)
    if not text.isdecimal() or len(text) < MIN_SUFFIX:
        return (_hash(lookup_key, "whole", _significant(text)),)
    if len(text) <= MAX_SUFFIX:
        return (_hash(lookup_key, "suffix", text),)
    national = [_hash(lookup_key, "whole", text[-size:]) for size in SHORT_NATIONAL]
    return (_hash(lookup_key, "suffix", text[-MAX_SUFFIX:]), *national)


def listed_hashes(lookup_key: bytes, number: str) -> tuple[bytes, ...]:
    """What stands for a number on a list: the numbers whose `number_hashes` have any of these are the same.

    Unlike a search it takes no short number for the end of a longer one.
    """
    text = _significant(_normal(number))
    if not text.isdecimal() or len(text) < SHORT_NATIONAL[0]:
        return (_hash(lookup_key, "whole", text),)
    return search_hashes(lookup_key, text)


def is_number(number: str) -> bool:
    """Whether it is digits, with what is written between them, or an address of record."""
    text = _normal(number)
    return any(map(str.isalnum, text)) and number.isprintable() and len(number) <= MAX_LISTED


def _normal(number: str) -> str:
    """The digits of a dialled number, or the user part of an address in lower case."""
    text = SCHEME.sub("", str.__str__(number).strip(), count=1)
    text = re.split("[@;]", text, maxsplit=1)[0]
    return re.sub(r"\D", "", text) if DIALLED.fullmatch(text) else text.casefold()


def _significant(text: str) -> str:
    return text.lstrip("0") or text


def _hash(lookup_key: bytes, kind: str, text: str) -> bytes:
    told = f"{kind}:{text}".encode("utf-8", "surrogateescape")
    return hmac.digest(lookup_key, told, hashlib.sha256)[:HASH_BYTES]
