"""From the kernel's blocks to the packets of legs no Python runs packet by packet."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

from gateway.recording.messages import MediaFlow
from gateway.tap.blocks import CAPTURED, HEADER_WORDS, LENGTH, PLACE, PLACE_MASK, WORD, frame_headers
from gateway.tap.flows import Flows
from gateway.tap.fragments import Decapsulator
from gateway.tap.frames import FrameBatch
from gateway.tap.signalling import Signalling
from tests.tap.building import ETHERNET, ethernet, ipv4, udp
from tests.tap.test_blocks import Arena, Frame

LEGS, BLOCKS = 6, 3
TAGS = ((), (0x8100,))


def rtp(leg: int, sequence: int) -> bytes:
    return b"\x80\x08" + sequence.to_bytes(2) + bytes(4) + leg.to_bytes(4) + bytes(160)


def blocks(packets: int, first: int) -> Arena:
    """So many packets a leg and block; every other leg is in a VLAN."""
    arena = Arena()
    for block in range(BLOCKS):
        frames = []
        for number in range(packets * LEGS):
            sequence, leg = divmod(number, LEGS)
            payload = rtp(leg, first + block * packets + sequence)
            packet = ipv4(udp(payload, 4000 + leg, 5000 + leg))
            frames.append(Frame(ethernet(packet, tags=TAGS[leg % 2])))
        arena.add(frames)
    return arena


class Pipeline:
    """What a media worker does with what its ring gave, up to the engine."""

    def __init__(self, known: bool) -> None:
        self._decapsulator, self._signalling, self._flows = Decapsulator(), Signalling(), Flows()
        self._now = 0
        for leg in range(LEGS if known else 0):
            self._flows.set(leg, MediaFlow(0, "192.0.2.2", 5000 + leg, "192.0.2.1", 4000 + leg))

    def take(self, arena: Arena) -> int:
        """How many packets were those of legs."""
        octets = np.frombuffer(bytes(arena.octets) + bytes(2048), np.uint8)
        starts = frame_headers(octets, arena.blocks)
        headers = octets.view(np.uint32)[starts[:, None] + np.arange(HEADER_WORDS)].astype(np.int64)
        self._now += 100_000_000
        frames = FrameBatch(
            octets,
            WORD * starts + (headers[:, PLACE] & PLACE_MASK),
            headers[:, CAPTURED],
            headers[:, LENGTH],
            np.full(len(starts), ETHERNET),
            np.full(len(starts), self._now),
            np.arange(len(starts)),
        )
        arriving = self._decapsulator.feed(frames)
        assert not self._signalling.feed(arriving)
        taken = [self._flows.take(each, self._now) for each in arriving]
        return sum(len(batch) for batch in taken if batch is not None)


def lines(pipeline: Pipeline, arena: Arena) -> tuple[int, int]:
    """How many lines of Python were run, and what was taken."""
    run = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal run
        run += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        taken = pipeline.take(arena)
    finally:
        sys.settrace(before)
    return run, taken


@pytest.mark.parametrize("known", [True, False], ids=["of calls", "of nobody"])
def test_ten_times_the_packets_run_as_many_lines(known: bool) -> None:
    pipeline, first, counts = Pipeline(known), 0, []
    for packets in (4, 4, 40):
        run, taken = lines(pipeline, blocks(packets, first))
        first += BLOCKS * packets
        assert taken == (BLOCKS * packets * LEGS if known else 0)
        counts.append(run)
    assert counts[1] > 100
    assert abs(counts[2] - counts[1]) < 20
