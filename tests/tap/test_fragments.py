"""Fragments become the packet they were cut from, or nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap import fragments as module
from gateway.tap.fragments import ECHO_NS, LIFETIME_NS, MAX_WAITING, Decapsulator
from tests.tap.building import IPV6, batch, ethernet, fragment_header, gre, ipv4, ipv6, udp, vxlan

SECOND = 1_000_000_000


def cut(datagram: bytes, cuts: list[int], new: bool = False, identification: int = 7) -> list[bytes]:
    """The datagram as frames, cut at multiples of eight octets."""
    places = sorted({0, *(8 * place for place in cuts if 8 * place < len(datagram)), len(datagram)})
    pieces = []
    for start, end in pairwise(places):
        more = end < len(datagram)
        if new:
            piece = fragment_header(datagram[start:end], start, more, identification)
            pieces.append(ethernet(ipv6(piece, following=44), IPV6))
        else:
            pieces.append(
                ethernet(ipv4(datagram[start:end], offset=start, more=more, identification=identification))
            )
    return pieces


def fed(taking: Decapsulator, frames: list[bytes], at_ns: int = SECOND) -> list[bytes]:
    datagrams = taking.feed(batch(frames, arrivals=[at_ns] * len(frames)))
    return [each.payload(row) for each in datagrams for row in range(len(each))]


@given(st.binary(min_size=9, max_size=3000), st.data(), st.booleans())
def test_any_cut_in_any_order_with_copies(payload: bytes, data: st.DataObject, new: bool) -> None:
    datagram = udp(payload)
    cuts = data.draw(st.lists(st.integers(1, (len(datagram) - 1) // 8), min_size=1, max_size=12))
    pieces = cut(datagram, cuts, new)
    pieces = data.draw(st.permutations(pieces))
    copies = data.draw(st.lists(st.sampled_from(pieces), max_size=5))
    taking = Decapsulator()
    assert fed(taking, [*pieces[:-1], *copies, pieces[-1], *copies]).count(payload) == 1
    assert taking.refused == {}


def test_time_and_number_are_those_of_the_last_piece() -> None:
    pieces = cut(udp(bytes(40)), [2])
    _, found = Decapsulator().feed(batch(pieces, arrivals=[5, 9], first=11))
    assert (found.rows.tolist(), found.arrivals.tolist(), found.numbers.tolist()) == ([-1], [9], [12])


def test_packets_of_the_same_time_stay_apart() -> None:
    one, other = (cut(udp(bytes([byte]) * 40), [2], identification=byte) for byte in (1, 2))
    found = fed(Decapsulator(), [one[0], other[0], other[1], one[1]])
    assert found == [b"\2" * 40, b"\1" * 40]


@pytest.mark.parametrize("new", [False, True])
def test_an_overlap_refuses_the_packet_as_a_whole(new: bool) -> None:
    pieces, others = cut(udp(bytes(92)), [4, 8], new), cut(udp(b"\1" * 92), [3, 8], new)
    taking = Decapsulator()
    assert fed(taking, [pieces[0], others[1], pieces[1], pieces[2]]) == []
    assert taking.refused == {"fragment_overlap": 1}


def test_a_piece_beyond_the_last_refuses_the_packet() -> None:
    short, long = cut(udp(bytes(32)), [2]), cut(udp(bytes(92)), [2, 8])
    taking = Decapsulator()
    assert fed(taking, [short[1], long[2], short[0]]) == []
    assert taking.refused == {"fragment_bad": 1}
    taking = Decapsulator()
    assert fed(taking, [long[2], short[1], long[0]]) == []
    assert taking.refused == {"fragment_bad": 1}


@pytest.mark.parametrize(
    "piece",
    [
        ethernet(ipv4(bytes(12), more=True)),
        ethernet(ipv4(bytes(0), offset=16)),
        ethernet(ipv4(bytes(64), offset=65_528)),
    ],
)
def test_a_piece_that_cannot_be(piece: bytes) -> None:
    taking = Decapsulator()
    assert fed(taking, [piece]) == []
    assert taking.refused == {"fragment_bad": 1}


def test_what_comes_too_late_is_lost() -> None:
    first, second = cut(udp(bytes(40)), [2])
    taking = Decapsulator()
    assert fed(taking, [first]) == []
    assert fed(taking, [second], SECOND + LIFETIME_NS) == []
    assert taking.refused == {"fragment_late": 1}


def test_an_identification_may_be_used_again() -> None:
    taking = Decapsulator()
    for time in range(3):
        pieces = cut(udp(bytes([time]) * 40), [2])
        assert fed(taking, [*pieces, pieces[1]], SECOND + time * ECHO_NS) == [bytes([time]) * 40]


def test_a_flood_costs_the_oldest() -> None:
    taking = Decapsulator()
    firsts = [cut(udp(bytes(40)), [2], identification=number) for number in range(MAX_WAITING + 3)]
    assert fed(taking, [first for first, _ in firsts]) == []
    assert taking.refused == {"fragment_flood": 3}
    assert len(fed(taking, [firsts[3][1], firsts[2][1]])) == 1


def test_octets_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OCTETS", 100)
    taking = Decapsulator()
    for number in range(9):
        assert fed(taking, cut(udp(bytes(60)), [5], identification=number)[:1]) == []
    assert taking.refused == {"fragment_flood": 7}


def test_fragments_in_a_tunnel_that_is_in_fragments() -> None:
    payload = bytes(range(200))
    inner = [ethernet(ipv4(vxlan(frame))) for frame in cut(udp(payload), [8])]
    outer = [
        piece
        for number, frame in enumerate(inner)
        for piece in cut_packet(ipv4(gre(frame, 0x6558), protocol=47), number)
    ]
    assert fed(Decapsulator(), outer) == [payload]


def cut_packet(packet: bytes, identification: int) -> list[bytes]:
    """An IPv4 packet without options as two frames."""
    data = packet[20:]
    return [
        ethernet(ipv4(data[:48], protocol=packet[9], more=True, identification=identification)),
        ethernet(ipv4(data[48:], protocol=packet[9], offset=48, identification=identification)),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.binary(max_size=40)), max_size=20), st.booleans()
)
def test_whatever_comes_nothing_breaks(pieces: list[tuple[int, bool, bytes]], new: bool) -> None:
    taking = Decapsulator()
    frames = []
    for offset, more, data in pieces:
        if new:
            frames.append(ethernet(ipv6(fragment_header(data, 8 * offset, more), following=44), IPV6))
        else:
            frames.append(ethernet(ipv4(data, offset=8 * offset, more=more)))
    taking.feed(batch(frames))
