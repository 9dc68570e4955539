"""Where the host of a SIP URI is: SRV records, then addresses (RFC 3263 section 4.2), kept while DNS says that they hold."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.resolver
from dns.rdtypes.IN.A import A
from dns.rdtypes.IN.SRV import SRV

DEFAULT_PORT = 5060
ASK_SECONDS = 5.0  # for one record; a call is waiting
LEAST_SECONDS, MOST_SECONDS = 30.0, 3600.0  # that what was found is used, whatever DNS says
ADDRESS_SECONDS = 60.0  # of what the system says, which tells no time
MAX_NAMES = 256  # kept, the oldest forgotten first
MAX_PLACES = 16  # of one name

Place = tuple[str, int]
Asked = tuple[str, int | None, str]  # host, port, transport


@dataclass(slots=True)
class _Found:
    places: tuple[Place, ...]
    until: float  # of the loop's clock


class Names:
    """`servers` are asked, as address or address:port, or else those of the system. The hosts of `trusted` are those whose
    addresses `holds` knows."""

    def __init__(self, servers: Sequence[str] = (), trusted: Iterable[str] = ()) -> None:
        self._servers = bool(servers)
        self._resolver: dns.asyncresolver.Resolver | None = None
        with suppress(dns.resolver.NoResolverConfiguration):
            self._resolver = dns.asyncresolver.Resolver(configure=not servers)
        if self._resolver and servers:
            places = [_server(each) for each in servers]
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in places]
        self._trusted = {host.lower() for host in trusted}
        self._found: OrderedDict[Asked, _Found] = OrderedDict()
        self._loop = asyncio.get_running_loop()

    def known(self, host: str, port: int | None, transport: str) -> Place | None:
        """Where to send, if it is known now."""
        if _is_address(host):
            return host.strip("[]"), port or DEFAULT_PORT
        found = self._found.get((host, port, transport))
        return found.places[0] if found and self._loop.time() < found.until else None

    def holds(self, address: str) -> bool:
        """Whether one of the trusted hosts was last found there."""
        return address in self._trusted or any(
            asked[0].lower() in self._trusted and any(place[0] == address for place in found.places)
            for asked, found in self._found.items()
        )

    async def find(self, host: str, port: int | None, transport: str) -> tuple[Place, ...]:
        """All places, the first to be tried first. Raises OSError where there is none."""
        if place := self.known(host, port, transport):
            found = self._found.get((host, port, transport))
            return found.places if found else (place,)
        asked = host, port, transport
        before = self._found.get(asked)
        places, seconds = await self._ask(host, port, transport)
        if not places and before:  # DNS is away; the trunk need not be
            places, seconds = list(before.places), 0.0
        if not places:
            raise OSError("no address is known of a host")
        if before and before.places[0] in places:  # a trunk is not left without need
            places = [before.places[0], *(each for each in places if each != before.places[0])]
        until = self._loop.time() + min(max(seconds, LEAST_SECONDS), MOST_SECONDS)
        self._found[asked] = _Found(tuple(places[:MAX_PLACES]), until)
        self._found.move_to_end(asked)
        if len(self._found) > MAX_NAMES:
            self._found.popitem(last=False)
        return self._found[asked].places

    def failed(self, host: str, port: int | None, transport: str) -> None:
        """The first place did not answer: the next is tried first from now on (RFC 3263 section 4.3)."""
        if found := self._found.get((host, port, transport)):
            found.places = (*found.places[1:], found.places[0])

    async def _ask(self, host: str, port: int | None, transport: str) -> tuple[list[Place], float]:
        if port is None and (services := await self._services(host, transport)):
            records, seconds = services
            places = [
                (address, record.port)
                for record in _in_order(records)
                for address in (await self._addresses(record.target.to_text(omit_final_dot=True)))[0]
            ]
            if places:
                return list(dict.fromkeys(places)), seconds
        addresses, seconds = await self._addresses(host)
        return [(address, port or DEFAULT_PORT) for address in addresses], seconds

    async def _services(self, host: str, transport: str) -> tuple[list[SRV], float] | None:
        """The SRV records, with how long they hold; a record that names no host says that there is none."""
        if self._resolver is None:
            return None
        try:
            answer = await self._resolver.resolve(f"_sip._{transport}.{host}", "SRV", lifetime=ASK_SECONDS)
        except (dns.exception.DNSException, OSError):
            return None
        records = [each for each in answer if isinstance(each, SRV) and each.target != dns.name.root]
        return records, float(answer.rrset.ttl if answer.rrset else 0)

    async def _addresses(self, host: str) -> tuple[list[str], float]:
        """IPv4: the endpoint has no other."""
        if _is_address(host):
            return [host], MOST_SECONDS
        if self._resolver and self._servers:
            try:
                answer = await self._resolver.resolve(host, "A", lifetime=ASK_SECONDS)
                return [each.address for each in answer if isinstance(each, A)], float(
                    answer.rrset.ttl if answer.rrset else 0
                )
            except (dns.exception.DNSException, OSError):
                return [], 0.0
        try:
            found = await self._loop.getaddrinfo(host, None, family=socket.AF_INET, proto=socket.IPPROTO_UDP)
        except OSError:
            return [], 0.0
        return [str(each[4][0]) for each in found], ADDRESS_SECONDS


def _in_order(records: Sequence[SRV]) -> list[SRV]:
    """By priority, within it by chance that goes by weight (RFC 2782)."""
    chance = {id(record): random.random() ** (1 / max(record.weight, 0.01)) for record in records}  # noqa: S311
    return sorted(records, key=lambda record: (record.priority, -chance[id(record)]))


def _server(text: str) -> Place:
    host, _, port = text.partition(":")
    return host, int(port or 53)


def _is_address(host: str) -> bool:
    try:
        return bool(ip_address(host.strip("[]")))
    except ValueError:
        return False
