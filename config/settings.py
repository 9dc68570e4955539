"""The settings model: one complete value, checked when it is made, replaced whole on reload.

Read from TOML. Every field's description is its line in docs/configuration.md.
"""

from __future__ import annotations

import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from gateway.config.api import ApiSettings
from gateway.config.attach import Attachment, TapSettings
from gateway.config.endpoint import EndpointSettings
from gateway.config.notice import NoticeSettings
from gateway.config.redaction import OptOutSettings, RedactionSettings
from gateway.config.scope import ScopeSettings
from gateway.config.section import Patterns, Section
from gateway.config.watching import LogSettings, MetricsSettings


class SettingsError(Exception):
    """The configuration cannot be used; the text is one sentence a line, each naming the place."""


# In the words of TOML, where pydantic speaks of Python.
EXPECTED = {
    "model_type": "a table is expected",
    "tuple_type": "a list is expected",
    "path_type": "a path is expected, in quotes",
}

Port = Annotated[int, Field(ge=1, le=65535)]
Network = IPv4Network | IPv6Network
EVERYBODY = ("0.0.0.0/0", "::/0")
# RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291: reached from this site only.
PRIVATE = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
    "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip
KeyName = Literal["vault_public", "vault_private", "node", "lookup"]


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

    peers: tuple[str, ...] | None = Field(
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

    @field_validator("peers")
    @classmethod
    def _networks(cls, peers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for peer in peers or ():
            try:
                ip_network(peer)
            except ValueError as error:
                raise ValueError(f"{peer!r} is not a network or an address: {error}") from error
        return peers


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


class MediaSettings(Section):
    """Where audio arrives and how long it waits in memory."""

    address: str | None = Field(
        None, description="Address written into SDP answers; unset: the address the INVITE came to."
    )
    first_port: Port = Field(20_000, description="First RTP port; each stream takes an even port.")
    last_port: Port = Field(29_999, description="Last RTP port.")
    hold_back_seconds: float = Field(
        5.0, ge=0.5, le=30, description="Audio waits this long in memory before it may be written."
    )
    max_calls: int = Field(
        1000, ge=1, le=20_000, description="Calls recorded at once; a further one is refused (503)."
    )
    timeout_seconds: float = Field(
        60.0,
        ge=5,
        description="When no leg of a call carries packets for this long the client is asked whether the call is still "
        "there; if not, or if it does not answer, the call is ended.",
    )
    silence_limit_seconds: float = Field(
        3600.0, ge=5, description="A call without packets for this long is ended whatever its client says."
    )
    transfer_seconds: float = Field(
        3.0,
        ge=0,
        le=30,
        description="A call whose client groups its sessions waits this long after one ended for the next, and goes on "
        "with it as a further segment. Keep it below `hold_back_seconds`.",
    )
    tick_milliseconds: int = Field(
        100, ge=20, le=500, description="How often a media worker drains its sockets."
    )
    workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Media workers, among which calls are spread; 0: one a core less one, at least one.",
    )

    @model_validator(mode="after")
    def _ports_in_order(self) -> MediaSettings:
        if self.last_port < self.first_port + 3:
            raise ValueError(
                f"ports {self.first_port} to {self.last_port} leave no room for a call: at least four are needed"
            )
        return self


class StorageSettings(Section):
    """Where recordings and the index are kept."""

    directory: Path = Field(
        Path("hushtap-data"), description="Folder for everything written: recordings, wrapped keys, index."
    )
    min_free_megabytes: int = Field(
        512, ge=16, description="New recordings are refused (503) when the disk has less free than this."
    )


class LoadSettings(Section):
    """When new calls are refused (503 with Retry-After) so that the running ones stay whole."""

    busy_percent: float = Field(
        90.0,
        ge=10,
        le=100,
        description="Share of a processor a media worker may use for its ticks before it takes no new calls; when none "
        "takes any they are refused.",
    )
    late_milliseconds: int = Field(
        2000,
        ge=100,
        le=4000,
        description="How late a media worker's tick may begin before it takes no new calls. Until then audio waits in "
        "the sockets.",
    )
    retry_after_seconds: int = Field(
        10, ge=1, le=600, description="Retry-After of a refused call: when the client may try again."
    )
    drain_seconds: float = Field(
        3600.0,
        ge=0,
        description="After SIGTERM running calls may go on this long while new ones are refused; a second SIGTERM, or "
        "SIGINT, ends them at once.",
    )


class KeySettings(Section):
    """Where keys are. Unset paths lie in `keys/` under the storage folder."""

    vault_public: Path | None = Field(None, description="X25519 public key that recordings are sealed to.")
    vault_private: Path | None = Field(
        None, description="X25519 private key; needed to show, play, verify and rotate, never to record."
    )
    node: Path | None = Field(None, description="Ed25519 private key that signs manifests.")
    lookup: Path | None = Field(None, description="Key of the hashes by which numbers are looked up.")


class RoleSettings(Section):
    """Which participant is the agent and which the external party."""

    extensions: Patterns = Field(
        (r"\d{2,6}",),
        description="Regular expressions; a participant whose number matches one in full is an agent's extension.",
    )
    caller: Literal["first", "last"] = Field(
        "first", description="Which participant of the metadata placed the call: tells direction."
    )


class SpeechSettings(Section):
    """What is found out about a call after its end. Figures about how employees talk may need their consent."""

    measure: bool = Field(
        True, description="Measure talk, silence and overtalk of each party after the call."
    )


class Settings(Section):
    """All of HushTap's configuration."""

    sip: SipSettings = SipSettings()
    attach: tuple[Attachment, ...] = Field((), max_length=16)
    media: MediaSettings = MediaSettings()
    storage: StorageSettings = StorageSettings()
    load: LoadSettings = LoadSettings()
    keys: KeySettings = KeySettings()
    roles: RoleSettings = RoleSettings()
    redaction: RedactionSettings = RedactionSettings()
    optout: OptOutSettings = OptOutSettings()
    scope: ScopeSettings = ScopeSettings()
    api: ApiSettings = ApiSettings()
    speech: SpeechSettings = SpeechSettings()
    notice: NoticeSettings = NoticeSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

    @model_validator(mode="after")
    def _look_back_held(self) -> Settings:
        asked = self.redaction.look_back_seconds
        if "look_back_seconds" in self.redaction.model_fields_set and asked > self._longest_look_back():
            raise ValueError(
                f"redaction.look_back_seconds = {asked:g} reaches back further than audio is held: at most "
                f"{self._longest_look_back():g}, media.hold_back_seconds less a tick"
            )
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> Settings:
        names = [each.name for each in self.attach]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"attach: the name {min(twice)!r} is given twice: set `name` in each")
        return self

    def taps(self) -> tuple[TapSettings, ...]:
        """The attachments that listen; the place of each is its number."""
        return tuple(each for each in self.attach if isinstance(each, TapSettings))

    def endpoints(self) -> tuple[EndpointSettings, ...]:
        """The user agents on trunks; the audio that comes to each is heard by a tap, numbered after those of `taps`."""
        return tuple(each for each in self.attach if isinstance(each, EndpointSettings))

    def look_back_seconds(self) -> float:
        """How far a pause reaches back: as set, and never further than audio is held."""
        return min(self.redaction.look_back_seconds, self._longest_look_back())

    def _longest_look_back(self) -> float:
        return self.media.hold_back_seconds - self.media.tick_milliseconds / 1000

    def agents_path(self) -> Path:
        """Where the tokens of the API are, by its setting or in the storage folder."""
        return self.api.agents or self.storage.directory / "agents.json"

    def key_path(self, name: KeyName) -> Path:
        """Where a key file lies, by its setting or in the storage folder."""
        chosen: Path | None = getattr(self.keys, name)
        defaults = {
            "vault_public": "vault.pub",
            "vault_private": "vault.key",
            "node": "node.key",
            "lookup": "lookup.key",
        }
        return chosen or self.storage.directory / "keys" / defaults[name]


