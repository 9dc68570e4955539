"""What the gateway costs beside the floor must not grow."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

from bench import command
from bench.command import one
from bench.figures import Course
from bench.runner import first_calls

SECONDS, PAIRS, RATE = 3, 3, 100


def test_the_ratio_to_the_floor_keeps_its_limit(record_property: Callable[[str, object], None]) -> None:
    limit = tomllib.loads(Path(command.__file__).with_name("limit.toml").read_text(encoding="utf-8"))
    course = Course(limit["calls"], SECONDS, pairs=PAIRS, rate=RATE, halfway=False)
    found = one(course, lambda _: None)
    record_property("ratio", found.ratio)
    assert (found.taken.missing, found.taken.wrong, found.floor_missing) == (0, 0, 0)
    assert found.taken.states == {"recorded": limit["calls"] + first_calls()}
    assert found.ratio <= limit["ratio"], found.summary()
