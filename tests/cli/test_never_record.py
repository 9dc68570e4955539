"""`never-record`: the list at the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Hushtap
from tests.storage.recorder import Recorder

NUMBER = "+44 1632 960123"


def test_a_number_is_added_listed_and_removed(hushtap: Hushtap, recorder: Recorder) -> None:
    added = hushtap("never-record", "add", NUMBER, "--reason", "long-term distress", "--until", "2999-12-31")
    assert added.status == 0
    assert "960123" not in added.out
    (row,) = hushtap("never-record", "list", "--json").json
    assert (row["number"], row["reason"], row["until"]) == (NUMBER, "long-term distress", "2999-12-31")
    assert NUMBER in hushtap("never-record", "list").out
    assert hushtap("never-record", "remove", "01632960123").status == 0
    assert hushtap("never-record", "list").out == "no number is on the list\n"
    assert hushtap("never-record", "remove", "01632960123").status == 2


@pytest.mark.parametrize(
    "words",
    [
        (NUMBER,),
        (NUMBER, "--reason", "x"),
        (NUMBER, "--reason", "call 01632960123"),
        (NUMBER, "--reason", "distress", "--until", "soon"),
        (NUMBER, "--reason", "distress", "--until", "2001-01-01"),
        ("()", "--reason", "distress"),
    ],
)
def test_what_cannot_be_added(hushtap: Hushtap, recorder: Recorder, words: tuple[str, ...]) -> None:
    assert hushtap("never-record", "add", *words).status == 2
    assert hushtap("never-record", "list", "--json").json == []


def test_the_list_is_shown_with_the_private_key_only(hushtap: Hushtap, recorder: Recorder) -> None:
    recorder.paths.vault_private.unlink()
    assert hushtap("never-record", "add", NUMBER, "--reason", "distress").status == 0
    told = hushtap("never-record", "list")
    assert told.status == 2
    assert "private key is not there" in told.err
