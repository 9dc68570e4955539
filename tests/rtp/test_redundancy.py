"""Packets that bring earlier payloads again (RFC 2198): each payload is where it belongs, and no key is missed or told twice."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.registry import by_name
from gateway.rtp.packets import parse
from gateway.rtp.redundancy import MAX_REPEATED, Redundancy
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import Tone
from tests.recording.simulation import HOLD_BACK, MS, SECOND, Datagram, batch, rtp
from tests.rtp.test_tones import event

RED = 100
Block = tuple[int, int, bytes]  # payload type, by how much it is older, payload
blocks = st.tuples(st.integers(0, 127), st.integers(0, 0x3FFF), st.binary(max_size=40))


def redundant(own: tuple[int, bytes], repeated: Sequence[Block] = ()) -> bytes:
    """The payload of section 3."""
    heads = b"".join(
        struct.pack(">I", (0x80 | kind) << 24 | back << 10 | len(data)) for kind, back, data in repeated
    )
    return heads + bytes((own[0],)) + b"".join(data for _, _, data in repeated) + own[1]


def unpacked(*packets: bytes) -> tuple[list[tuple[int, bytes]], list[Block], Counter[str]]:
    """Own payloads with their types, what is repeated, and what was refused; all packets have timestamp 90000."""
    told = Redundancy(1)
    told.add(0, frozenset({RED}))
    arrived = batch([Datagram(0, 0, packet) for packet in packets], [0], 0)
    faults: Counter[str] = Counter()
    own, repeated = told.unpack(parse(arrived)[0], arrived.slots, faults)
    data = [
        [
            (int(kind), 90_000 - int(time), arrived.slots[row, at : at + size].tobytes())
            for kind, time, row, at, size in zip(
                some.payload_type, some.timestamp, some.rows, some.offset, some.size, strict=True
            )
        ]
        for some in (own, *([repeated] if repeated is not None else []))
    ]
    return [(kind, octets) for kind, _, octets in data[0]], data[1] if len(data) > 1 else [], +faults


@given(
    st.lists(
        st.tuples(st.integers(0, 127), st.binary(max_size=200), st.lists(blocks, max_size=MAX_REPEATED)),
        min_size=1,
        max_size=5,
    )
)
def test_every_payload_is_found(packets: list[tuple[int, bytes, list[Block]]]) -> None:
    sent = [
        rtp(n, 90_000, redundant((kind, own), again), 1, RED) for n, (kind, own, again) in enumerate(packets)
    ]
    own, repeated, faults = unpacked(*sent, rtp(9, 90_000, b"as it is", 1, 8))
    assert own == [*((kind, data) for kind, data, _ in packets), (8, b"as it is")]
    assert repeated == [block for _, _, again in packets for block in again]
    assert not faults


@given(st.binary(max_size=60))
def test_any_octets_cost_no_more_than_a_count(payload: bytes) -> None:
    own, _, faults = unpacked(rtp(1, 90_000, payload, 1, RED))
    assert len(own) + faults["length"] == 1


@pytest.mark.parametrize("left", range(10))
def test_what_is_cut_short_is_refused(left: int) -> None:
    whole = redundant((101, b""), [(101, 160, b"abcde")])
    assert unpacked(rtp(1, 90_000, whole[:left], 1, RED)) == ([], [], Counter(length=1))


def test_more_payloads_than_are_read_are_refused() -> None:
    many = redundant((101, b"own"), [(101, 160, b"x")] * (MAX_REPEATED + 1))
    assert unpacked(rtp(1, 90_000, many, 1, RED)) == ([], [], Counter(length=1))


class Leg:
    """A leg whose stream has begun, with audio, in packets of 20 ms."""

    def __init__(self) -> None:
        self.table = LegTable(2, HOLD_BACK + 2 * SECOND)
        formats = {8: by_name("PCMA", 8000)}, frozenset({101}), frozenset[int](), frozenset({RED})
        self.number = self.table.open(*formats)
        self.sequence = 0
        self.take(*(self.packet(160 * place, bytes(160), 8) for place in range(50)))

    def packet(self, timestamp: int, payload: bytes, payload_type: int = RED) -> bytes:
        self.sequence += 1
        return rtp(self.sequence, timestamp, payload, 0xCA11, payload_type)

    def take(self, *packets: bytes) -> list[Tone]:
        at = self.sequence * 20 * MS
        return self.table.receive(batch([Datagram(at, 0, data) for data in packets], [self.number], 0))[0]


def digits(tones: list[Tone]) -> list[int]:
    return [int(tone.digit) for tone in tones if tone.digit is not None]


def keyed(leg: Leg, keys: Sequence[int]) -> list[list[bytes]]:
    """Presses 300 ms apart, of three packets each, all of which bring the ends of the two presses before."""
    ends = [event((key, True, 640)) for key in keys]
    return [
        [
            leg.packet(
                8000 + 2400 * n,
                redundant(
                    (101, event((key, part == 2, 320 + 160 * part))),
                    [(101, 2400 * back, ends[n - back]) for back in (2, 1) if n >= back],
                ),
            )
            for part in range(3)
        ]
        for n, key in enumerate(keys)
    ]


def test_a_press_of_which_every_packet_is_lost_is_told_by_those_that_follow() -> None:
    leg, keys = Leg(), [4, 4, 1, 9, 2]
    presses = keyed(leg, keys)
    tones = leg.take(*presses[0], *presses[3]) + leg.take(*presses[4])
    assert digits(tones) == keys
    told = {tone.start: tone.ticks for tone in tones}
    assert sorted(told) == [8000 + 2400 * n for n in range(5)]
    assert all(ticks == 640 for ticks in told.values())


@pytest.mark.parametrize("together", [1, 2, 15])
def test_keys_are_told_once_and_in_order(together: int) -> None:
    leg, keys = Leg(), [5, 5, 0, 0, 7]
    packets = [packet for press in keyed(leg, keys) for packet in press]
    tones = [
        tone for at in range(0, len(packets), together) for tone in leg.take(*packets[at : at + together])
    ]
    assert digits(tones) == keys


def test_audio_within_is_the_legs_audio_and_kept_once() -> None:
    leg = Leg()
    voice = [bytes([n]) * 160 for n in range(4)]
    leg.take(
        *(
            leg.packet(8000 + 160 * n, redundant((8, voice[n]), [(8, 160, voice[n - 1])] if n else []))
            for n in range(4)
        )
    )
    _, cells = leg.table.waiting(leg.number)
    kept = leg.table.ring(leg.number).payload[cells[-4:], :160]
    assert [octets.tobytes() for octets in kept] == voice
