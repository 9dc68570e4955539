"""SDP security descriptions (RFC 4568): the keys a client sends with, and the line that accepts them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.rtp.suites import SUITES, MasterKey

MAX_KEYS = 8  # in one line
MAX_MKI = 128  # octets, section 6.1
# Section 6.3: a parameter that is not understood makes the line unusable, unless it begins with a hyphen. SRTCP is
# not opened here, and a receiver's window is its own affair.
HARMLESS = re.compile(r"-.*|UNENCRYPTED_SRTCP|WSH=\d+|KDR=0")
_LINE = re.compile(r"(\d{1,9})\s+(\S+)\s+(\S+)(?:\s+(.*))?")
_KEY = re.compile(r"inline:([A-Za-z0-9+/]+=*)(?:\|(?:2\^\d+|\d+))?(?:\|(\d+):(\d+))?")


@dataclass(frozen=True, slots=True)
class Crypto:
    """A line that can be taken."""

    tag: int
    keys: tuple[MasterKey, ...]

    @property
    def suite(self) -> str:
        return self.keys[0].suite


def choose(lines: Iterable[str]) -> Crypto | None:
    """The first `a=crypto` value, in the offer's order of preference, that is understood in full."""
    return next((crypto for line in lines if (crypto := parse(line))), None)


def parse(line: str) -> Crypto | None:
    """An `a=crypto` value, or None where its suite, a key or a session parameter cannot be taken."""
    match = _LINE.fullmatch(line.strip())
    if not match or match[2] not in SUITES:
        return None
    if not all(HARMLESS.fullmatch(parameter) for parameter in (match[4] or "").split()):
        return None
    texts = match[3].split(";")
    keys = [_key(match[2], text) for text in texts[:MAX_KEYS]]
    taken = tuple(key for key in keys if key)
    # Several keys are told apart by identifiers of one length; without them there can be one key only.
    if (
        len(taken) != len(texts)
        or len({len(key.mki) for key in taken}) != 1
        or (len(taken) > 1 and not taken[0].mki)
    ):
        return None
    return Crypto(int(match[1]), taken)


def answer(crypto: Crypto, secret: bytes) -> str:
    """The value that accepts a line; `secret`, key and salt of ours, protects what we would send: nothing."""
    return f"{crypto.tag} {crypto.suite} inline:{base64.b64encode(secret).decode('ascii')}"


def secret_bytes(suite: str) -> int:
    """How long key and salt of a suite are together."""
    return SUITES[suite].key + SUITES[suite].salt


def _key(suite: str, text: str) -> MasterKey | None:
    match = _KEY.fullmatch(text)
    if not match:
        return None
    try:
        secret = base64.b64decode(match[1] + "=" * (-len(match[1]) % 4), validate=True)
    except binascii.Error:
        return None
    if len(secret) != secret_bytes(suite):
        return None
    if match[2] is None:
        return MasterKey(suite, secret)
    length = int(match[3])
    if not 1 <= length <= MAX_MKI or int(match[2]).bit_length() > 8 * length:
        return None
    return MasterKey(suite, secret, int(match[2]).to_bytes(length))
