"""The settings model: one complete value, checked when it is made, replaced whole on reload.

Read from TOML. Every field's description is its line in docs/configuration.md.
"""

from __future__ import annotations

import re
import tomllib
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The configuration cannot be used; the text is one sentence a line, each naming the place."""


class Section(BaseModel):
    """Refuses unknown names, so that a misspelt setting is never silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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

    extensions: tuple[str, ...] = Field(
        (r"\d{2,6}",),
        description="Regular expressions; a participant whose number matches one in full is an agent's extension.",
    )
    caller: Literal["first", "last"] = Field(
        "first", description="Which participant of the metadata placed the call: tells direction."
    )

    @field_validator("extensions")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _patterns(patterns)


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError where one is not a regular expression."""
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return patterns


class CardSettings(Section):
    """The card rule: a run of keys that looks like a card number opens a pause. See docs/redaction.md."""

    active: bool = Field(True, description="Whether the rule is on.")
    least_digits: int = Field(
        13,
        ge=4,
        le=19,
        description="Digits after which a run looks like a card; 13 are the shortest card numbers.",
    )
    schemes_only: bool = Field(
        True,
        description="Whether a run counts only from a digit on with which a card scheme's numbers begin.",
    )
    gap_seconds: float = Field(10.0, gt=0, le=60, description="A longer time between two digits ends a run.")
    quiet_seconds: float = Field(
        20.0,
        ge=1,
        le=300,
        description="The pause ends this long after the last digit, and not before a run would end.",
    )
    ceiling_seconds: float = Field(
        300.0, ge=10, le=3600, description="The longest it lasts while no digit arrives."
    )
    agent_may_resume: bool = Field(
        True, description="Whether an agent's resume ends it early; never while digits still arrive."
    )


class PauseSettings(Section):
    """An agent's pause."""

    ceiling_seconds: float = Field(
        600.0, ge=0, le=86_400, description="It ends by itself after this long; 0: never."
    )
    warn_seconds: float = Field(
        30.0, ge=5, le=300, description="The agent is warned this long before a pause ends by itself."
    )
    extend_seconds: float = Field(
        300.0, ge=10, le=3600, description="By how much one press puts that off, counted from the press."
    )
    forgotten_seconds: float = Field(
        180.0, ge=10, le=86_400, description="A pause that lasts longer counts as forgotten in the metrics."
    )


class FeatureCodeSettings(Section):
    """What an agent may key on the telephone: a star or hash and digits; empty: no such code."""

    pause: str = Field("*7", pattern=r"^([*#][0-9]{1,3})?$", description="Pauses.")
    resume: str = Field("*8", pattern=r"^([*#][0-9]{1,3})?$", description="Resumes.")
    opt_out: str = Field("*9", pattern=r"^([*#][0-9]{1,3})?$", description="Stops recording the call.")


class RedactionSettings(Section):
    """What is never kept: tones, what is said while paused."""

    look_back_seconds: float = Field(
        3.0,
        ge=0,
        le=29,
        description="A pause reaches back this far before the key was pressed; at most the hold-back less a tick.",
    )
    inband: Literal["always", "without_events", "never"] = Field(
        "always",
        description="On which legs tones are looked for in the audio: all, those without telephone-events, or none.",
    )
    guard_milliseconds: int = Field(40, ge=0, le=500, description="Masked before and after each tone.")
    card: CardSettings = Field(CardSettings(), description="The card rule.")
    pause: PauseSettings = Field(PauseSettings(), description="An agent's pause.")
    codes: FeatureCodeSettings = Field(FeatureCodeSettings(), description="Feature codes.")


