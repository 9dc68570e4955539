"""SIP in WebSockets, masked or not, in any pieces; the examples of RFC 6455 and RFC 7118 among it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.websocket import WebSocketFramer, handshake

# RFC 7118 section 4.1, cut to what matters.
ASKED = (
    b"GET / HTTP/1.1\r\nHost: sip-ws.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://www.example.com\r\n"
    b"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)
MOST = 65_535


def frame(payload: bytes, kind: int = 1, last: bool = True, key: bytes = b"", extended: int = 0) -> bytes:
    size = len(payload)
    longer = 0 if size < 126 else 2 if size < 65_536 else 8
    head = bytes([last << 7 | extended | kind, bool(key) << 7 | ({0: size, 2: 126, 8: 127}[longer])])
    masked = bytes(octet ^ key[at % 4] for at, octet in enumerate(payload)) if key else payload
    return head + (size.to_bytes(longer) if longer else b"") + key + masked


def test_the_examples_of_the_rfc() -> None:
    """RFC 6455 section 5.7: "Hello" unmasked, masked, and in two frames with a ping between them."""
    framer = WebSocketFramer(MOST)
    assert framer.feed(bytes.fromhex("810548656c6c6f")) == [b"Hello"]
    assert framer.feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [b"Hello"]
    assert framer.feed(bytes.fromhex("010348656c890548656c6c6f80026c6f")) == [b"Hello"]


def test_handshakes_that_agree_on_sip() -> None:
    assert handshake(ASKED + b"more") == len(ASKED)
    assert handshake(AGREED) == len(AGREED)
    assert handshake(ASKED.replace(b": sip", b": chat, SIP")) is not None
    for other in (ASKED.replace(b": sip", b": mqtt"), ASKED[:-2], b"", b"GET / HTTP/1.1\r\n" * 2000):
        assert handshake(other) is None


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=400), st.sampled_from((b"", b"abcd"))), max_size=6),
    st.integers(1, 50),
)
def test_messages_in_any_pieces(sent: list[tuple[bytes, bytes]], step: int) -> None:
    stream = b"".join(frame(payload, key=key) for payload, key in sent)
    framer, heard = WebSocketFramer(MOST), []
    for at in range(0, len(stream), step):
        heard += framer.feed(stream[at : at + step])
    assert heard == [payload for payload, _ in sent if payload.strip()]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(b"x", extended=0x40),
        frame(b"x", kind=0),
        frame(b"x", last=False) + frame(b"y"),
        frame(bytes(MOST + 1)),
        bytes.fromhex("817f7fffffffffffffff"),
        frame(bytes(40_000), last=False) + frame(bytes(40_000), kind=0, last=False),
    ],
)
def test_a_connection_that_cannot_be_read_on_is_broken(wrong: bytes) -> None:
    framer = WebSocketFramer(MOST)
    assert framer.feed(frame(b"good") + wrong) == [b"good"]
    assert framer.broken
    assert framer.feed(frame(b"good")) == []


@given(st.lists(st.binary(max_size=80), max_size=8))
def test_noise_is_no_fault_of_ours(pieces: list[bytes]) -> None:
    framer = WebSocketFramer(200)
    for piece in pieces:
        framer.feed(piece)
        handshake(piece)
