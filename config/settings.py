"""The settings model: one complete value, checked when it is made, replaced whole on reload.

Read from TOML. Every field's description is its line in docs/configuration.md.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from gateway.config.api import ApiSettings
from gateway.config.attach import Attachment, TapSettings
from gateway.config.endpoint import EndpointSettings
from gateway.config.notice import NoticeSettings
from gateway.config.redaction import OptOutSettings, RedactionSettings
from gateway.config.scope import ScopeSettings
from gateway.config.section import Patterns, Port, Section
from gateway.config.sip import SipSettings
from gateway.config.watching import LogSettings, MetricsSettings


class SettingsError(Exception):
    """The configuration cannot be used; the text is one sentence a line, each naming the place."""


# In the words of TOML, where pydantic speaks of Python.
EXPECTED = {
    "model_type": "a table is expected",
    "tuple_type": "a list is expected",
    "path_type": "a path is expected, in quotes",
}

KeyName = Literal["vault_public", "vault_private", "node", "lookup"]


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