class OptOutSettings(Section):
    """Calls that must not be recorded. Numbers are listed by `hushtap never-record`. See docs/redaction.md."""

    extensions: tuple[str, ...] = Field(
        (),
        description="Regular expressions; a call in which a party's extension or number matches one in full is not "
        "recorded, from the start or from the transfer on.",
    )
    before: Literal["keep", "discard"] = Field(
        "keep",
        description="What an opt-out does with what was recorded of the call before: `keep` it, or `discard` it by "
        "destroying its key and its files.",
    )
    off_headers: tuple[str, ...] = Field(
        ("X-Recording: off",),
        description="SIP header fields by which a client asks, in INVITE, UPDATE or INFO, that a call be not recorded.",
    )
    on_headers: tuple[str, ...] = Field(
        ("X-Recording: on",), description="SIP header fields by which a client takes that back."
    )
    recordpref: bool = Field(
        True,
        description="Whether `a=recordpref:off` on every stream (RFC 7866) means the same, and `on` takes it back; "
        "else it pauses.",
    )

    @field_validator("extensions")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _patterns(patterns)

    @field_validator("off_headers", "on_headers")
    @classmethod
    def _fields(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for field in fields:
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: *[!-~]([ -~]*[!-~])?", field):
                raise ValueError(f"{field!r} is not a header field: `Name: value` is expected")
        return fields


class ApiSettings(Section):
    """The call-taker's HTTP API and page. See docs/agents.md; tokens are made by `hushtap agents add`."""

    address: str = Field("127.0.0.1", description="Address the API binds; beyond loopback set a certificate.")
    port: int = Field(9480, ge=0, le=65535, description="Port of the API; 0 turns it off.")
    certificate: Path | None = Field(
        None, description="Our certificate and its chain, PEM; unset: plain HTTP."
    )
    key: Path | None = Field(None, description="Its private key, PEM, mode 0600.")
    agents: Path | None = Field(
        None, description="File of tokens, mode 0600; unset: `agents.json` in the storage folder."
    )
    origins: tuple[str, ...] = Field(
        (),
        description="Where browsers reach the page, like `https://recorder.example:9480`, if by a name; by address or as "
        "localhost they need none.",
    )
    reasons: tuple[str, ...] = Field(
        ("distress", "caller_asked", "payment"),
        description="Reasons that a pause or an opt-out may be given: words of small letters and underscores.",
    )
    require_reason: tuple[Literal["pause", "opt-out"], ...] = Field(
        (), description="What is refused without a reason; a key without one then does nothing."
    )
    requests_per_second: float = Field(10.0, gt=0, description="Requests taken of one token; more get 429.")
    requests_per_second_per_address: float = Field(
        200.0, gt=0, description="Requests taken of one address, whoever asks; more get 429."
    )
    failures_per_minute: float = Field(
        30.0, gt=0, description="Wrong tokens answered 401 of one address; more get 429."
    )
    max_connections: int = Field(2048, ge=8, description="Connections kept at once; further ones are closed.")
    max_connections_per_address: int = Field(
        256, ge=4, description="Of these, kept of one address; further ones are closed."
    )
    max_live: int = Field(1024, ge=1, description="WebSockets kept at once; a further one is refused (503).")
    max_requests: int = Field(
        256, ge=8, description="Requests answered at once; a further one is refused (503)."
    )

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"https?://[^/\s]+", origin):
                raise ValueError(f"{origin!r} is not an origin like 'https://recorder.example:9480'")
        return origins

    @field_validator("reasons")
    @classmethod
    def _are_codes(cls, reasons: tuple[str, ...]) -> tuple[str, ...]:
        for reason in reasons:
            if not re.fullmatch(r"[a-z][a-z_]{0,31}", reason):
                raise ValueError(f"{reason!r} is not a word of at most 32 small letters and underscores")
        return reasons

    @model_validator(mode="after")
    def _whole(self) -> ApiSettings:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: one is set without the other")
        if self.require_reason and not self.reasons:
            raise ValueError("require_reason needs at least one of reasons")
        return self


class MetricsSettings(Section):
    """Where Prometheus scrapes."""

    address: str = Field("127.0.0.1", description="Address of the metrics endpoint.")
    port: int = Field(9470, ge=0, le=65535, description="Port of the metrics endpoint; 0 turns it off.")


class SpeechSettings(Section):
    """What is found out about a call after its end. Figures about how employees talk may need their consent."""

    measure: bool = Field(
        True, description="Measure talk, silence and overtalk of each party after the call."
    )


class LogSettings(Section):
    """What the log says; never personal data."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level written."
    )


class Settings(Section):
    """All of HushTap's configuration."""

    sip: SipSettings = SipSettings()
    media: MediaSettings = MediaSettings()
    storage: StorageSettings = StorageSettings()
    load: LoadSettings = LoadSettings()
    keys: KeySettings = KeySettings()
    roles: RoleSettings = RoleSettings()
    redaction: RedactionSettings = RedactionSettings()
    optout: OptOutSettings = OptOutSettings()
    api: ApiSettings = ApiSettings()
    speech: SpeechSettings = SpeechSettings()
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
    return settings.model_copy(update={"storage": storage, "keys": keys, "sip": sip, "api": api})


def _paths_in(section: Section, folder: Path) -> Section:
    paths = {name: folder / value for name, value in section if isinstance(value, Path)}
    return section.model_copy(update=paths)
