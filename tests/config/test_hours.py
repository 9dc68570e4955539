"""When calls are expected."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.config.hours import Hours
from gateway.config.watching import MetricsSettings

MONDAY = "2026-03-02"


def held(text: str, moment: str) -> bool:
    return Hours.parse(text).hold(datetime.fromisoformat(moment))


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("mon-fri 08:00-18:00", f"{MONDAY} 08:00", True),
        ("mon-fri 08:00-18:00", f"{MONDAY} 07:59", False),
        ("mon-fri 08:00-18:00", f"{MONDAY} 17:59", True),
        ("mon-fri 08:00-18:00", f"{MONDAY} 18:00", False),
        ("mon-fri 08:00-18:00", "2026-03-07 12:00", False),
        ("sat 09:00-12:00", "2026-03-07 09:30", True),
        ("Fri-Mon 00:00-24:00", f"{MONDAY} 23:59", True),
        ("fri-mon 00:00-24:00", "2026-03-03 00:00", False),
        ("sun 22:00-06:00", f"{MONDAY} 05:59", True),
        ("sun 22:00-06:00", f"{MONDAY} 22:00", False),
        ("sun 22:00-06:00", "2026-03-01 05:00", False),
        ("mon 07:00-07:00", "2026-03-03 06:59", True),
    ],
)
def test_hours(text: str, moment: str, expected: bool) -> None:
    assert held(text, moment) is expected


@given(st.integers(0, 7 * 24 * 60 - 1), st.integers(0, 23), st.integers(0, 24))
def test_a_week_of_hours_holds_as_long_as_it_says(minute: int, first: int, end: int) -> None:
    hours = Hours.parse(f"mon-sun {first:02}:00-{end:02}:00")
    at = datetime(2026, 3, 2 + minute // 1440, minute // 60 % 24, minute % 60)
    inside = first <= at.hour < end if first < end else at.hour >= first or at.hour < end
    assert hours.hold(at) is inside


@pytest.mark.parametrize(
    "text",
    [
        "",
        "always",
        "mon 8:00-18:00",
        "mon-xyz 08:00-18:00",
        "mon 25:00-26:00",
        "mon 08:60-09:00",
        "mon 08:00-24:01",
    ],
)
def test_what_is_no_hours(text: str) -> None:
    with pytest.raises(ValueError, match=r"day has|are no hours"):
        Hours.parse(text)


def test_the_settings_know_zones() -> None:
    berlin = MetricsSettings(office_hours=("mon-fri 08:00-18:00",), time_zone="Europe/Berlin")
    assert berlin.expected(datetime(2026, 3, 2, 7, 0, tzinfo=UTC))
    assert not berlin.expected(datetime(2026, 3, 2, 6, 59, tzinfo=UTC))
    assert berlin.expected(datetime(2026, 7, 6, 6, 0, tzinfo=UTC))  # summer time
    assert not MetricsSettings(office_hours=()).expected(datetime(2026, 3, 2, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    "wrong", [{"office_hours": ["noon"]}, {"time_zone": "Atlantis"}, {"time_zone": "/etc"}]
)
def test_settings_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MetricsSettings.model_validate(wrong)
