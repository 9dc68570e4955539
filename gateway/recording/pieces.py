"""Packets that are to be kept, whole or in part: what a redaction leaves of them, and their octets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import Codec
from gateway.recording.model import UNITS_PER_SECOND
from gateway.redaction.holdback import Rings
from gateway.redaction.timeline import Timeline
from gateway.rtp.packets import Bools, Ints, Octets


@dataclass(frozen=True, slots=True)
class Pieces:
    """Runs of octets of packets in the hold-back, one element a run in every column; at first each a whole packet."""

    cells: Ints
    offsets: Ints  # in the payload, octets
    sizes: Ints  # octets
    times: Ints  # call units
    lengths: Ints  # units
    joints: Ints  # by how many units the next piece may be off to stand in the same block; negative: none may
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
            joints=np.where(closing, found.joints, -1),
            kinds=found.kinds,
        )
        return left.take((left.sizes > 0) & (left.lengths > 0) & (whole | (frame > 0)))

    def octets(self, rings: Rings) -> bytes:
        """The payloads, one after the other."""
        size = int(self.sizes[0])
        if (self.sizes == size).all() and not self.offsets.any():
            return rings.payload[self.cells, :size].tobytes()
        wide, at = rings.payload[self.cells], np.arange(rings.shape.width)
        return wide[(at >= self.offsets[:, None]) & (at < (self.offsets + self.sizes)[:, None])].tobytes()

    def _frames(self, codec: Callable[[int], Codec]) -> tuple[Ints, Ints, Ints]:
        """Each packet's frames: octets of one, 0 where it has none, its ticks, and the ticks of a second."""
        frame, ticks, rate = (np.zeros(len(self), np.int64) for _ in range(3))
        for kind, mine in by_kind(self.kinds):
            rate[mine] = codec(kind).clock_rate
            for octets, lasts in codec(kind).frames:
                fits = (self.sizes[mine] % octets == 0) | (frame[mine] == 0)
                frame[mine] = np.where(fits, octets, frame[mine])
                ticks[mine] = np.where(fits, lasts, ticks[mine])
        return frame, ticks, rate


def by_kind(kinds: Octets) -> Iterator[tuple[int, slice | Bools]]:
    """Each kind among some packets, and which they are; nearly always there is one."""
    if not len(kinds):
        return
    if (kinds == kinds[0]).all():
        yield int(kinds[0]), slice(None)
    else:
        yield from ((kind, kinds == kind) for kind in np.unique(kinds).tolist())
