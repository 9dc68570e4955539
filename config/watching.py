"""What the gateway tells of itself: figures and lines."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from gateway.config.hours import Hours
from gateway.config.section import Section


class MetricsSettings(Section):
    """Where Prometheus scrapes."""

    address: str = Field("127.0.0.1", description="Address of the metrics endpoint.")
    port: int = Field(9470, ge=0, le=65535, description="Port of the metrics endpoint; 0 turns it off.")
    office_hours: tuple[str, ...] = Field(
        ("mon-fri 08:00-18:00",),
        description="When calls are expected: silence then is an alarm, `hushtap_office_hours` being 1. Each is days and "
        "times: `sat 09:00-12:00`; one that ends no later than it begins goes on beyond midnight. None: never.",
    )
    time_zone: str | None = Field(
        None, description="Zone of these hours, such as `Europe/Berlin`; unset: the machine's."
    )

    @field_validator("office_hours")
    @classmethod
    def _are_hours(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        for each in hours:
            Hours.parse(each)
        return hours

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        try:
            zone(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {name!r} here") from error
        return name

    def expected(self, utc: datetime) -> bool:
        """Whether calls are expected at a moment."""
        local = utc.astimezone(zone(self.time_zone))
        return any(Hours.parse(each).hold(local) for each in self.office_hours)


def zone(name: str | None) -> ZoneInfo | None:
    """A time zone by its name; None is the machine's. Raises what zoneinfo raises."""
    return ZoneInfo(name) if name is not None else None


class LogSettings(Section):
    """What the log says; never personal data."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe level written."
    )
    format: Literal["text", "json"] = Field(
        "text",
        description="`text`: lines for people, in the journal's form where it listens. `json`: an object a line, with "
        "`time`, `level`, `logger`, `message`, and `call`, `recording` and `error` where there are such.",
    )
