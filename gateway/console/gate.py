"""Who is let in, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Protocol

from fastapi import Depends, Request
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.security.base import SecurityBase

from gateway.config.api import ApiSettings
from gateway.console.agents import Agent, identify
from gateway.console.meters import Meters
from gateway.console.problems import Problem, too_many
from gateway.sip.access import Buckets

BURST_SECONDS = 4.0  # of its rate a token or an address may ask at once
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="hushtap"'}
WRONG = {"WWW-Authenticate": 'Bearer realm="hushtap", error="invalid_token"'}


class Agents(Protocol):
    """The tokens as they are now."""

    def current(self) -> dict[str, Agent]: ...


@dataclass(frozen=True, slots=True)
class Clock:
    monotonic: Callable[[], float]  # seconds
    utc_ns: Callable[[], int]


class Gate:
    """Rates are kept a token and an address, so that nobody is locked out by another's wrong tokens."""

    def __init__(self, agents: Agents, settings: ApiSettings, clock: Clock, meters: Meters) -> None:
        def buckets(rate: float) -> Buckets:
            return Buckets(rate, max(1.0, rate * BURST_SECONDS))

        self.agents, self._clock, self._meters = agents, clock, meters
        self._tokens = buckets(settings.requests_per_second)
        self._addresses = buckets(settings.requests_per_second_per_address)
        self._failures = Buckets(settings.failures_per_minute / 60, max(1.0, settings.failures_per_minute))

    def knock(self, host: str) -> None:
        """One request of an address, before anything of it is looked at. Raises Problem."""
        if wait := self._addresses.take(network(host), self._clock.monotonic()):
            raise too_many("requests from this address", wait)

    def admit(self, token: str | None, host: str) -> Agent:
        """The agent who asks. Raises Problem."""
        agent = identify(token, self.agents.current()) if token else None
        now = self._clock.monotonic()
        if agent is None:
            self._meters.failures.inc()
            if wait := self._failures.take(network(host), now):
                raise too_many("wrong tokens from this address", wait)
            if token:
                raise Problem(401, "this token is not known, or was revoked", WRONG)
            raise Problem(401, "a token is needed", CHALLENGE)
        if wait := self._tokens.take(agent.id, now):
            raise too_many("requests with this token", wait)
        return agent


def network(host: str) -> str:
    """What counts as one address: of IPv6 the 64 bits that a site has at least, for it chooses the others itself."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or address.packed[:8].hex())
    return host


def host_of(request: Request) -> str:
    return request.client.host if request.client else ""


class BearerToken(SecurityBase):
    """A token in the Authorization header (RFC 6750)."""

    def __init__(self) -> None:
        self.model = HTTPBearer(
            bearerFormat="ht_<id>_<secret>", description="A token of `hushtap agents add`."
        )
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> Agent:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        gate: Gate = request.app.state.gate
        return gate.admit(token.strip() if scheme.lower() == "bearer" else None, host_of(request))


class QueryToken(SecurityBase):
    """A token in the query, for telephones that can send nothing else; never one for all extensions."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate(
            {
                "in": APIKeyIn.query,
                "name": "token",
                "description": "A token of `hushtap agents add`, limited to named extensions.",
            }
        )
        self.scheme_name = "query"

    async def __call__(self, request: Request) -> Agent:
        gate: Gate = request.app.state.gate
        agent = gate.admit(request.query_params.get("token"), host_of(request))
        if agent.extensions is None:
            raise Problem(
                403, "a token for all extensions is not taken from a URL: use one of this extension"
            )
        return agent


ByHeader = Annotated[Agent, Depends(BearerToken())]
ByQuery = Annotated[Agent, Depends(QueryToken())]
