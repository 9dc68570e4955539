"""From RTP time to the call clock: a leg's anchor and how it follows the sender's clock.

The delay of a packet is its arrival less its RTP time. Its minimum over some ten seconds is taken as
the sender's clock: queues only ever add to it. A leg is committed after the hold-back, so the minimum
looks ahead as well as back, and the first packets are placed by what came after them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from gateway.rtp.packets import Bools, Ints

# How far the anchor may stray before it moves: two legs that stray apart stay within 20 ms.
DEADBAND_NS = 8_000_000
# A delay that grows by more than this, and stays, is a jump of the sender's timestamps.
JUMP_NS = 100_000_000
# It stays when no packet was quicker for as long a time from then on; one of FALL_NS is believed at once.
PROOF_NS = 1_000_000_000
# So is one that falls by more than this at once: less may be a packet that was long under way.
FALL_NS = 500_000_000
# Fastest that the anchor moves: clocks differ by up to 200 ppm, and what moves faster is a queue.
SLOPE_PPM = 250
# A leg that is further off than this is not where it belongs: it moves as fast as rendering plays over steps.
ASTRAY_NS = 20_000_000
ASTRAY_PPM = 1000
HISTORY_NS = 5_000_000_000  # how long the minimum of a commit is remembered


def quiet(anchor: Ints, least: Ints, last: Ints, near: Ints) -> Bools:
    """Of legs, in columns (ns): would the anchor stay where it is, with no delay below `least`, `near` being one of them?

    `last` is that of the last packet that waits, or more: what was slower before it has not jumped.
    """
    still: Bools = (
        (least >= anchor - DEADBAND_NS) & (last <= anchor + JUMP_NS) & (near <= anchor + DEADBAND_NS)
    )
    return still


class LegClock:
    """Gives each packet of one leg the delay by which its RTP time becomes arrival time."""

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns  # of the call: nothing is placed before it
        self._anchor: int | None = None  # ns
        self._moved_at = 0  # ns, arrival at which the anchor last moved
        self._floor = 0  # ns, least anchor at `_floor_at`: what began before the call keeps its order
        self._floor_at = 0
        self._minima: deque[tuple[int, int]] = deque()  # (arrival, least delay) of recent commits
        self._end: int | None = None  # ns, where what was placed last ends, on the clock of arrivals

    def restart(self) -> None:
        """Forget the sender: another stream begins."""
        self._anchor = None
        self._minima.clear()

    def follow(self, delays: Ints, arrivals: Ints, lengths: Ints) -> Ints:
        """Delays (ns) to place the first packets by, as many as there are `lengths` (ns).

        `delays` and `arrivals` (ns) are of all packets waiting on the leg, in order of sequence; those
        without a length are only looked at.
        """
        count = len(lengths)
        placed = np.empty(count, np.int64)
        start = 0
        while start < count:
            stop = self._unbroken(delays, start)
            ends = (arrivals - delays)[start : min(stop, count)] + lengths[start:stop]
            self._follow_run(delays[start:stop], arrivals[start:stop], placed[start : min(stop, count)], ends)
            start = stop
            if start < count:
                self.restart()
        return placed

    def settled(self, delays: Ints) -> tuple[int, int, int] | None:
        """The anchor, and the least and the last of the delays that decide whether it moves (ns), where they alone do.

        `delays` are of all packets waiting on the leg, in order of sequence. While these, with what comes, are `quiet`,
        `follow` would leave the anchor where it is.
        """
        if self._anchor is None or self._floor > self._anchor + DEADBAND_NS:
            return None
        least = min((delay for _, delay in self._minima), default=self._anchor)
        if len(delays):
            return self._anchor, min(least, int(delays.min())), int(delays[-1])
        return self._anchor, least, least

    def go_on(self, first: int, last: int, least: int, end: int) -> None:
        """Packets were placed by the anchor: arrivals of the first and last, their least delay, the last one's end (ns)."""
        assert self._anchor is not None
        while self._minima and self._minima[0][0] < first - HISTORY_NS:
            self._minima.popleft()
        self._minima.append((last, least))
        self._end = end + self._anchor

    def _unbroken(self, delays: Ints, start: int) -> int:
        """Index of the first packet from `start` on that is earlier than any queue can explain."""
        least = np.minimum.accumulate(delays[start:])
        before = least[:-1] if self._anchor is None else np.minimum(least[:-1], self._anchor)
        breaks = np.flatnonzero(delays[start + 1 :] < before - FALL_NS)
        if self._anchor is not None and delays[start] < self._anchor - FALL_NS:
            self.restart()
        return start + 1 + int(breaks[0]) if len(breaks) else len(delays)

    def _follow_run(self, delays: Ints, arrivals: Ints, placed: Ints, ends: Ints) -> None:
        """Place one run by its anchor; the anchor moves where the delay has jumped for good, or strayed.

        `ends` are the RTP times at which the packets to place end.
        """
        if self._anchor is None:
            self._floor = self._started_ns - int(arrivals[0] - delays[0])
            self._anchor = max(self._joined(int(delays.min()), int(arrivals[0] - delays[0])), self._floor)
            self._moved_at = self._floor_at = int(arrivals[0])
        ahead = np.minimum.accumulate(delays[::-1])[::-1]  # the least delay from each packet on
        proven = (arrivals <= arrivals.max() - PROOF_NS) | (ahead > self._anchor + FALL_NS)
        jumped = np.flatnonzero((ahead > self._anchor + JUMP_NS)[: len(placed)] & proven[: len(placed)])
        if len(jumped):
            at = int(jumped[0])
            placed[:at] = self._anchor
            if at:
                self._end = int(ends[at - 1]) + self._anchor
            self.restart()
            self._anchor = self._joined(int(ahead[at]), int(arrivals[at] - delays[at]))
            self._moved_at = int(arrivals[at])
            placed[at:] = self._anchor
            self._end = int(ends[-1]) + self._anchor
            return
        self._drift(int(ahead[0]), int(arrivals[0]))
        placed[:] = self._anchor
        self._end = int(ends[-1]) + self._anchor
        self._minima.append((int(arrivals[len(placed) - 1]), int(delays[: len(placed)].min())))

    def _joined(self, anchor: int, begins: int) -> int:
        """The anchor by which a sender that starts anew goes on where the leg ended, where that is as good."""
        if self._end is None or abs(begins + anchor - self._end) > DEADBAND_NS:
            return anchor
        return self._end - begins

    def _drift(self, least: int, arrival: int) -> None:
        assert self._anchor is not None
        while self._minima and self._minima[0][0] < arrival - HISTORY_NS:
            self._minima.popleft()
        floor = self._floor - (arrival - self._floor_at) * SLOPE_PPM // 1_000_000
        estimate = max(floor, min([least, *(delay for _, delay in self._minima)]))
        stray = estimate - self._anchor
        most = (arrival - self._moved_at) * (ASTRAY_PPM if abs(stray) > ASTRAY_NS else SLOPE_PPM) // 1_000_000
        stray = max(-most, min(stray, most))
        if abs(stray) > DEADBAND_NS:
            self._anchor += stray
            self._moved_at = arrival
