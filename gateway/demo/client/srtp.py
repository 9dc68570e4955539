"""SRTP as a client sends it: a key for each leg, told in the offer (RFC 4568)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field

from pylibsrtp import Policy, Session

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


@dataclass(frozen=True, slots=True)
class Srtp:
    """What protects one leg."""

    suite: str
    secret: bytes = field(repr=False)  # key, then salt, of the lengths the suite asks for

    def line(self) -> str:
        """Its line in the offer."""
        return f"a=crypto:1 {self.suite} inline:{base64.b64encode(self.secret).decode()}"

    def sealer(self) -> Callable[[bytes], bytes]:
        """Turns RTP into SRTP; a packet may be sent twice."""
        policy = Policy(self.secret, Policy.SSRC_ANY_OUTBOUND, srtp_profile=SUITES[self.suite])
        policy.allow_repeat_tx = True
        return Session(policy).protect
