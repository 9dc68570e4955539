"""Who may speak to the SIP port and how often: an allow-list, token buckets, digest authentication.

Nothing is remembered of a peer but its bucket, in a table of fixed size.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.sip.answers import Objection, retry_after
from gateway.sip.digest import Authenticator, Verdict
from gateway.sip.message import Request

MAX_BUCKETS = 4096  # peers remembered, some 200 bytes each; the longest silent is forgotten first
STRANGER_RATE, STRANGER_BURST = 1.0, 5.0  # answers: enough to be told, too little to be a tool against others
MESSAGES_PER_REQUEST = 10  # a call's ACK, changes, refreshes, end, and what of it is sent twice
BURST_SECONDS = 2.0  # of its rate a peer may send at once

Network = IPv4Network | IPv6Network


class AllowList:
    """Networks whose hosts may speak."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)
        self._known = lru_cache(maxsize=1024)(self._look_up)

    def __contains__(self, host: str) -> bool:
        return self._known(host)

    def _look_up(self, host: str) -> bool:
        address = _address(host)
        return any(address in network for network in self._networks if network.version == address.version)


def _address(host: str) -> IPv4Address | IPv6Address:
    """Without zone; an IPv4 peer of an IPv6 socket as IPv4."""
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """A token bucket a key: `rate` a second, at most `burst` at once."""

    def __init__(self, rate: float, burst: float, most: int = MAX_BUCKETS) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> float:
        """Take one token; gives 0, or the seconds until there is one, and then takes none."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(self._burst, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.at) * self._rate)
        bucket.at = now
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / self._rate
        bucket.tokens -= 1
        return 0.0


@dataclass(frozen=True, slots=True)
class Access:
    """What the user agent server asks before it lets a request in."""

    allowed: AllowList
    answer_strangers: bool  # 403, else silence
    requests: Buckets  # INVITE and OPTIONS outside dialogs, a peer
    all_requests: Buckets  # of all peers together
    messages: Buckets  # datagrams of any kind that are read, a peer
    strangers: Buckets  # answers to them
    authenticator: Authenticator | None = None

    @classmethod
    def of(
        cls, allowed: Sequence[Network], answer_strangers: bool, per_peer: float, in_all: float,
        authenticator: Authenticator | None = None,
    ) -> Access:  # fmt: skip
        """With so many new requests a second."""

        def buckets(rate: float) -> Buckets:
            return Buckets(rate, max(1.0, rate * BURST_SECONDS))

        return cls(
            AllowList(allowed), answer_strangers, buckets(per_peer), buckets(in_all),
            buckets(MESSAGES_PER_REQUEST * per_peer), Buckets(STRANGER_RATE, STRANGER_BURST), authenticator,
        )  # fmt: skip

    def floods(self, host: str, now: float) -> bool:
        """Whether a datagram of this peer is better left unread."""
        return self.messages.take(host, now) > 0

    def answers_stranger(self, host: str, now: float) -> bool:
        return self.answer_strangers and not self.strangers.take(host, now)

    def too_often(self, host: str, now: float) -> Objection | None:
        """Why a new request of a peer is refused for their number."""
        wait = self.requests.take(host, now) or self.all_requests.take("", now)
        return Objection(503, "rate_limited", retry_after(math.ceil(wait))) if wait else None

    def unproven(self, request: Request, host: str, now: float) -> Objection | None:
        """Why a request is refused for its credentials."""
        guard = self.authenticator
        if guard is None:
            return None
        match guard.check(request, host, now):
            case Verdict.AUTHENTIC:
                return None
            case Verdict.STALE:
                return Objection(401, "stale_nonce", guard.challenge(host, now, stale=True))
            case Verdict.ABSENT:
                return Objection(401, "unauthenticated", guard.challenge(host, now))
            case Verdict.WRONG:
                return Objection(401, "wrong_credentials", guard.challenge(host, now))
