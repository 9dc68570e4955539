"""Settings of what is never kept: `[redaction]` and `[optout]`."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from gateway.config.section import Patterns, Section


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

    extensions: Patterns = Field(
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

    @field_validator("off_headers", "on_headers")
    @classmethod
    def _fields(cls, fields: tuple[str, ...]) -> tuple[str, ...]:
        for field in fields:
            if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: *[!-~]([ -~]*[!-~])?", field):
                raise ValueError(f"{field!r} is not a header field: `Name: value` is expected")
        return fields
