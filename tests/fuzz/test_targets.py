"""Every target takes the inputs that fuzzing starts from, and none at all."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    found = seeds(target)
    assert len(found) > 3
    for data in [b"", b"\0", *found]:
        TARGETS[target](data)
