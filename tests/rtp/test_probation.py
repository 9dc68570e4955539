"""Streams that are not a leg's: when one of them is the leg's next, and how many of their packets are kept."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.codecs.registry import by_name
from gateway.rtp.formats import Formats
from gateway.rtp.packets import PacketBatch, parse
from gateway.rtp.probation import GRACE_NS, MAX_STRAYS, Probation
from gateway.rtp.strays import Strays
from tests.recording.simulation import MS, rtp

LEG = 1
ONE, OTHER = 0xA, 0xB


def strays(*sent: tuple[int, int, int]) -> Strays:
    """SSRC, sequence number and arrival (ms) of each packet."""
    packets = [rtp(sequence, 160 * sequence, bytes(160), ssrc) for ssrc, sequence, _ in sent]
    slots = np.stack([np.frombuffer(packet, np.uint8) for packet in packets])
    legs, arrivals = np.full(len(sent), LEG), np.array([at * MS for _, _, at in sent])
    columns, _ = parse(PacketBatch(slots, np.full(len(sent), slots.shape[1]), legs, arrivals))
    return Strays(columns, slots)


@pytest.fixture
def probation() -> Probation:
    formats = Formats(2)
    formats.add(LEG, {8: by_name("PCMA", 8000)}, frozenset({101}), frozenset())
    return Probation(formats)


def test_a_stream_shows_itself_twice_in_whatever_batches(probation: Probation) -> None:
    probation.add(LEG, strays((ONE, 1, 0)))
    assert probation.next_stream(LEG, None) is None
    probation.add(LEG, strays((OTHER, 900, 20), (ONE, 2, 20)))
    found = probation.next_stream(LEG, None)
    assert found is not None
    assert found.packets.sequence.tolist() == [1, 2]
    assert probation.next_stream(LEG, None) is None
    assert probation.close(LEG) == 1


def test_it_waits_until_the_one_before_has_fallen_silent(probation: Probation) -> None:
    grace = GRACE_NS // MS
    probation.add(LEG, strays((ONE, 1, 0), (ONE, 2, grace)))
    assert probation.next_stream(LEG, 0) is None
    probation.add(LEG, strays((ONE, 3, grace + 1)))
    found = probation.next_stream(LEG, 0)
    assert found is not None
    assert len(found.packets) == 3


def test_of_more_packets_than_are_kept_the_oldest_go(probation: Probation) -> None:
    many = [(1000 + ssrc, 5, ssrc) for ssrc in range(MAX_STRAYS + 3)]
    probation.add(LEG, strays(*many))
    assert probation.bound(LEG) == 3
    assert probation.bound(LEG) == 0
    probation.add(LEG, strays((1000, 6, 900), (1003, 6, 900)))
    found = probation.next_stream(LEG, None)
    assert found is not None
    assert set(found.packets.ssrc.tolist()) == {1003}  # of the other its first was dropped
    assert probation.close(LEG) == MAX_STRAYS
