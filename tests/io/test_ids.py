from __future__ import annotations

import time
from uuid import RFC_4122, UUID

from gateway.io.ids import new_id


def test_ids_are_uuids_of_version_seven_with_the_time_in_front() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == 1000
    for text in ids:
        parsed = UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == RFC_4122
        assert before <= parsed.int >> 80 <= after
