"""Agents' tokens: what one looks like, what it allows, and how its secret is recognised."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Container
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.recording.model import Personal

# ht_<id>_<secret>: 32 bits that name the token, 256 bits that prove it, in the letters of a URL.
TOKEN = re.compile(r"ht_([0-9a-f]{8})_([A-Za-z0-9_-]{43})", re.ASCII)
NOBODY = bytes(32)


class Right(StrEnum):
    PAUSE = "pause"  # resume and extend, too
    OPT_OUT = "opt-out"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Agent:
    """The holder of one token. Any agent may see the calls of its extensions."""

    id: str
    name: Personal
    extensions: frozenset[str] | None = field(repr=False)  # None: all
    rights: frozenset[Right]
    digest: bytes = field(repr=False)  # of the secret
    created: str  # UTC, RFC 3339

    def answers_for(self, extension: str) -> bool:
        return self.extensions is None or extension in self.extensions


def digest(secret: str) -> bytes:
    """SHA-256, plain: 256 random bits cannot be guessed or tabulated, so salt and slowness would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def issue(
    name: str,
    extensions: frozenset[str] | None,
    rights: frozenset[Right],
    created: str,
    taken: Container[str],
) -> tuple[Agent, str]:
    """A new agent, and its token, which nobody can tell again."""
    secret = secrets.token_urlsafe(32)
    id = secrets.token_hex(4)
    while id in taken:
        id = secrets.token_hex(4)
    return Agent(id, Personal(name), extensions, rights, digest(secret), created), f"ht_{id}_{secret}"


def identify(token: str, agents: dict[str, Agent]) -> Agent | None:
    """The agent whose token this is; None for any other text."""
    found = TOKEN.fullmatch(token)
    if found is None:
        return None
    agent = agents.get(found[1])
    proven = hmac.compare_digest(agent.digest if agent else NOBODY, digest(found[2]))
    return agent if proven else None
