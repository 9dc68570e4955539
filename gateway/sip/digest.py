"""Digest authentication of requests (RFC 3261 section 22, RFC 7616, RFC 8760), without state for strangers.

A nonce carries its own proof: the time it was made, random text, and a keyed hash of both with the client's host.
Only a nonce that authenticated somebody is remembered, for its counts; when it is forgotten, it and all older ones
that are not remembered are stale.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from gateway.sip.answers import Fields
from gateway.sip.message import Request

NONCE_SECONDS = 300.0  # a call's set-up and first changes; afterwards `stale=true` asks to try again
MAX_NONCES = 4096  # remembered for their counts; some 200 bytes each
COUNT_WINDOW = 64  # counts that may overtake each other: requests of one client in flight

_PARAM = re.compile(r'\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')
_SHORT = 32  # hex digits of a keyed hash: 128 bits


class Algorithm(StrEnum):
    """As named on the wire, best first."""

    SHA256 = "SHA-256"
    MD5 = "MD5"

    def digest(self, text: str) -> str:
        data = text.encode("utf-8", "surrogateescape")
        if self is Algorithm.MD5:
            return hashlib.md5(data, usedforsecurity=False).hexdigest()
        return hashlib.sha256(data).hexdigest()


class Verdict(Enum):
    AUTHENTIC = auto()
    ABSENT = auto()  # no credentials for our realm
    STALE = auto()  # right, by a nonce that is too old or forgotten, or a count that was used before
    WRONG = auto()  # unknown user, wrong password, or unreadable


class CredentialsError(ValueError):
    """A line of credentials that cannot be read; the text names the line's number, never its content."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a user proves to know, as kept: HA1 of RFC 7616 section 3.4.2, never the password."""

    user: str
    realm: str
    algorithm: Algorithm
    ha1: str

    @classmethod
    def of(cls, user: str, realm: str, algorithm: Algorithm, password: str) -> Credential:
        return cls(user, realm, algorithm, algorithm.digest(f"{user}:{realm}:{password}"))

    def __str__(self) -> str:
        return f"{self.user}:{self.realm}:{self.algorithm}:{self.ha1}"