def load(path: Path) -> Settings:
    """Read a TOML file; relative paths in it are relative to the file's folder.

    Raises SettingsError.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: is not TOML: {error}") from error
    return parse(table, str(path), path.parent)


def parse(table: dict[str, object], source: str, folder: Path) -> Settings:
    """Check a table of settings; `source` names it in errors. Raises SettingsError."""
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(source, fault) for fault in error.errors())) from error
    return _rooted(settings, folder)


def _sentence(source: str, fault: ErrorDetails) -> str:
    place = ".".join(str(step) for step in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{source}: {place}: there is no such setting"
    expected = EXPECTED.get(fault["type"]) or fault["msg"].removeprefix("Value error, ")
    found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
    return f"{source}: {place or 'settings'}: {expected}{found}"


def _rooted(settings: Settings, folder: Path) -> Settings:
    storage = settings.storage.model_copy(update={"directory": folder / settings.storage.directory})
    sip = settings.sip.model_copy(
        update={"tls": _paths_in(settings.sip.tls, folder), "access": _paths_in(settings.sip.access, folder)}
    )
    keys = _paths_in(settings.keys, folder)
    api = _paths_in(settings.api, folder)
    attach = tuple(_paths_in(each, folder) for each in settings.attach)
    references = {name: folder / path for name, path in settings.notice.references.items()}
    notice = settings.notice.model_copy(update={"references": references})
    return settings.model_copy(
        update={
            "storage": storage,
            "keys": keys,
            "sip": sip,
            "api": api,
            "attach": attach,
            "notice": notice,
        }
    )


def _paths_in(section: Section, folder: Path) -> Section:
    paths = {name: folder / value for name, value in section if isinstance(value, Path)}
    return section.model_copy(update=paths)
