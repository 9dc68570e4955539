"""Who may speak to the SIP port and how often: an allow-list, token buckets, digest authentication.

Nothing is remembered of a peer but its bucket, in a table of fixed size.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.sip.digest import Authenticator

MAX_BUCKETS = (
    4096  # peers whose rate is remembered, some 200 bytes each; the longest silent is forgotten first
)
STRANGER_ANSWERS = (
    1.0  # a second and stranger; a burst of five: enough to be told, too little to be amplified
)
STRANGER_BURST = 5.0

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
    requests: Buckets  # new ones, a peer
    all_requests: Buckets  # new ones, of all peers together
    strangers: Buckets  # answers to them
    authenticator: Authenticator | None = None

    def wait(self, host: str, now: float) -> float:
        """0 when a peer may make a new request, else seconds to wait."""
        return self.requests.take(host, now) or self.all_requests.take("", now)