def parse_credentials(text: str) -> tuple[Credential, ...]:
    """Lines of `user:realm:algorithm:HA1`; blank ones and those that start with # are passed over.

    Raises CredentialsError.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = line.strip().split(":")
        size = {"SHA-256": 64, "MD5": 32}.get(parts[2] if len(parts) == 4 else "")
        if size is None or not re.fullmatch(rf"[0-9a-f]{{{size}}}", parts[3]) or not parts[0]:
            raise CredentialsError(f"line {number} is not user:realm:SHA-256 or MD5:hash in lower-case hex")
        found.append(Credential(parts[0], parts[1], Algorithm(parts[2]), parts[3]))
    return tuple(found)


class Authenticator:
    """Asks for credentials and checks them; times are float seconds of one monotonic clock."""

    def __init__(
        self, realm: str, credentials: Iterable[Credential], algorithms: Sequence[Algorithm],
        token: Callable[[], str],
    ) -> None:  # fmt: skip
        self.realm = realm
        self._token = token
        self._secret = f"{token()}{token()}".encode()
        self._algorithms = tuple(sorted(algorithms, key=list(Algorithm).index))
        self._seen: OrderedDict[str, _Counts] = OrderedDict()
        self._forgotten = -1.0  # nonces made up to then count as used when they are not remembered
        self.exchange(credentials)

    def exchange(self, credentials: Iterable[Credential]) -> None:
        """Other users from now on."""
        mine = (c for c in credentials if c.realm == self.realm)
        self._ha1 = {(c.user, c.algorithm): c.ha1 for c in mine}

    def challenge(self, host: str, now: float, stale: bool = False) -> Fields:
        """A WWW-Authenticate for each algorithm, the best first (RFC 8760 section 2.3)."""
        nonce = self._nonce(host, now)
        tail = ", stale=true" if stale else ""
        return tuple(
            ("WWW-Authenticate", f'Digest realm="{self.realm}", nonce="{nonce}", qop="auth", algorithm={name}{tail}')
            for name in self._algorithms
        )  # fmt: skip

    def check(self, request: Request, host: str, now: float) -> Verdict:
        """Whether a request from a host proves to know a password."""
        for value in request.headers.all("Authorization"):
            given = parse_digest(value)
            if given and given.get("realm") == self.realm:
                return self._judge(given, request.method, host, now)
        return Verdict.ABSENT

    def _judge(self, given: Mapping[str, str], method: str, host: str, now: float) -> Verdict:
        algorithm = next((a for a in self._algorithms if a == given.get("algorithm", "MD5").upper()), None)
        made = self._made(given.get("nonce", ""), host)
        count = _count(given, algorithm)
        if algorithm is None or count is None:
            return Verdict.WRONG
        if not _proves(given, method, algorithm, self._known(given, algorithm)):
            return Verdict.WRONG
        if made is None or not 0 <= now - made <= NONCE_SECONDS:
            return Verdict.STALE
        return self._counted(given["nonce"], made, count)

    def _known(self, given: Mapping[str, str], algorithm: Algorithm) -> str:
        """HA1 of the user; of one that does not exist a value nobody can answer, at the same cost."""
        return self._ha1.get((given.get("username", ""), algorithm)) or self._keyed("nobody")

    def _counted(self, nonce: str, made: float, count: int) -> Verdict:
        counts = self._seen.get(nonce)
        if counts is None:
            if made <= self._forgotten:
                return Verdict.STALE
            counts = self._seen[nonce] = _Counts()
            if len(self._seen) > MAX_NONCES:
                oldest, _ = self._seen.popitem(last=False)
                self._forgotten = max(self._forgotten, _time(oldest))
        return Verdict.AUTHENTIC if counts.take(count) else Verdict.STALE

    def _nonce(self, host: str, now: float) -> str:
        body = f"{int(now * 1000):x}-{self._token()}"
        return f"{body}-{self._keyed(f'{body} {host}')}"

    def _made(self, nonce: str, host: str) -> float | None:
        """When we made this nonce for this host; None when we did not."""
        body, _, proof = nonce.rpartition("-")
        if not hmac.compare_digest(self._keyed(f"{body} {host}").encode(), _bytes(proof)):
            return None
        return _time(nonce)

    def _keyed(self, text: str) -> str:
        return hmac.new(self._secret, _bytes(text), "sha256").hexdigest()[:_SHORT]


class _Counts:
    """Nonce counts seen: the highest, and which of the window below it (RFC 7616 section 3.4)."""

    __slots__ = ("_highest", "_window")

    def __init__(self) -> None:
        self._highest = 0
        self._window = 0  # bit n: the count n below the highest was seen

    def take(self, count: int) -> bool:
        """Whether this count is new; each is taken once."""
        ahead = count - self._highest
        if ahead > 0:
            kept = self._window << min(ahead, COUNT_WINDOW) | 1
            self._highest, self._window = count, kept & ((1 << COUNT_WINDOW) - 1)
            return True
        bit = 1 << -ahead
        if -ahead >= COUNT_WINDOW or self._window & bit:
            return False
        self._window |= bit
        return True


def parse_digest(value: str) -> dict[str, str] | None:
    """The parameters of a Digest header, names in lower case; None when it is another scheme or unreadable."""
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    params: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _PARAM.match(rest, at)
        if not found or found[1].lower() in params:
            return None
        quoted = found[2]
        params[found[1].lower()] = found[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = found.end()
    return params


def _count(given: Mapping[str, str], algorithm: Algorithm | None) -> int | None:
    """The nonce count; 1 for clients of RFC 2069, which have none and only MD5: each nonce serves them once."""
    qop = given.get("qop")
    if qop is None:
        return 1 if algorithm is Algorithm.MD5 else None
    text = given.get("nc", "")
    readable = qop.lower() == "auth" and given.get("cnonce") and re.fullmatch(r"[0-9A-Fa-f]{8}", text)
    return int(text, 16) or None if readable else None


def _proves(given: Mapping[str, str], method: str, algorithm: Algorithm, ha1: str) -> bool:
    """RFC 7616 section 3.4.1. The uri is the client's: proxies rewrite the request's own."""
    ha2 = algorithm.digest(f"{method}:{given.get('uri', '')}")
    middle = [given.get("nonce", "")]
    if "qop" in given:
        middle += [given.get("nc", ""), given.get("cnonce", ""), given["qop"]]
    expected = algorithm.digest(":".join([ha1, *middle, ha2]))
    return hmac.compare_digest(expected.encode(), _bytes(given.get("response", "").lower()))


def _time(nonce: str) -> float:
    return int(nonce.partition("-")[0], 16) / 1000


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
