"""What a mirror shows twice is heard once; what was sent twice is told of by the leg's count."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packets import PacketBatch
from gateway.tap.echoes import ECHO_NS, NEAR, Echoes

MS = 1_000_000
Packet = tuple[int, int, int]  # leg, sequence number, ns


def batch(packets: Sequence[Packet]) -> PacketBatch:
    ordered = sorted(packets, key=lambda packet: packet[0])
    octets = b"".join(struct.pack(">BBHII", 0x80, 8, number, 160 * number, leg) for leg, number, _ in ordered)
    legs, _, times = np.array(ordered, np.int64).reshape(-1, 3).T
    slots = np.frombuffer(octets, np.uint8).reshape(-1, 12)
    return PacketBatch(slots, np.full(len(slots), 12), legs, times)


def heard(echoes: Echoes, packets: Sequence[Packet]) -> list[tuple[int, int]]:
    left = echoes.without(batch(packets))
    numbers = left.slots[:, 2:4].copy().view(">u2")[:, 0]
    return list(zip(left.legs.tolist(), numbers.tolist(), strict=True))


def begun(*legs: int) -> Echoes:
    echoes = Echoes()
    for leg in legs:
        echoes.begin(leg)
    return echoes


def twice(packets: Sequence[Packet], later_ns: int) -> list[Packet]:
    copies = [(leg, number, at_ns + later_ns) for leg, number, at_ns in packets]
    return sorted([*packets, *copies], key=lambda packet: packet[2])


@pytest.mark.parametrize("later_ns", [0, 3_000, 15 * MS, 45 * MS])
@pytest.mark.parametrize("size", [1, 2, 7, 400])
def test_each_packet_of_a_mirror_is_heard_once(later_ns: int, size: int) -> None:
    sent = [(leg, number, number * 20 * MS + leg) for number in range(100) for leg in (3, 200)]
    echoes, seen = begun(3, 200), []
    shown = twice(sent, later_ns)
    for at in range(0, len(shown), size):
        seen += heard(echoes, shown[at : at + size])
    assert sorted(seen) == sorted((leg, number) for leg, number, _ in sent)


def test_of_a_leg_of_which_few_packets_come_twice_all_are_heard() -> None:
    sent = [(0, number, number * 20 * MS) for number in range(100)]
    shown = sorted([*sent, *(sent[at] for at in (20, 21, 77))], key=lambda packet: packet[2])
    assert len(heard(begun(0), shown)) == 103


def test_one_leg_is_mirrored_and_another_is_not() -> None:
    shown = [(leg, number, number * 20 * MS) for number in range(50) for leg in (0, 0, 1)]
    assert len(heard(begun(0, 1), shown)) == 100


def test_a_packet_that_comes_again_much_later_is_another_one() -> None:
    echoes = begun(0)
    assert heard(echoes, [(0, 5, 0)]) == [(0, 5)]
    assert heard(echoes, [(0, 5, ECHO_NS)]) == [(0, 5)]


def test_a_leg_of_another_call_knows_nothing_of_the_one_before() -> None:
    echoes = begun(0)
    assert heard(echoes, [(0, 5, 0), (0, 5, 10)]) == [(0, 5)]
    echoes.begin(0)
    assert heard(echoes, [(0, 5, 20)]) == [(0, 5)]
    assert heard(echoes, []) == []


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.just(0)), max_size=60))
def test_nothing_but_copies_is_left_out(packets: list[Packet]) -> None:
    left = heard(begun(0, 1, 2, 3), packets)
    shown = [packet[:2] for packet in sorted(packets, key=lambda packet: packet[0])]
    for leg in range(4):
        mine = [number for each, number in shown if each == leg]
        kept = [number for each, number in left if each == leg]
        first = [number for at, number in enumerate(mine) if number not in mine[max(0, at - NEAR) : at]]
        assert kept in (first, mine)
