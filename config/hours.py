"""When calls are expected: days of the week and times of the day."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)")
MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Hours:
    """Of each of some days, from a minute to before another; beyond midnight where that is not later."""

    days: frozenset[int]  # 0 is Monday
    first: int  # minute of the day
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `mon-fri 08:00-18:00` or `sat 09:00-12:00`. Raises ValueError."""
        found = FORM.fullmatch(text.strip().lower())
        if not found or found[1] not in DAYS or (found[2] or found[1]) not in DAYS:
            raise ValueError(f"{text!r} are no hours: such as 'mon-fri 08:00-18:00' is expected")
        one = DAYS.index(found[1])
        more = (DAYS.index(found[2] or found[1]) - one) % 7
        first, end = (
            60 * int(hour) + int(minute) for hour, minute in ((found[3], found[4]), (found[5], found[6]))
        )
        if first >= MINUTES or end > MINUTES or int(found[4]) > 59 or int(found[6]) > 59:
            raise ValueError(f"{text!r} holds a time that no day has")
        return cls(frozenset((one + day) % 7 for day in range(more + 1)), first, end)

    def hold(self, moment: datetime) -> bool:
        """Whether a moment, in local time, lies within."""
        day, minute = moment.weekday(), 60 * moment.hour + moment.minute
        if self.first < self.end:
            return day in self.days and self.first <= minute < self.end
        yesterday = (day - 1) % 7
        return (day in self.days and minute >= self.first) or (yesterday in self.days and minute < self.end)
