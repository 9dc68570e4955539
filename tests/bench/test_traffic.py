"""The load is what was asked for, packet by packet."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from pylibsrtp import Policy, Session

from bench.load import Load, LoadError, clip
from bench.traffic import HEADER, HEADER_BYTES, SLICE_MS, SUITES, Batch, Traffic, secret

SUITE = "AES_CM_128_HMAC_SHA1_80"
SECOND = 1000 // SLICE_MS  # in slices


@dataclass(frozen=True)
class Packet:
    slice: int
    leg: int
    octets: bytes

    @property
    def header(self) -> np.void:
        found: np.void = np.frombuffer(self.octets[:HEADER_BYTES], HEADER)[0]
        return found


def packets(batch: Batch, number: int) -> list[Packet]:
    parts = zip(batch.legs, batch.headers, batch.payloads, batch.lengths, strict=True)
    return [
        Packet(number, int(leg), header.tobytes() + ctypes.string_at(int(address), int(length)))
        for leg, header, address, length in parts
    ]


def sent(load: Load, slices: int, legs: int = 4) -> tuple[Traffic, list[Packet]]:
    traffic = Traffic(load, legs)
    for leg in range(legs):
        traffic.add(leg)
    found: list[Packet] = []
    for number in range(slices):
        if batch := traffic.slice(number, playing=True):
            found += packets(batch, number)
    return traffic, found


@pytest.mark.parametrize("ptime", [10, 20, 40, 60])
@pytest.mark.parametrize("codec", ["PCMA", "PCMU", "G722", "opus"])
def test_every_leg_sends_one_packet_a_ptime(codec: str, ptime: int) -> None:
    load = Load(codec=codec, ptime_ms=ptime)
    _, found = sent(load, 6 * SECOND // 5)
    for leg in range(4):
        mine = [packet for packet in found if packet.leg == leg]
        assert len(mine) == 1200 // ptime
        assert {b.slice - a.slice for a, b in pairwise(mine)} == {ptime // SLICE_MS}
        sequence = np.array([packet.header["sequence"] for packet in mine], np.int64)
        timestamp = np.array([packet.header["timestamp"] for packet in mine], np.int64)
        assert set(np.diff(sequence)) == {1}
        assert set(np.diff(timestamp)) == {load.format.clock_rate * ptime // 1000}
        assert {int(packet.header["type"]) for packet in mine} == {load.format.payload_type}
        if codec != "opus":
            assert {len(packet.octets) for packet in mine} == {HEADER_BYTES + 8 * ptime}
    assert len({int(packet.header["ssrc"]) for packet in found}) == 4


def test_loss_is_a_gap_and_is_counted() -> None:
    traffic, found = sent(Load(loss=0.1), 10 * SECOND)
    assert traffic.counts.made.tolist() == [500] * 4
    assert len(found) == (traffic.counts.made - traffic.counts.lost).sum()
    assert 100 < traffic.counts.lost.sum() < 300


def test_jitter_delays_and_loses_nothing() -> None:
    traffic, found = sent(Load(jitter_ms=60), 2 * SECOND)
    sequences = [int(packet.header["sequence"]) for packet in found if packet.leg == 0]
    assert sequences != sorted(sequences)
    assert len(found) == len({(p.leg, int(p.header["sequence"])) for p in found})
    late = [traffic.slice(2 * SECOND + number, playing=False) for number in range(SECOND)]
    assert len(found) + sum(len(batch) for batch in late if batch) == traffic.counts.made.sum()


def test_a_muted_stream_stops_without_a_loss() -> None:
    _, found = sent(Load(muted=1.0), 8 * SECOND)
    for leg, count in ((0, 400), (1, 200)):
        mine = [packet for packet in found if packet.leg == leg]
        assert len(mine) == count
        assert set(np.diff([int(packet.header["sequence"]) for packet in mine])) == {1}
        steps = np.diff([int(packet.header["timestamp"]) for packet in mine])
        assert (160 * 101 in steps) == (leg == 1)


def test_keys_are_events_that_keep_their_timestamp() -> None:
    _, found = sent(Load(keys="events"), 10 * SECOND)
    pressed = [packet for packet in found if packet.leg == 0 and packet.header["type"] == 101]
    assert len({int(packet.header["timestamp"]) for packet in pressed}) == 1
    durations = [int.from_bytes(packet.octets[-2:]) for packet in pressed]
    assert durations == [160, 320, 480, 640, 800, 800, 800]
    assert [packet.octets[-3] >> 7 for packet in pressed] == [0, 0, 0, 0, 1, 1, 1]


def test_keys_are_tones_in_the_audio() -> None:
    assert (clip(Load(keys="inband")).octets != clip(Load()).octets).any()


def test_srtp_opens_with_the_key_of_the_role() -> None:
    _, found = sent(Load(suite=SUITE), SECOND)
    plain = Load()
    for leg in range(4):
        policy = Policy(secret(leg % 2), Policy.SSRC_ANY_INBOUND, srtp_profile=SUITES[SUITE])
        opened = Session(policy)
        mine = [opened.unprotect(packet.octets) for packet in found if packet.leg == leg]
        assert len(mine) == 50
        assert {len(packet) for packet in mine} == {HEADER_BYTES + plain.ticks}


def test_legs_come_and_go() -> None:
    traffic = Traffic(Load(), 4)
    assert traffic.slice(0, playing=True) is None
    traffic.add(2)
    counts = [len(batch) for number in range(4, 44) if (batch := traffic.slice(number, playing=True))]
    assert counts == [1] * 10
    traffic.remove([2])
    assert all(traffic.slice(number, playing=True) is None for number in range(44, 84))


def test_who_rests_goes_on_where_it_stopped_at_a_later_time() -> None:
    traffic = Traffic(Load(), 1)
    traffic.add(0)
    found: list[Packet] = []
    for number in range(3 * SECOND):
        if batch := traffic.slice(number, playing=not SECOND <= number < 2 * SECOND):
            found += packets(batch, number)
    assert set(np.diff([int(packet.header["sequence"]) for packet in found])) == {1}
    assert set(np.diff([int(packet.header["timestamp"]) for packet in found])) == {160, 51 * 160}


@pytest.mark.parametrize(
    "wanted", [{"codec": "G729"}, {"codec": "GSM", "ptime_ms": 10}, {"suite": SUITE, "keys": "events"}]
)
def test_a_load_that_cannot_be_made_is_refused(wanted: dict[str, object]) -> None:
    with pytest.raises(LoadError):
        Load.of_json(wanted)
