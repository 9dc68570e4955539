"""Who calls, from the trunk's INVITE to the display of the practice's phone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoint.showing import FIELD, caller_field, caller_in, shown
from gateway.sip.headers import NameAddr
from gateway.sip.message import Headers, Request, serialise

IDENTITY = "sip:practice@trunk.example:5065"


def told(*fields: tuple[str, str]) -> str:
    invite = Request("INVITE", "sip:practice@here", Headers(fields))
    return caller_in(serialise(Request("INVITE", "sip:x@y", Headers(tuple(caller_field(invite))))).decode())


@pytest.mark.parametrize(
    ("header", "where", "display", "uri"),
    [
        ('"Jörg Doe" <sip:+49221123@trunk>', "name", "+49221123 Jörg Doe", IDENTITY),
        ("<tel:+49221123>", "name", "+49221123", IDENTITY),
        ('"Jane" <sip:0221123@trunk;user=phone>', "number", "Jane", "sip:0221123@trunk.example:5065"),
        ('"Jane" <sip:0221123@trunk>', "nowhere", "", IDENTITY),
        ("<sip:anonymous@anonymous.invalid>", "name", "", IDENTITY),
        ("<sip:a b@trunk>", "name", "", IDENTITY),
        ("", "name", "", IDENTITY),
    ],
)
def test_the_phone_is_shown_who_calls(header: str, where: str, display: str, uri: str) -> None:
    found = NameAddr.parse(
        f"<{found}>" if (found := shown(told(("From", header)), IDENTITY, where)) == IDENTITY else found
    )
    assert (found.display, found.uri) == (display, uri)


def test_who_asks_for_privacy_is_shown_nowhere() -> None:
    assert told(("From", "<sip:1234567@trunk>"), ("Privacy", "id")) == ""
    assert "1234567" in told(("From", "<sip:anonymous@x>"), ("P-Asserted-Identity", "<sip:1234567@trunk>"))


@given(st.text(max_size=80).filter(lambda text: "\r" not in text and "\n" not in text))
def test_no_name_breaks_out_of_its_line(name: str) -> None:
    for header in (f'"{name}" <sip:1@t>', f"<sip:{name}@t>", name):
        for field, value in caller_field(Request("INVITE", "sip:x@y", Headers((("From", header),)))):
            assert field == FIELD
            assert value.isprintable()
            assert value.count('"') in (0, 2)
