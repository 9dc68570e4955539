import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import BadMessage
from gateway.sip.message import (
    MAX_HEADER_BYTES,
    MAX_HEADER_FIELDS,
    MAX_START_LINE,
    Headers,
    Request,
    Response,
    parse,
    serialise,
)

OPTIONS = (
    b"OPTIONS sip:srs@192.0.2.1 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1\r\n"
    b"From: <sip:a@192.0.2.2>;tag=1\r\n"
    b"To: <sip:srs@192.0.2.1>\r\n"
    b"Call-ID: 1@192.0.2.2\r\n"
    b"CSeq: 1 OPTIONS\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)


def refused(data: bytes) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        parse(data)
    return caught.value


def test_request() -> None:
    message = parse(OPTIONS)
    assert isinstance(message, Request)
    assert (message.method, message.uri, message.body) == ("OPTIONS", "sip:srs@192.0.2.1", b"body")
    assert message.cseq.number == 1
    assert message.via.branch == "z9hG4bK1"
    assert serialise(message) == OPTIONS


def test_response() -> None:
    message = parse(OPTIONS.replace(b"OPTIONS sip:srs@192.0.2.1 SIP/2.0", b"SIP/2.0 200 All good"))
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (200, "All good")


def test_datagram_longer_than_content_length_is_cut() -> None:
    assert parse(OPTIONS + b"tail").body == b"body"


def test_missing_content_length_takes_all() -> None:
    assert parse(OPTIONS.replace(b"Content-Length: 4\r\n", b"") + b"tail").body == b"bodytail"


def test_compact_names_folding_and_bare_line_feeds() -> None:
    text = (
        b"\r\n\nOPTIONS sip:a SIP/2.0\nv: SIP/2.0/UDP h;\n branch=z9hG4bKx\nf:<sip:a>;tag=1\nt :\t<sip:b>\n"
        b"i: c\ncseq: 9\n OPTIONS\nS: one\n\ttwo\n\n"
    )
    message = parse(text)
    assert message.headers.get("subject") == "one two"
    assert message.headers.get("TO") == "<sip:b>"
    assert message.via.branch == "z9hG4bKx"


def test_commas_split_only_lists() -> None:
    headers = Headers(
        (
            ("Via", "SIP/2.0/UDP a, SIP/2.0/UDP b"),
            ("Contact", '"Doe, \\"J\\"" <sip:j@h;x=1,2>, <sip:k@h>'),
            ("Date", "Sat, 13 Nov 2010 23:29:00 GMT"),
            ("Via", "SIP/2.0/UDP c"),
        )
    )
    assert headers.all("via") == ("SIP/2.0/UDP a", "SIP/2.0/UDP b", "SIP/2.0/UDP c")
    assert headers.all("Contact") == ('"Doe, \\"J\\"" <sip:j@h;x=1,2>', "<sip:k@h>")
    assert headers.all("Date") == ("Sat, 13 Nov 2010 23:29:00 GMT",)


@pytest.mark.parametrize(
    ("old", "new", "status", "kind"),
    [
        (b"OPTIONS sip", b"OPTIONS  \x00 sip", 400, "malformed_start_line"),
        (b"SIP/2.0\r\nVia", b"SIP/7.0\r\nVia", 505, "unsupported_version"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 1 INVITE", 400, "bad_cseq"),
        (b"CSeq: 1 OPTIONS", b"CSeq: 4294967296 OPTIONS", 400, "bad_cseq"),
        (b"Call-ID: 1@192.0.2.2\r\n", b"", 400, "missing_header"),
        (b"Call-ID:", b"Call-ID: other\r\nCall-ID:", 400, "duplicate_header"),
        (b"Content-Length: 4", b"Content-Length: 5", 400, "truncated"),
        (b"Content-Length: 4", b"Content-Length: -4", 400, "bad_content_length"),
        (b"Content-Length: 4", b"Content-Length: 4\r\nl: 3", 400, "duplicate_header"),
        (b"Via: SIP/2.0/UDP", b"Via: nonsense", 400, "bad_via"),
        (b"CSeq", b"no colon here\r\nCSeq", 400, "malformed_header"),
        (b"CSeq", b"X: a\rb\r\nCSeq", 400, "malformed_header"),
        (b"sip:srs@192.0.2.1 ", b"sip:" + b"a" * MAX_START_LINE + b" ", 414, "start_line_too_long"),
        (b"CSeq", b"X: 1\r\n" * MAX_HEADER_FIELDS + b"CSeq", 513, "too_many_headers"),
        (b"CSeq", b"X: " + b"1" * MAX_HEADER_BYTES + b"\r\nCSeq", 513, "head_too_large"),
    ],
)
def test_faults(old: bytes, new: bytes, status: int, kind: str) -> None:
    error = refused(OPTIONS.replace(old, new, 1))
    assert (error.status, error.kind) == (status, kind)


def test_fault_of_a_readable_request_can_be_answered() -> None:
    assert refused(OPTIONS.replace(b"Content-Length: 4", b"Content-Length: 5")).respond
    assert not refused(OPTIONS.replace(b"OPTIONS", b"ACK").replace(b"h: 4", b"h: 5")).respond
    assert not refused(b"garbage").respond


def test_every_prefix_is_refused_until_the_last_byte() -> None:
    for length in range(len(OPTIONS)):
        assert refused(OPTIONS[:length]).status == 400


def test_line_break_is_never_written() -> None:
    with pytest.raises(ValueError, match="line break"):
        serialise(Response(200, "OK", Headers((("To", "a\r\nInjected: b"),))))


def test_persons_stay_out_of_representations() -> None:
    assert "192.0.2" not in repr(parse(OPTIONS))


values = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters=","), max_size=30).map(
    str.strip
)
names = st.from_regex(r"X-[A-Za-z]{1,10}", fullmatch=True)


@given(st.lists(st.tuples(names, values), max_size=8), st.binary(max_size=60), values)
def test_round_trip(fields: list[tuple[str, str]], body: bytes, reason: str) -> None:
    base = parse(OPTIONS).headers.fields[:-1]
    length = ("Content-Length", str(len(body)))
    for message in (
        Request("OPTIONS", "sip:a@b", Headers((*base, *fields, length)), body),
        Response(486, reason, Headers((*base, *fields, length)), body),
    ):
        assert parse(serialise(message)) == message


@given(st.binary(max_size=200))
def test_random_bytes_raise_only_bad_message(data: bytes) -> None:
    refused(data)


@given(st.data())
def test_mutations_raise_only_bad_message(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(OPTIONS)))
    until = data.draw(st.integers(at, min(len(OPTIONS), at + 8)))
    mutated = OPTIONS[:at] + data.draw(st.binary(max_size=8)) + OPTIONS[until:]
    try:
        message = parse(mutated)
    except BadMessage:
        return
    again = parse(serialise(message))
    assert parse(serialise(again)) == again
