"""The client's half of digest authentication (RFC 7616), written apart from the gateway's so that it can judge it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

HASHES: dict[str, Callable[[bytes], Any]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}


@dataclass(slots=True)
class Login:
    """A user and password, with how often each nonce was used."""

    user: str
    password: str = field(repr=False)
    uses: dict[str, int] = field(default_factory=dict)

    def answer(self, challenges: Iterable[str], method: str, uri: str) -> str | None:
        """The Authorization for the first challenge that can be met, as RFC 8760 section 2.4 says."""
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            asked = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETERS.findall(rest)}
            if scheme.lower() == "digest" and asked.get("algorithm", "MD5") in HASHES:
                return self._proof(asked, method, uri)
        return None

    def _proof(self, asked: dict[str, str], method: str, uri: str) -> str:
        algorithm, realm, nonce = asked.get("algorithm", "MD5"), asked["realm"], asked["nonce"]

        def hashed(text: str) -> Any:
            return HASHES[algorithm](text.encode()).hexdigest()

        self.uses[nonce] = self.uses.get(nonce, 0) + 1
        count, client_nonce = f"{self.uses[nonce]:08x}", uuid4().hex
        secret, request = hashed(f"{self.user}:{realm}:{self.password}"), hashed(f"{method}:{uri}")
        response = hashed(f"{secret}:{nonce}:{count}:{client_nonce}:auth:{request}")
        return (
            f'Digest username="{self.user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
            f'response="{response}", algorithm={algorithm}, cnonce="{client_nonce}", qop=auth, nc={count}'
        )


_PARAMETERS = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
