"""Settings of the SIP server: where it listens, what it takes, and of whom."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from gateway.config.section import Networks, Port, Section

Network = IPv4Network | IPv6Network
EVERYBODY = ("0.0.0.0/0", "::/0")
# RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291: reached from this site only.
PRIVATE = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
    "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip


class TlsSettings(Section):
    """SIP over TLS, beside UDP and TCP; off without a certificate. Changed files are read again while running."""

    port: Port = Field(5061, description="SIP port for TLS.")
    certificate: Path | None = Field(None, description="Our certificate and its chain, PEM; unset: no TLS.")
    key: Path | None = Field(None, description="Its private key, PEM, mode 0600.")
    client_ca: Path | None = Field(
        None, description="Authorities whose certificates clients may show, PEM; unset: clients show none."
    )
    client_certificate: Literal["required", "optional"] = Field(
        "required", description="With `client_ca`: whether a client without a certificate is refused."
    )
    handshake_seconds: float = Field(
        5.0, ge=0.5, le=60, description="A connection whose TLS handshake takes longer is closed."
    )

    @model_validator(mode="after")
    def _whole(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: one is set without the other")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca needs a certificate of ours")
        return self


Digest = Literal["SHA-256", "MD5"]


class AccessSettings(Section):
    """Who may place recordings. Whoever is not among the peers leaves no state and yields no media."""

    peers: Networks | None = Field(
        None,
        description="Networks of recording clients, like `192.0.2.0/28`; unset: everybody where `sip.address` is "
        "loopback, else the private networks only.",
    )
    strangers: Literal["refuse", "ignore"] = Field(
        "refuse", description="What others get: 403, at most one a second and address, or silence."
    )
    requests_per_second: float = Field(
        200.0, gt=0, description="New requests (INVITE, OPTIONS) taken of one address; more get 503."
    )
    requests_per_second_in_all: float = Field(
        1000.0, gt=0, description="New requests taken of all addresses together; more get 503."
    )
    credentials: Path | None = Field(
        None,
        description="File of users for digest authentication, mode 0600; see `hushtap sip-user`. Unset, and without "
        "`HUSHTAP_SIP_CREDENTIALS` in the environment: no authentication.",
    )
    realm: str = Field(
        "hushtap",
        pattern=r"^[\w.@ -]+$",
        description="Realm of digest authentication; stored hashes depend on it.",
    )
    algorithms: tuple[Digest, ...] = Field(
        ("SHA-256",),
        min_length=1,
        description="Digest algorithms offered, the best first; add `MD5` for old clients, or have it alone for those that "
        "look at the first challenge only.",
    )


class SipSettings(Section):
    """Where recording clients connect."""

    address: str = Field(
        "127.0.0.1", description="Address the SIP server binds, UDP and TCP; `::` takes IPv6 alone."
    )
    port: Port = Field(5060, description="SIP port, UDP and TCP.")
    max_message_bytes: int = Field(
        65_535, ge=4096, le=1_048_576, description="Largest SIP message taken; a larger one is answered 513."
    )
    max_tcp_connections: int = Field(
        1024, ge=1, description="TCP and TLS connections kept at once; further ones are closed."
    )
    max_tcp_connections_per_peer: int = Field(
        512, ge=1, description="Of these, kept of one address; further ones are closed."
    )
    tcp_idle_seconds: int = Field(
        600,
        ge=10,
        description="A TCP connection that carries no running call and is silent this long is closed.",
    )
    session_seconds: int = Field(
        1800,
        ge=0,
        le=86_400,
        description="Session timer (RFC 4028) asked of a client that knows it and asks for none; 0: none.",
    )
    min_session_seconds: int = Field(
        90, ge=90, le=86_400, description="Shortest session timer taken; a shorter one is answered 422."
    )
    tls: TlsSettings = Field(TlsSettings(), description="SIP over TLS.")
    access: AccessSettings = Field(AccessSettings(), description="Who may place recordings.")

    def peers(self) -> tuple[Network, ...]:
        """Networks whose hosts may speak to the SIP port."""
        if self.access.peers is not None:
            return tuple(ip_network(peer) for peer in self.access.peers)
        return tuple(map(ip_network, EVERYBODY if is_loopback(self.address) else PRIVATE))


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
