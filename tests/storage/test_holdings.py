"""How fast the storage fills and how old its keys are, as counted for operations."""

from __future__ import annotations

import os

from gateway.storage.holdings import DAY, HOUR, SECOND_NS, Holdings, take_stock
from tests.storage.recorder import STARTED_NS, Recorder

KEY_AT = 1_700_000_000


def count(recorder: Recorder, now_ns: int = STARTED_NS, key_id: str = "") -> Holdings:
    public = recorder.keys.vault
    os.utime(recorder.paths.vault_public, (KEY_AT, KEY_AT))
    return take_stock(recorder.vault, recorder.paths.vault_public, key_id or public.id, now_ns)


def size(recorder: Recorder) -> int:
    return sum(path.stat().st_size for path in recorder.vault.directory.rglob("*.sealed"))


def test_nothing_is_held(recorder: Recorder) -> None:
    assert count(recorder) == Holdings(0.0, KEY_AT, 0.0, 0)


def test_the_pace_of_the_last_day(recorder: Recorder) -> None:
    calls = [recorder.call(number) for number in (1, 2)]
    began = min(call.started_ns for call in calls)
    held = size(recorder)
    assert held
    young = count(recorder, began + 60 * SECOND_NS)
    assert young.bytes_per_day == held * DAY / HOUR  # spread over an hour at the least
    later = count(recorder, began + 6 * HOUR * SECOND_NS)
    assert round(later.bytes_per_day) == held * 4
    week = count(recorder, began + 3 * DAY * SECOND_NS)
    assert round(week.bytes_per_day) == round(held / 3)
    assert count(recorder, began + 30 * DAY * SECOND_NS).bytes_per_day == 0


def test_the_oldest_recordings_key(recorder: Recorder) -> None:
    older, newer = recorder.call(1), recorder.call(2)
    first = min((older, newer), key=lambda call: call.started_ns)
    os.utime(recorder.vault.key_path(first.recordings[0].id), (KEY_AT, KEY_AT))
    assert count(recorder).oldest_key_at == KEY_AT
    recorder.vault.key_path(first.recordings[0].id).unlink()
    assert count(recorder).oldest_key_at == 0


def test_calls_of_another_key(recorder: Recorder) -> None:
    recorder.call(1)
    assert count(recorder).other_keys == 0
    assert count(recorder, key_id="0" * 16).other_keys == 1
