"""The crypto suites of SRTP, by their names in SDP (RFC 4568 section 6.2, RFC 6188, RFC 7714)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Suite:
    """Sizes, in octets."""

    name: str
    key: int
    salt: int
    tag: int
    tag_last: bool = True  # whether a key identifier stands before the tag, as with an HMAC, or after it


SUITES = {
    suite.name: suite
    for suite in (
        Suite("AES_CM_128_HMAC_SHA1_80", 16, 14, 10),
        Suite("AES_CM_128_HMAC_SHA1_32", 16, 14, 4),
        Suite("AES_256_CM_HMAC_SHA1_80", 32, 14, 10),
        Suite("AES_256_CM_HMAC_SHA1_32", 32, 14, 4),
        Suite("AEAD_AES_128_GCM", 16, 12, 16, tag_last=False),
        Suite("AEAD_AES_256_GCM", 32, 12, 16, tag_last=False),
    )
}


@dataclass(frozen=True, slots=True)
class MasterKey:
    """One key of an `a=crypto` line, and the identifier that packets name it by."""

    suite: str  # its name
    secret: bytes = field(repr=False)  # key, then salt
    mki: bytes = b""
