"""Settings of the call-taker's API: `[api]`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from gateway.config.section import Section


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
