from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.sip.message import MAX_HEADER_BYTES

LIMIT = 70_000


def message(body: bytes, length: bytes = b"Content-Length") -> bytes:
    return (
        b"OPTIONS sip:srs@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.2;branch=z9hG4bK1\r\n"
        b"From: <sip:a@192.0.2.2>;tag=1\r\nTo: <sip:srs@192.0.2.1>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
        + length + b": " + str(len(body)).encode() + b"\r\n\r\n" + body
    )  # fmt: skip


ONE, TWO = message(b"first\r\n\r\nbody"), message(b"", b"l")


def test_whole_and_pipelined_with_keepalives() -> None:
    framer = StreamFramer(LIMIT)
    assert framer.feed(ONE) == [ONE]
    assert framer.feed(b"\r\n\r\n" + ONE + b"\r\n" + TWO + TWO[:9]) == [ONE, TWO]
    assert framer.feed(TWO[9:]) == [TWO]


def test_byte_by_byte_with_a_tail() -> None:
    framer = StreamFramer(LIMIT)
    got = [m for byte in b"\r\n" + ONE + TWO + b"OPTI" for m in framer.feed(bytes([byte]))]
    assert got == [ONE, TWO]


@given(st.lists(st.integers(1, 80), max_size=30))
def test_cuts_do_not_matter(cuts: list[int]) -> None:
    stream, framer, got = ONE + TWO + ONE, StreamFramer(LIMIT), []
    for cut in cuts:
        got += framer.feed(stream[:cut])
        stream = stream[cut:]
    assert got + framer.feed(stream) == [ONE, TWO, ONE]


@pytest.mark.parametrize(
    ("data", "kind", "status"),
    [
        (b"x" * (MAX_HEADER_BYTES + 1), "head_too_large", 513),
        (message(b"").replace(b"h: 0", b"h: 99999"), "too_large", 513),
        (message(b"").replace(b"h: 0", b"h: x"), "bad_content_length", 400),
        (message(b"").replace(b"Content-Length: 0\r\n", b""), "missing_content_length", 400),
        (b"garbage\r\n\r\n", "malformed_start_line", 400),
    ],
)
def test_faults_stick(data: bytes, kind: str, status: int) -> None:
    framer = StreamFramer(LIMIT)
    with pytest.raises(BadMessage) as caught:
        framer.feed(data)
    assert (caught.value.kind, caught.value.status) == (kind, status)
    with pytest.raises(BadMessage):
        framer.feed(ONE)


def test_messages_before_a_fault_are_given() -> None:
    framer = StreamFramer(LIMIT)
    assert framer.feed(ONE + b"garbage\r\n\r\n") == [ONE]
    assert framer.broken
    with pytest.raises(BadMessage):
        framer.feed(b"")


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_random_bytes_raise_only_bad_message(chunks: list[bytes]) -> None:
    framer = StreamFramer(LIMIT)
    with suppress(BadMessage):
        for chunk in chunks:
            assert framer.feed(chunk) == []
