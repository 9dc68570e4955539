"""The frames of a ring's blocks are found as by following each chain, whatever payload pretends to be."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rtp.packets import Ints
from gateway.tap import blocks as blocks_module
from gateway.tap.blocks import Block, frame_headers

BLOCK_HEAD, MAC = 48, 82
WRITTEN = 68  # octets of a frame's header and its struct sockaddr_ll
SECOND = 1_795_658_000
HEADER = struct.Struct("=6I2H")  # struct tpacket3_hdr up to tp_net


@dataclass(frozen=True)
class Frame:
    """As the kernel is given it."""

    payload: bytes
    second: int = SECOND
    stale: bytes = b""  # what the block held where the frame now lies
    mac: int = MAC


@dataclass
class Arena:
    """Blocks as the kernel writes them, copied one behind the other."""

    octets: bytearray = field(default_factory=bytearray)
    blocks: list[Block] = field(default_factory=list)

    def add(self, frames: Sequence[Frame]) -> None:
        start = len(self.octets)
        self.octets += bytes(BLOCK_HEAD)
        first = last = len(self.octets)
        for frame in frames:
            last = len(self.octets)
            size = frame.mac + len(frame.payload)
            size += -size % 8
            self.octets += bytes(WRITTEN) + frame.stale[WRITTEN:size].ljust(size - WRITTEN, b"\0")
            captured = len(frame.payload)
            HEADER.pack_into(
                self.octets, last, size, frame.second, 1, captured, captured, 1, frame.mac, frame.mac + 14
            )
            self.octets[last + frame.mac : last + frame.mac + captured] = frame.payload
        if frames:
            self.octets[last : last + 4] = bytes(4)
        seconds = [frame.second for frame in frames] or [SECOND]
        self.blocks.append(Block(start, first, len(self.octets), len(frames), seconds[0], seconds[-1]))

    def found(self) -> list[int]:
        """Places of headers in octets of the arena."""
        octets = np.frombuffer(bytes(self.octets) + bytes(64), np.uint8)
        return [4 * place for place in frame_headers(octets, self.blocks).tolist()]

    def chained(self) -> list[int]:
        """The same by the plain way."""
        places = []
        for block in self.blocks:
            at = block.first
            for _ in range(block.frames):
                places.append(at)
                at += int.from_bytes(self.octets[at : at + 4], "little")
        return places


def mimicry(distance: int, captured: int, second: int = SECOND, mac: int = MAC) -> bytes:
    """Payload that is a header."""
    return HEADER.pack(distance, second, 1, captured, captured, 1, mac, mac + 14)


@pytest.fixture
def following(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the blocks begin whose chain was followed."""
    found: list[int] = []
    whole = blocks_module._followed

    def follow(words: memoryview, block: Block) -> Ints:
        found.append(block.start)
        return whole(words, block)

    monkeypatch.setattr(blocks_module, "_followed", follow)
    return found


def test_frames_of_ordinary_calls_are_found_without_following_them(following: list[int]) -> None:
    arena, random = Arena(), np.random.default_rng(1)
    for block in range(20):
        sizes = random.integers(60, 400, 300)
        arena.add([Frame(random.bytes(size), SECOND + block // 7) for size in sizes.tolist()])
    assert arena.found() == arena.chained()
    assert following == []


def test_headers_left_in_padding_deceive_nobody(following: list[int]) -> None:
    """A ring that goes round within a second has old headers of this second between its frames."""
    left = bytes(128) + mimicry(296, 214) + bytes(4) + mimicry(0, 214)
    arena = Arena()
    arena.add([Frame(bytes(214), stale=left[cut:]) for cut in range(0, 128, 8)])
    assert arena.found() == arena.chained()
    assert following == []


def test_a_block_whose_payload_is_headers_is_followed_and_no_other(following: list[int]) -> None:
    inside = bytes(6) + mimicry(128, 42)  # aligned, since the frame begins at 82
    arena = Arena()
    arena.add([Frame(bytes(200))] * 5)
    arena.add([Frame(bytes(200)), Frame(inside + bytes(200)), Frame(bytes(90))])
    arena.add([Frame(bytes(77))] * 4)
    assert arena.found() == arena.chained()
    assert following == [arena.blocks[1].start]


def test_a_false_chain_of_as_many_headers_is_not_believed(following: list[int]) -> None:
    """One header that is missed and one that is false are together as many as there should be."""
    inside = bytes(6) + mimicry(128, 42)
    arena = Arena()
    arena.add([Frame(bytes(200), SECOND - 9), Frame(inside + bytes(200)), Frame(bytes(90))])
    arena.blocks[0] = arena.blocks[0]._replace(began=SECOND)
    assert arena.found() == arena.chained()
    assert following == [0]


@pytest.mark.parametrize("steps", [(0, 3600), (3600, 0), (0, -3600, 0)])
def test_a_clock_that_is_set_loses_no_frame(steps: Sequence[int]) -> None:
    arena = Arena()
    arena.add([Frame(bytes(50), SECOND + step) for step in steps])
    arena.add([Frame(bytes(60))] * 3)
    assert arena.found() == arena.chained()


def test_no_blocks_have_no_frames() -> None:
    assert Arena().found() == []


def test_blocks_without_frames_are_passed() -> None:
    arena = Arena()
    arena.add([])
    assert arena.found() == []
    for frames in ([Frame(bytes(9))], [], [Frame(bytes(9))] * 2, []):
        arena.add(frames)
    assert arena.found() == arena.chained()


seconds = st.sampled_from((0, SECOND - 1, SECOND, SECOND + 1, SECOND + 60))
false_headers = st.builds(
    mimicry,
    distance=st.sampled_from((0, 8, 96, 128, 136, 296)),
    captured=st.sampled_from((0, 14, 42, 50, 214)),
    second=seconds,
)
# Octets that hold headers at every alignment, near the frame's own and at its end.
payloads = st.lists(st.one_of(false_headers, st.binary(max_size=9)), max_size=8).map(b"".join)
frames = st.builds(Frame, payload=payloads, second=seconds, stale=payloads, mac=st.sampled_from((82, 96, 86)))


@given(st.lists(st.lists(frames, max_size=7), max_size=5))
def test_it_is_the_chain_whatever_frames_hold(held: list[list[Frame]]) -> None:
    arena = Arena()
    for each in held:
        arena.add(each)
    assert arena.found() == arena.chained()
