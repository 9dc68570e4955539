"""The settings model: one complete value, checked when it is made, replaced whole on reload.

Read from TOML. Every field's description is its line in docs/configuration.md.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails


class SettingsError(Exception):
    """The configuration cannot be used; the text is one sentence a line, each naming the place."""


class Section(BaseModel):
    """Refuses unknown names, so that a misspelt setting is never silently the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Port = Annotated[int, Field(ge=1, le=65535)]
KeyName = Literal["vault_public", "vault_private", "node", "lookup"]


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
        256, ge=1, description="TCP connections kept at once; further ones are closed."
    )
    tcp_idle_seconds: int = Field(
        600,
        ge=10,
        description="A TCP connection that carries no running call and is silent this long is closed.",
    )


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
        60.0, ge=5, description="A call on which no leg carries packets for this long is ended."
    )
    tick_milliseconds: int = Field(
        100, ge=20, le=500, description="How often the media worker drains its sockets."
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
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
        return patterns


class MetricsSettings(Section):
    """Where Prometheus scrapes."""

    address: str = Field("127.0.0.1", description="Address of the metrics endpoint.")
    port: int = Field(9470, ge=0, le=65535, description="Port of the metrics endpoint; 0 turns it off.")


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
    keys: KeySettings = KeySettings()
    roles: RoleSettings = RoleSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()

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
    found = "" if fault["type"] in ("missing", "extra_forbidden") else f", found {fault['input']!r}"
    return f"{source}: {place or 'settings'}: {fault['msg']}{found}"


def _rooted(settings: Settings, folder: Path) -> Settings:
    storage = settings.storage.model_copy(update={"directory": folder / settings.storage.directory})
    paths = {name: folder / path for name, path in settings.keys if path is not None}
    return settings.model_copy(update={"storage": storage, "keys": settings.keys.model_copy(update=paths)})
