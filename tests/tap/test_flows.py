"""From datagrams to legs: by destination, by source where that fails, and late for whoever was not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.recording.messages import MediaFlow
from gateway.rtp.packets import PacketBatch
from gateway.tap.flows import TRAILING_NS, Flows, Limits
from gateway.tap.frames import Datagrams
from gateway.tap.places import MAX_AT_ONE
from gateway.tap.unsignalled import Pair

MS, SECOND = 1_000_000, 1_000_000_000
Place = tuple[str, int]
ALICE, BOB, NAT = ("10.0.0.1", 4000), ("2001:db8::2", 5000), ("203.0.113.9", 61000)
Packet = tuple[Place, Place, bytes, int]  # from, to, payload, arrival


def rtp(sequence: int, size: int = 160, ssrc: int = 7) -> bytes:
    return b"\x80\x08" + sequence.to_bytes(2, "big") + bytes(4) + ssrc.to_bytes(4, "big") + bytes(size)


def mapped(address: str) -> bytes:
    found = ip_address(address)
    return found.packed if found.version == 6 else bytes(10) + b"\xff\xff" + found.packed


def datagrams(packets: Sequence[Packet], protocol: int = 17) -> Datagrams:
    sizes = np.array([len(payload) for *_, payload, _ in packets], np.int64)
    whole = b"".join(payload for *_, payload, _ in packets)
    count = len(packets)

    def addresses(which: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        octets = b"".join(mapped(packet[:2][which][0]) for packet in packets)
        return np.frombuffer(octets, np.uint8).reshape(count, 16)

    return Datagrams(
        rows=np.arange(count),
        octets=np.frombuffer(whole, np.uint8),
        offsets=np.cumsum(sizes) - sizes,
        sizes=sizes,
        protocols=np.full(count, protocol),
        sources=addresses(0),
        destinations=addresses(1),
        source_ports=np.array([packet[0][1] for packet in packets], np.int64),
        destination_ports=np.array([packet[1][1] for packet in packets], np.int64),
        arrivals=np.array([packet[3] for packet in packets], np.int64),
        numbers=np.arange(count),
        headers=np.zeros(count, np.int64),
    )


def found(batch: PacketBatch | None) -> list[tuple[int, bytes]]:
    if batch is None:
        return []
    return [
        (leg, slot[:size].tobytes())
        for leg, slot, size in zip(batch.legs.tolist(), batch.slots, batch.sizes.tolist(), strict=True)
    ]


def flow(to: Place | None, source: Place | None = None) -> MediaFlow:
    return MediaFlow(0, *(to or ("", 0)), *(source or ("", 0)))


def test_packets_go_to_the_leg_whose_place_they_are_sent_to_whoever_sends_them() -> None:
    flows = Flows()
    flows.set(3, flow(ALICE))
    flows.set(1, flow(BOB))
    sent = [
        (BOB, ALICE, rtp(1), 0),
        (ALICE, BOB, rtp(2, 80), 1),
        (NAT, ALICE, rtp(3), 2),
        (ALICE, NAT, rtp(4), 3),
    ]
    assert found(flows.take(datagrams(sent), 5)) == [(1, rtp(2, 80)), (3, rtp(1)), (3, rtp(3))]


def test_a_place_that_two_calls_name_is_heard_for_both() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE))
    flows.set(2, flow(ALICE))
    assert found(flows.take(datagrams([(BOB, ALICE, rtp(1), 0)]), 0)) == [(1, rtp(1)), (2, rtp(1))]
    flows.release(1)
    assert found(flows.take(datagrams([(BOB, ALICE, rtp(2), 0)]), 0)) == [(2, rtp(2))]


def test_of_two_calls_with_one_place_each_hears_who_sends_from_where_it_said() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    flows.set(2, flow(ALICE, NAT))
    sent = [(BOB, ALICE, rtp(1), 0), (NAT, ALICE, rtp(2), 1), (("192.0.2.7", 9), ALICE, rtp(3), 2)]
    assert found(flows.take(datagrams(sent), 3)) == [(1, rtp(1)), (1, rtp(3)), (2, rtp(2)), (2, rtp(3))]


def test_packets_that_go_elsewhere_than_announced_are_known_by_where_they_come_from() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    assert found(flows.take(datagrams([(BOB, NAT, rtp(1), 0)]), 0)) == [(1, rtp(1))]
    both = [(BOB, ALICE, rtp(2), SECOND), (BOB, NAT, rtp(3), SECOND + 1)]
    assert found(flows.take(datagrams(both), SECOND)) == [(1, rtp(2))]
    later = 3 * SECOND
    assert found(flows.take(datagrams([(BOB, NAT, rtp(4), later)]), later)) == [(1, rtp(4))]


def test_where_only_the_source_is_known_it_is_enough() -> None:
    flows = Flows()
    flows.set(1, flow(None, BOB))
    assert found(flows.take(datagrams([(BOB, ALICE, rtp(1), 0)]), 0)) == [(1, rtp(1))]


def test_packets_before_their_call_wait_for_it() -> None:
    flows = Flows()
    for at in range(3):
        flows.take(
            datagrams([(BOB, ALICE, rtp(at), at * SECOND), (ALICE, BOB, b"no RTP here", 0)]), at * SECOND
        )
    flows.set(1, flow(ALICE))
    flows.set(2, flow(BOB))
    assert [found(batch) for batch in flows.early()] == [[(1, rtp(0))], [(1, rtp(1))], [(1, rtp(2))]]
    assert flows.early() == []


def test_a_call_that_is_dealt_with_late_has_its_audio_and_nothing_from_before() -> None:
    """Many calls at once take their time; a telephone may have had another call at the same place shortly before."""
    flows = Flows()
    for at in range(9):
        flows.take(datagrams([(BOB, ALICE, rtp(at), at * SECOND)]), at * SECOND)
    flows.set(1, flow(ALICE), agreed_ns=3 * SECOND)
    assert [found(batch) for batch in flows.early()] == [[(1, rtp(at))] for at in range(1, 9)]
    flows.set(2, flow(ALICE))
    assert [found(batch) for batch in flows.early()] == [[(2, rtp(at))] for at in range(6, 9)]


def test_what_waits_is_let_go_after_its_time_and_beyond_its_room() -> None:
    flows = Flows(Limits(early_ns=SECOND, early_bytes=4 * 172))
    flows.take(datagrams([(BOB, ALICE, rtp(0), 0)]), 0)
    for at in range(1, 7):
        flows.take(datagrams([(BOB, ALICE, rtp(at), 2 * SECOND)]), 2 * SECOND)
    flows.set(1, flow(ALICE))
    assert [found(batch) for batch in flows.early()] == [[(1, rtp(at))] for at in range(3, 7)]
    assert flows.dropped_early == 2


def test_a_leg_that_moves_takes_nothing_at_its_old_place() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE))
    flows.set(1, flow(NAT))
    assert found(flows.take(datagrams([(BOB, ALICE, rtp(1), 0), (BOB, NAT, rtp(2), 0)]), 0)) == [(1, rtp(2))]


def test_segments_of_tcp_are_no_media() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE))
    assert flows.take(datagrams([(BOB, ALICE, rtp(1), 0)], protocol=6), 0) is None


def test_audio_both_ways_without_signalling_is_told_of_once() -> None:
    flows = Flows()
    for at in range(600):
        now = at * 20 * MS
        both = [(ALICE, BOB, rtp(at, ssrc=1), now), (BOB, ALICE, rtp(at, ssrc=2), now)]
        flows.take(datagrams([*both, (ALICE, NAT, rtp(at, ssrc=3), now)]), now)
    assert flows.unsignalled.ended() == []
    flows.take(datagrams([]), 40 * SECOND)
    assert flows.unsignalled.ended() == [Pair(0, 599 * 20 * MS, (BOB, ALICE))]
    flows.take(datagrams([]), 60 * SECOND)
    assert flows.unsignalled.ended() == []


def test_what_came_before_a_call_began_is_not_its_audio() -> None:
    flows = Flows()
    flows.take(datagrams([(BOB, ALICE, rtp(at), at * 20 * MS) for at in range(20)]), 0)
    flows.set(1, flow(ALICE), None, 200 * MS)
    assert [each for batch in flows.early() for each in found(batch)] == [
        (1, rtp(at)) for at in range(10, 20)
    ]
    flows.release(1)
    flows.set(1, flow(ALICE))
    assert len([each for batch in flows.early() for each in found(batch)]) == 20


def test_how_long_audio_without_signalling_goes_to_be_a_call_is_a_limit() -> None:
    def told(seconds: int, lasts_ns: int) -> list[Pair]:
        flows = Flows(Limits(lasts_ns=lasts_ns))
        times = [at * 20 * MS for at in range(50 * seconds + 1)]
        for way in ((ALICE, BOB), (BOB, ALICE)):
            flows.take(datagrams([(*way, rtp(at), now) for at, now in enumerate(times)]), 0)
        flows.take(datagrams([]), 60 * SECOND)
        return flows.unsignalled.ended()

    assert told(3, 4 * SECOND) == []
    assert told(4, 4 * SECOND) == [Pair(0, 4 * SECOND, (BOB, ALICE))]


def test_what_goes_one_way_alone_is_told_of_where_that_is_wanted() -> None:
    for one_way, expected in ((False, []), (True, [Pair(0, SECOND, (BOB, ALICE), both_ways=False)])):
        flows = Flows(Limits(lasts_ns=SECOND, one_way=one_way))
        flows.take(datagrams([(ALICE, BOB, rtp(at), at * 20 * MS) for at in range(51)]), 0)
        flows.take(datagrams([]), 60 * SECOND)
        assert flows.unsignalled.ended() == expected


def test_a_generator_with_one_port_for_a_thousand_calls_costs_no_thousandfold() -> None:
    flows = Flows()
    for leg in range(1000):
        flows.set(leg, flow(ALICE, (f"10.1.{leg // 250}.{leg % 250}", 4000)))
    known = [((f"10.1.{leg // 250}.{leg % 250}", 4000), ALICE, rtp(leg), leg) for leg in range(1000)]
    assert found(flows.take(datagrams(known), 0)) == [(leg, rtp(leg)) for leg in range(1000)]
    stranger = found(flows.take(datagrams([(NAT, ALICE, rtp(1), 0)]), 0))
    assert stranger == [(leg, rtp(1)) for leg in range(1000 - MAX_AT_ONE, 1000)]
    for leg in range(1000):
        flows.set(leg, flow(ALICE, BOB))
    coming = [(BOB, ALICE, rtp(number), 0) for number in range(10)]
    assert len(found(flows.take(datagrams(coming), 0))) == 10 * MAX_AT_ONE


def test_what_a_mirror_shows_twice_is_taken_once() -> None:
    """As a capture comes, as what waited for its signalling, and of the next call in its place."""
    flows = Flows()
    early = [(BOB, ALICE, rtp(at), at * 20 * MS) for at in range(8) for _ in "ab"]
    assert flows.take(datagrams(early), 0) is None
    flows.set(4, flow(ALICE))
    assert [each for batch in flows.early() for each in found(batch)] == [(4, rtp(at)) for at in range(8)]
    later = [(BOB, ALICE, rtp(at), at * 20 * MS) for at in range(8, 80) for _ in "ab"]
    assert found(flows.take(datagrams(later), 0)) == [(4, rtp(at)) for at in range(8, 80)]
    flows.release(4)
    flows.set(4, flow(ALICE))
    assert found(flows.take(datagrams(later), 0)) == [(4, rtp(at)) for at in range(8, 80)]


def test_a_leg_is_heard_where_it_goes_whoever_was_to_speak() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    sent = [(BOB, ALICE, rtp(1), 0), (NAT, ALICE, rtp(2), 1)]
    assert found(flows.take(datagrams(sent), 0)) == [(1, rtp(1)), (1, rtp(2))]


PLACES = st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2", "2001:db8::1"]), st.integers(1, 4))


@given(
    st.dictionaries(st.integers(0, 100), PLACES, max_size=MAX_AT_ONE),
    st.lists(st.tuples(PLACES, PLACES, st.integers(1, 1500)), max_size=40),
)
def test_it_finds_what_a_look_at_each_packet_finds(
    legs: dict[int, Place], sent: list[tuple[Place, Place, int]]
) -> None:
    flows = Flows()
    for leg, place in legs.items():
        flows.set(leg, flow(place))
    packets = [(source, to, rtp(at, size), at) for at, (source, to, size) in enumerate(sent)]
    expected = [(leg, payload) for leg in sorted(legs) for _, to, payload, _ in packets if to == legs[leg]]
    assert found(flows.take(datagrams(packets), 0)) == expected


def test_after_the_end_of_a_call_its_ports_are_those_of_the_next() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE))
    flows.ending(1, 0)
    late = flows.take(datagrams([(BOB, ALICE, rtp(1), TRAILING_NS - 1)]), TRAILING_NS)
    assert found(late) == [(1, rtp(1))]
    assert flows.take(datagrams([(BOB, ALICE, rtp(2), TRAILING_NS)]), TRAILING_NS) is None
    flows.set(2, flow(BOB))
    flows.ending(2, SECOND)
    flows.set(3, flow(BOB))
    assert found(flows.take(datagrams([(ALICE, BOB, rtp(3), SECOND)]), SECOND)) == [(3, rtp(3))]


def test_a_newer_call_on_the_same_way_keeps_its_audio_from_the_one_whose_end_was_missed() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    flows.take(datagrams([(BOB, ALICE, rtp(1, ssrc=7), 0)]), 0)
    flows.set(2, flow(ALICE, BOB))
    sent = [(BOB, ALICE, rtp(9, ssrc=8), 1), (BOB, ALICE, rtp(2, ssrc=7), 2)]
    batch = flows.take(datagrams(sent), 2)
    # What goes on is both's: a telephone system that lets telephones speak directly has two calls of them.
    assert found(batch) == [(1, rtp(2, ssrc=7)), (2, rtp(9, ssrc=8)), (2, rtp(2, ssrc=7))]
    flows.release(2)
    flows.release(1)
    flows.set(1, flow(ALICE, BOB))
    assert found(flows.take(datagrams(sent[:1]), 3)) == [(1, rtp(9, ssrc=8))]


def test_two_calls_that_begin_on_one_way_share_what_comes() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    flows.set(2, flow(ALICE, BOB))
    sent = [(BOB, ALICE, rtp(1, ssrc=7), 0), (BOB, ALICE, rtp(9, ssrc=8), 1)]
    assert [leg for leg, _ in found(flows.take(datagrams(sent), 1))] == [1, 1, 2, 2]


def test_of_rtcp_no_ssrc_is_taken() -> None:
    flows = Flows()
    flows.set(1, flow(ALICE, BOB))
    report = bytes((0x80, 200)) + bytes(26)
    flows.take(datagrams([(BOB, ALICE, rtp(1), 0), (BOB, ALICE, report, 1)]), 1)
    flows.set(2, flow(ALICE, BOB))
    assert [leg for leg, _ in found(flows.take(datagrams([(BOB, ALICE, rtp(2), 2)]), 2))] == [1, 2]
