"""Where the frames lie in blocks of the kernel's ring (packet(7), TPACKET_V3, <linux/if_packet.h>), of many blocks at once.

Each frame's header tells how far it is to the next. That chain is not followed: headers are recognised all at once, by the
second that they were stamped in and by lengths that agree, and then it is proved that they are the chain, each leading to
the next one that was recognised, as many as their block has. Where payload passes for a header the proof fails, and that
block's chain is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.rtp.packets import Bools, Ints, Octets

Words = npt.NDArray[np.uint32]

ALIGNED = 8  # octets: V3_ALIGNMENT, of headers and so of blocks
ALIGNED_MASK = 0xFFFF_FFFF & -ALIGNED
WORD = 4
# struct tpacket3_hdr, in words of four octets: distance to the next (0 of a block's last), seconds, nanoseconds, captured,
# length, status, place of the frame.
HEADER_WORDS = 7
NEXT, SECONDS, NANOSECONDS, CAPTURED, LENGTH, PLACE = 0, 1, 2, 3, 4, 6
PLACE_MASK = 0xFFFF  # tp_mac; the other half is where the frame's network header is


class Block(NamedTuple):
    """A block in an arena, aligned; places are in octets of the arena."""

    start: int
    first: int  # where its first frame's header is
    end: int  # behind its last frame
    frames: int
    began: int  # the second in which the kernel began to fill it
    ended: int  # that of its last frame


def frame_headers(arena: Octets, blocks: Sequence[Block]) -> Ints:
    """Where the header of every frame is, in words of the arena, in their order.

    The blocks lie one behind the other from the arena's beginning, and behind the last one there is room for a header.
    """
    blocks = [block for block in blocks if block.frames]
    if not blocks:
        return np.zeros(0, np.int64)
    words = arena.view(np.uint32)
    found, distances = _recognised(words, blocks)
    if _is_chain(found, distances, blocks):
        return found
    memory = words.data
    pieces = []
    for block in blocks:
        own = slice(*np.searchsorted(found, (block.start // WORD, block.end // WORD)))
        proved = _is_chain(found[own], distances[own], (block,))
        pieces.append(found[own] if proved else _followed(memory, block))
    return np.concatenate(pieces)


def _recognised(words: Words, blocks: Sequence[Block]) -> tuple[Ints, Ints]:
    """What may be headers, and the distances they tell; payload that is stamped like them, and as long as it says, is among them."""
    # A frame may have been stamped right before its block was begun.
    low = max(0, min(min(block.began, block.ended) for block in blocks) - 1)
    high = max(max(block.began, block.ended) for block in blocks) + 1
    # Of eight octets the seconds are the upper half, the distance is the lower. Where numbers are written the other way
    # round nothing is recognised, and every chain followed.
    cells = words[: blocks[-1].end // WORD].view(np.uint64)
    found: Ints = 2 * np.flatnonzero(cells - np.uint64(low << 32) < np.uint64(high - low << 32))
    # Padding still has what stood there when the ring went round last: pieces of headers, too.
    distances = words[found + NEXT].astype(np.int64)
    extents = (words[found + PLACE] & PLACE_MASK) + words[found + CAPTURED] + (ALIGNED - 1) & ALIGNED_MASK
    agree: Bools = distances == extents
    last = np.flatnonzero(distances == 0)
    ends = np.array([block.end for block in blocks])
    behind = WORD * found[last]
    agree[last] = behind + extents[last] == ends[np.searchsorted(ends, behind, side="right")]
    return found[agree], distances[agree]


def _is_chain(found: Ints, distances: Ints, blocks: Sequence[Block]) -> bool:
    """Whether these are the headers of all frames of the blocks: each is where the one before it leads to, the first of a
    block where that says, and there are as many as there are frames."""
    behind = np.cumsum([block.frames for block in blocks])
    if len(found) != behind[-1]:
        return False
    leads = WORD * found + distances
    firsts = np.array([block.first for block in blocks])
    leads[behind[:-1] - 1] = firsts[1:]
    return bool(WORD * found[0] == firsts[0]) and np.array_equal(leads[:-1], WORD * found[1:])


def _followed(words: memoryview, block: Block) -> Ints:
    """The chain of one block, header by header."""
    at, places = block.first // WORD, []
    for _ in range(block.frames):
        places.append(at)
        at += words[at] // WORD
    return np.array(places, np.int64)
