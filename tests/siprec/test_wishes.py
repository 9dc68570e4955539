"""Header fields by which a client asks that a call be recorded, or not."""

from __future__ import annotations

import pytest

from gateway.recording.model import Wish
from gateway.sip.message import Headers, Request
from gateway.siprec.wishes import wishes

WISH = wishes(["X-Recording: off", "X-Record: No Thanks"], ["X-Recording: on"])


def request(*fields: tuple[str, str]) -> Request:
    return Request("INFO", "sip:srs@h", Headers(fields))


@pytest.mark.parametrize(
    ("fields", "wish"),
    [
        ([("X-Recording", "off")], Wish.OFF),
        ([("x-recording", " OFF ")], Wish.OFF),
        ([("X-RECORD", "no thanks")], Wish.OFF),
        ([("X-Recording", "On")], Wish.ON),
        ([("X-Recording", "on"), ("X-Recording", "off")], Wish.OFF),
        ([("X-Recording", "offline")], None),
        ([("X-Recording", "")], None),
        ([("Subject", "off")], None),
        ([], None),
    ],
)
def test_fields(fields: list[tuple[str, str]], wish: Wish | None) -> None:
    assert WISH(request(*fields)) is wish
