"""Packets that are to be kept, whole or in part: what a redaction leaves of them, and their octets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNITS_PER_SECOND
from gateway.redaction.timeline import Timeline
from gateway.rtp.packets import Bools, Ints, Octets, by_value

BLOCK_UNITS = UNITS_PER_SECOND // 10  # a block holds up to 100 ms, or one packet that is longer
ALONE = -1
NO_HEADS = np.zeros((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Runs of octets of packets in the hold-back, one element a run in every column; at first each a whole packet."""

    cells: Ints
    offsets: Ints  # in the payload, octets
    sizes: Ints  # octets
    times: Ints  # call units
    lengths: Ints  # units
    joints: Ints  # by how many units the next piece may be off to stand in the same block; ALONE: none may
    kinds: Octets

    def __len__(self) -> int:
        return len(self.cells)

    def take(self, which: Bools | Ints) -> Pieces:
        """Those that a mask or an index picks, in its order."""
        return Pieces(*(getattr(self, name)[which] for name in self.__slots__))

    def outside(self, gone: Timeline, codec: Callable[[int], Codec]) -> Pieces:
        """What is left of whole packets when nothing of some call times is kept, each piece in its place.

        A packet is cut between frames, and nothing of a frame is kept that has a part in what is gone; where the
        codec has no frames in a payload, nothing of such a packet. `codec` gives that of a kind.
        """
        which, begins, ends = gone.outside(self.times, self.times + self.lengths)
        found = self.take(which)
        closing = ends == found.times + found.lengths
        whole = closing & (begins == found.times)
        frame, ticks, rate = self._frames(codec)
        frame, span, rate = frame[which], np.maximum(ticks[which], 1) * UNITS_PER_SECOND, rate[which]
        first = -((found.times - begins) * rate // span)
        last = (ends - found.times) * rate // span
        offsets = np.where(whole, 0, np.minimum(first * frame, found.sizes))
        stops = np.where(closing, found.sizes, np.minimum(last * frame, found.sizes))
        times = found.times + first * span // rate
        left = Pieces(
            cells=found.cells,
            offsets=offsets,
            sizes=stops - offsets,
            times=times,
            lengths=np.where(closing, ends, found.times - (-last * span // rate)) - times,
            joints=np.where(closing, found.joints, ALONE),
            kinds=found.kinds,
        )
        return left.take((left.sizes > 0) & (left.lengths > 0) & (whole | (frame > 0)))

    def _frames(self, codec: Callable[[int], Codec]) -> tuple[Ints, Ints, Ints]:
        """Each packet's frames: octets of one, 0 where it has none, its ticks, and the ticks of a second."""
        frame, ticks, rate = (np.zeros(len(self), np.int64) for _ in range(3))
        for kind, mine in by_value(self.kinds):
            rate[mine] = codec(kind).clock_rate
            for octets, lasts in codec(kind).frames:
                fits = (self.sizes[mine] % octets == 0) | (frame[mine] == 0)
                frame[mine] = np.where(fits, octets, frame[mine])
                ticks[mine] = np.where(fits, lasts, ticks[mine])
        return frame, ticks, rate


def pacing(codec: Codec, sizes: Ints, payloads: Octets, cells: Ints) -> tuple[Ints, Ints]:
    """How long packets of a codec last, in units, 0 for what the codec cannot read, and how they join to what follows.

    A joint is by how many units the next packet may be off to stand in the same block: 0, or 1 where the codec's
    clock has no whole units; ALONE where none may. `payloads` is a row a cell.
    """
    heads = payloads[cells, : codec.heads] if codec.heads else NO_HEADS
    lengths = codec.durations(sizes, heads)
    if codec.clock_rate != UNITS_PER_SECOND:
        lengths = -(-lengths * UNITS_PER_SECOND // codec.clock_rate)
    joints = np.full(len(sizes), ALONE)
    if len(codec.frames) == 1:
        joint = int(codec.clock_rate != UNITS_PER_SECOND)
        joints = np.where(sizes % codec.frames[0][0] > 0, ALONE, joint)
    return lengths, joints


def block_starts(firsts: Ints, broken: Bools, times: Ints, lengths: Ints, joints: Ints) -> Ints:
    """Where blocks begin in the packets of some legs, of which each begins at one of `firsts`.

    That is where `broken` says so, at each break of time, and as often as 100 ms ask for between.
    """
    count = len(times)
    broken[1:] |= np.abs(times[1:] - times[:-1] - lengths[:-1]) > joints[:-1]
    broken[firsts] = True
    runs = np.flatnonzero(broken)
    into = np.arange(count) - np.repeat(runs, np.diff(np.append(runs, count)))
    together = np.maximum(1, BLOCK_UNITS // np.maximum.reduceat(lengths, firsts))
    broken |= into % np.repeat(together, np.diff(np.append(firsts, count))) == 0
    return np.flatnonzero(broken)
