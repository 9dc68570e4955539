"""The list of numbers that are never recorded: forms of a number meet, nothing of it is in the clear, days count."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.storage import never_record
from gateway.storage.never_record import FILE, NeverRecordFault, NumberList
from gateway.storage.rotation import rotate
from tests.storage.recorder import Recorder

TODAY = "2026-11-22"


def add(recorder: Recorder, number: str, reason: str = "distress", until: str | None = None) -> None:
    never_record.add(
        recorder.vault.directory,
        number,
        reason,
        until,
        TODAY,
        recorder.keys.lookup,
        lambda: recorder.keys.vault,
    )


def asked(recorder: Recorder, today: str = TODAY) -> NumberList:
    return NumberList(recorder.vault.directory, recorder.keys.lookup, lambda: today)


@pytest.mark.parametrize("form", ["+441632960123", "00441632960123", "01632960123", "+44 (0)1632 960-123"])
@pytest.mark.parametrize("kept", ["+441632960123", "00441632960123", "01632 960123"])
def test_forms_of_a_number_are_the_same(recorder: Recorder, form: str, kept: str) -> None:
    add(recorder, kept)
    assert asked(recorder).code(form) == "distress"
    assert asked(recorder).code("+441632960124") is None
    assert never_record.remove(recorder.vault.directory, form, recorder.keys.lookup)
    assert asked(recorder).code(kept) is None


def test_a_short_number_is_not_the_end_of_a_longer_one(recorder: Recorder) -> None:
    for number in ("2345", "960123", "sip:matron@ward.test"):
        add(recorder, number)
        assert asked(recorder).code(number) == "distress"
    assert asked(recorder).code("+441632962345") is None
    assert asked(recorder).code("+441632960123") is None
    assert asked(recorder).code("sip:porter@ward.test") is None


def test_an_entry_holds_until_its_day_has_passed(recorder: Recorder) -> None:
    add(recorder, "01632960123", until="2026-12-31")
    assert asked(recorder, "2026-12-31").code("01632960123") == "distress"
    assert asked(recorder, "2027-01-01").code("01632960123") is None


def test_an_entry_is_changed_by_another_of_the_same_number(recorder: Recorder) -> None:
    add(recorder, "01632960123", "distress")
    add(recorder, "+441632960123", "family")
    assert [entry.reason for entry in never_record.read(recorder.vault.directory)] == ["family"]


def test_a_change_is_known_at_the_next_question(recorder: Recorder) -> None:
    numbers = asked(recorder)
    assert numbers.code("01632960123") is None
    add(recorder, "01632960123")
    assert numbers.code("01632960123") == "distress"
    never_record.remove(recorder.vault.directory, "01632960123", recorder.keys.lookup)
    assert numbers.code("01632960123") is None


def test_the_file_is_private_and_shows_no_number(recorder: Recorder) -> None:
    add(recorder, "01632960123")
    path = recorder.vault.directory / FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"960123" not in path.read_bytes()
    (entry,) = never_record.read(recorder.vault.directory)
    assert never_record.number_of(entry, recorder.private) == "01632960123"


def test_a_rotation_takes_the_list_along(recorder: Recorder) -> None:
    add(recorder, "01632960123")
    rotate(recorder.vault, recorder.index, recorder.paths)
    (entry,) = never_record.read(recorder.vault.directory)
    assert never_record.number_of(entry, recorder.private) == "01632960123"


@pytest.mark.parametrize("content", [b"", b"{}", b'{"entries":[{}]}', b'{"entries":[1]}', b'{ "entries":[]}'])
def test_a_list_that_is_none_is_named(recorder: Recorder, content: bytes) -> None:
    path = recorder.vault.directory / FILE
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(NeverRecordFault, match=FILE):
        asked(recorder)


def test_a_list_that_others_may_read_is_refused(recorder: Recorder) -> None:
    add(recorder, "01632960123")
    (recorder.vault.directory / FILE).chmod(0o644)
    with pytest.raises(NeverRecordFault, match="0644"):
        asked(recorder)


def test_without_a_list_everybody_is_recorded(tmp_path: Path) -> None:
    assert NumberList(tmp_path, bytes(32), lambda: TODAY).code("01632960123") is None
