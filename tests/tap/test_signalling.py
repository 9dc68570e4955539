"""The SIP that goes by is heard, each message once; what cannot be heard is told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap import signalling as module
from gateway.tap.effects import Unheard
from gateway.tap.fragments import Decapsulator
from gateway.tap.signalling import ECHO_NS, MAX_STREAMS, Overheard, Signalling
from gateway.tap.tcp import FIN, GAP_NS, SYN
from tests.tap.building import IPV6, batch, ethernet, ipv4, ipv6, tcp, udp
from tests.tap.test_websocket import AGREED, ASKED, frame

SECOND = 1_000_000_000
ACK = 0x10


def message(name: str = "a", body: bytes = b"", method: str = "INVITE") -> bytes:
    lines = (
        f"{method} sip:b@example.net SIP/2.0",
        f"Via: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK{name}",
        f"Content-Length: {len(body)}",
        "",
        "",
    )
    return "\r\n".join(lines).encode() + body


def answer(name: str = "a") -> bytes:
    return b"SIP/2.0 200 OK" + message(name)[len("INVITE sip:b@example.net SIP/2.0") :]


class Wire:
    """A tap that hears frames, some time after each other."""

    def __init__(self, step_ns: int = 1000) -> None:
        self.taking, self.hearing = Decapsulator(), Signalling()
        self.now, self.step, self.number = SECOND, step_ns, 1

    def hears(self, *frames: bytes) -> list[Overheard | Unheard]:
        times = [self.now + self.step * place for place in range(len(frames))]
        heard = self.hearing.feed(self.taking.feed(batch(frames, arrivals=times, first=self.number)))
        self.now = times[-1] + self.step
        self.number += len(frames)
        return heard

    def texts(self, *frames: bytes) -> list[bytes | str]:
        return [each.kind if isinstance(each, Unheard) else each.data for each in self.hears(*frames)]


def over_udp(data: bytes, source: int = 5060, destination: int = 5060, hops: int = 64) -> bytes:
    return ethernet(ipv4(udp(data, source, destination), hops=hops))


def over_tcp(
    data: bytes, sequence: int, flags: int = ACK, source: int = 40_000, destination: int = 5060
) -> bytes:
    """From the client where its port is that of one."""
    ends = ("192.0.2.1", "192.0.2.2") if source > destination else ("192.0.2.2", "192.0.2.1")
    return ethernet(ipv4(tcp(data, sequence, flags, source, destination), *ends, protocol=6))


def test_a_message_and_where_it_goes() -> None:
    first, second = Wire().hears(
        over_udp(message(), 5070, 9999), ethernet(ipv6(udp(answer(), 9999, 5070)), IPV6)
    )
    assert first == Overheard(message(), SECOND, 1, ("192.0.2.1", 5070), ("192.0.2.2", 9999), "udp")
    assert second == Overheard(
        answer(), SECOND + 1000, 2, ("2001:db8::1", 9999), ("2001:db8::2", 5070), "udp"
    )
    assert "INVITE" not in repr(first)


@pytest.mark.parametrize(
    "payload",
    [
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"",
        b"jaK",
        b"\x80" + bytes(171),
        b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250\r\n\r\n",
        b"\0\x01\0\0\x21\x12\xa4\x42" + bytes(12),
        b"OPTIONS sip:a SIP/3.0\r\n\r\n",
        b"a" * 9000,
        b"A" + b" " * 9000,
    ],
)
def test_what_is_no_sip_is_passed_over(payload: bytes) -> None:
    assert Wire().hears(over_udp(payload), over_udp(message())) != []
    assert Wire().hears(over_udp(payload)) == []


@pytest.mark.parametrize(
    "line", ["\r\n\r\nINVITE sip:b SIP/2.0", "invite sip:b sip/2.0", "X-A.b sip:a b SIP/2.0"]
)
def test_first_lines_as_they_come(line: str) -> None:
    data = line.encode() + b"\r\n\r\n"
    assert Wire().texts(over_udp(data)) == [data]


def test_what_a_mirror_shows_twice_is_heard_once() -> None:
    wire = Wire()
    tagged = ethernet(ipv4(udp(message()), hops=63), tags=[0x8100])
    assert wire.texts(over_udp(message()), tagged, over_udp(message("b"))) == [message(), message("b")]
    wire.now += ECHO_NS
    assert wire.texts(over_udp(message())) == [message()]


def test_a_message_in_fragments_has_its_place_in_time() -> None:
    large = udp(message("large", bytes(3000)))
    cuts = [(0, 1480, True), (1480, 2960, True), (2960, len(large), False)]
    pieces = [
        ethernet(ipv4(large[start:end], offset=start, more=more, identification=9))
        for start, end, more in cuts
    ]
    heard = Wire().texts(over_udp(message("a")), *pieces, over_udp(message("z")))
    assert heard == [message("a"), large[8:], message("z")]


def test_messages_over_tcp_in_one_segment_and_in_many() -> None:
    first, second, third = message("a", b"v=0\r\n"), message("b"), answer()
    stream = first + b"\r\n\r\n" + second + third
    wire = Wire()
    assert wire.texts(over_tcp(b"", 99, SYN)) == []
    assert wire.texts(over_tcp(stream, 100)) == [first, second, third]
    at = 100 + len(stream)
    data = message("c")
    frames = [over_tcp(data[place : place + 7], at + place) for place in range(0, len(data), 7)]
    assert wire.texts(*reversed(frames)) == [data]


def test_both_directions_are_heard() -> None:
    wire = Wire()
    there, back = over_tcp(message(), 100), over_tcp(answer(), 500, source=5060, destination=40_000)
    assert wire.texts(there, back) == [message(), answer()]


def test_a_connection_at_any_port_is_followed_once_it_speaks_sip() -> None:
    wire = Wire()
    data = message("a", b"x" * 50)
    pieces = [
        over_tcp(data[:90], 100, destination=15060),
        over_tcp(data[90:] + message("b"), 190, destination=15060),
        over_tcp(b"GET / HTTP/1.1\r\n\r\n", 100, destination=80),
    ]
    assert wire.texts(*pieces) == [data, message("b")]


def test_in_mid_stream_the_next_first_line_is_found() -> None:
    wire = Wire()
    assert wire.texts(over_tcp(b"f: half a message\r\n\r\nv=0\r\nINVI", 100)) == []
    assert wire.texts(over_tcp(message("b")[4:] + message("c"), 130)) == [message("b"), message("c")]


def test_what_a_gap_takes_away_is_told() -> None:
    wire = Wire()
    data = message("a", b"x" * 90)
    lost = wire.texts(over_tcp(data[:100], 100), over_tcp(b"xx\r\n" + message("b"), 300))
    assert lost == []
    wire.now += GAP_NS
    assert wire.texts(over_udp(message("u"))) == ["tcp_gap", message("b"), message("u")]


def test_at_the_end_nothing_is_waited_for() -> None:
    wire = Wire()
    wire.hears(over_tcp(b"", 99, SYN), over_tcp(message(), 300))
    (heard,) = wire.hearing.finish(wire.now)
    assert isinstance(heard, Overheard)
    assert wire.hearing.finish(wire.now) == []


def test_a_broken_message_costs_itself() -> None:
    wire = Wire()
    broken = b"INVITE sip:b SIP/2.0\r\nContent-Length: nonsense\r\n\r\n"
    assert wire.texts(over_tcp(broken, 100)) == ["bad_sip"]
    assert wire.texts(over_tcp(message(), 100 + len(broken))) == [message()]


@pytest.mark.parametrize("port", [5060, 5061])
def test_tls_is_told_once_a_connection(port: int) -> None:
    wire = Wire()
    hello = b"\x16\x03\x01\x00\x05hello"
    frames = [
        over_tcp(b"", 99, SYN, destination=port),
        over_tcp(hello, 100, destination=port),
        over_tcp(hello, 100, source=port, destination=40_000),
        over_tcp(b"\x17\x03\x03\0\x50" + bytes(80), 110, destination=port),
        over_tcp(message(), 195, destination=port),
    ]
    assert wire.texts(*frames) == ["sip_tls"]
    assert Wire().texts(over_tcp(b"\x17\x03\x03\0\x50" + bytes(80), 7, destination=port)) == ["sip_tls"]


def test_tls_elsewhere_is_not_taken_for_sip() -> None:
    assert Wire().texts(over_tcp(b"\x16\x03\x01\x00\x05hello", 100, destination=443)) == []


def test_a_connection_that_ends_is_forgotten() -> None:
    wire = Wire()
    assert wire.texts(over_tcp(message(), 100, FIN)) == [message()]
    assert wire.texts(over_tcp(b"", 5, SYN)) == []
    assert wire.texts(over_tcp(message("b"), 6)) == [message("b")]


def test_connections_are_bounded() -> None:
    wire = Wire()
    half = message("a", b"x" * 40)
    frames = [over_tcp(half[:80], 100, source=10_000 + number) for number in range(MAX_STREAMS + 1)]
    assert wire.texts(*frames) == []
    rest = [over_tcp(half[80:], 180, source=10_000 + number) for number in (0, 1)]
    assert wire.texts(*rest) == []
    assert wire.texts(over_tcp(half[80:], 180, source=10_000 + MAX_STREAMS)) == [half]


def test_gaps_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GAPS", 2)
    wire = Wire()
    for number in range(3):
        source = 10_000 + number
        frames = over_tcp(b"", 99, SYN, source), over_tcp(message(f"{number}"), 300, ACK, source)
        found = wire.texts(*frames)
    assert found == [message("0")]


PIECES = st.lists(
    st.tuples(
        st.sampled_from(
            (message("a"), answer(), b"\r\n\r\n", b"\x16\x03\x01", b"noise\nmore", message("b", b"v=0"))
        ),
        st.integers(0, 200),
        st.integers(1, 400),
    ),
    max_size=12,
)


@given(PIECES)
def test_whatever_goes_by_nothing_breaks(pieces: list[tuple[bytes, int, int]]) -> None:
    wire = Wire()
    for data, cut, sequence in pieces:
        wire.hears(over_tcp(data[cut:], sequence), over_udp(data[cut:]))
    wire.hearing.finish(wire.now)


def test_sip_in_a_websocket_at_any_port() -> None:
    wire, sequence = Wire(), [100, 900]

    def carried(side: int, data: bytes) -> bytes:
        ports = (40_000, 8088) if side == 0 else (8088, 40_000)
        segment = over_tcp(data, sequence[side], ACK, *ports)
        sequence[side] += len(data)
        return segment

    assert wire.texts(carried(0, ASKED), carried(1, AGREED)) == []
    assert wire.texts(carried(0, frame(message(), key=b"abcd"))) == [message()]
    whole = frame(answer()) + frame(b"", kind=9) + frame(message("b"))
    assert wire.texts(*(carried(1, whole[at : at + 30]) for at in range(0, len(whole), 30))) == [
        answer(), message("b"),
    ]  # fmt: skip
    assert wire.texts(carried(1, frame(b"x", extended=0x40))) == ["bad_sip"]
    assert wire.texts(carried(0, b"GET / HTTP/1.1\r\nHost: elsewhere\r\n\r\n")) == ["bad_sip"]


def test_a_connection_at_another_port_is_followed_within_one_batch() -> None:
    """Segments that begin in the middle of a line, with whatever octet."""
    data = message(body=b"0123456789" * 20)
    first = data[: 11 * 11]
    rest = [data[at : at + 7] for at in range(len(first), len(data), 7)]
    frames = [over_tcp(first, 5, ACK, 40_000, 9000)]
    frames += [over_tcp(piece, 5 + len(first) + 7 * at, ACK, 40_000, 9000) for at, piece in enumerate(rest)]
    assert any(not piece[:1].isalpha() for piece in rest)
    assert Wire().texts(*frames) == [data]
