"""Settings of the announcement that a call is recorded: `[notice]`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from gateway.config.section import Section

MAX_REFERENCES = 16  # searched for one after the other in each call


class NoticeSettings(Section):
    """The notice that a call is recorded, recognised by its audio after the call. See docs/notice.md."""

    references: dict[str, Path] = Field(
        {},
        max_length=MAX_REFERENCES,
        description="The practice's notices as WAV or FLAC files of 2 to 60 s, each under a name of its own; one of them "
        "must be heard. None: calls are not searched.",
    )
    share_percent: int = Field(
        80, ge=50, le=100, description="How much of a notice must be heard, of the time in which it sounds."
    )
    within_seconds: float = Field(
        60.0, ge=1, le=300, description="How long after the start of the call it must have begun."
    )
    directions: tuple[Literal["inbound", "outbound", "internal", "unknown"], ...] = Field(
        ("inbound",), min_length=1, description="Calls that need it."
    )

    @field_validator("references")
    @classmethod
    def _are_named(cls, references: dict[str, Path]) -> dict[str, Path]:
        for name in references:
            if not re.fullmatch(r"[\w.-]{1,64}", name):
                raise ValueError(
                    f"{name!r} is not a name of at most 64 letters, digits, dots, dashes and underscores"
                )
        return references
