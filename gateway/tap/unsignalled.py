"""Audio between two places of which no signalling was seen: what runs both ways for a while is a call, not recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.rtp.packets import HEADER, PacketBatch, first_of_each
from gateway.tap.effects import Place
from gateway.tap.places import MIX, Spot

MAX_STREAMS = 4096  # looked after at once; further ones are passed over until others end
LASTS_NS = 10_000_000_000  # a call that is shorter may be one whose signalling was late
QUIET_NS = 10_000_000_000  # a stream that has been silent so long has ended
LEAST_PACKETS_A_SECOND = 10
NS = 1_000_000_000
LOOK_NS = NS  # between two looks who has ended


@dataclass(frozen=True, slots=True)
class Pair:
    """A call of which only audio was seen; monotonic ns."""

    began_ns: int
    ended_ns: int
    places: tuple[Place, Place]  # between which it went
    both_ways: bool = True


@dataclass(slots=True)
class _Stream:
    """What goes from one place to another under one SSRC."""

    ssrc: int
    began_ns: int
    latest_ns: int
    packets: int
    back: int  # stands for the stream the other way
    to: Place
    source: Place


class Unsignalled:
    """Streams that nobody has asked for."""

    def __init__(self, lasts_ns: int = LASTS_NS, one_way: bool = False) -> None:
        self._lasts_ns = lasts_ns
        self._one_way = one_way  # whether what runs one way alone is told of, too
        self._streams: dict[int, _Stream] = {}
        self._ended: list[Pair] = []
        self._look_ns = 0

    def seen(self, batch: PacketBatch, to: Spot, source: Spot) -> None:
        """Packets that look like RTP."""
        there = source.hashes * MIX[1] + to.hashes
        back = to.hashes * MIX[1] + source.hashes
        order = np.argsort(there, kind="stable")
        firsts = first_of_each(there[order].view(np.int64))
        counts = np.diff(np.append(firsts, len(order)))
        rows, lasts = order[firsts], order[firsts + counts - 1]
        ssrc = batch.slots[rows, : HEADER.itemsize].copy().view(HEADER)[:, 0]["ssrc"]
        for row, key, reverse, each, at_ns, latest_ns, count in zip(
            rows.tolist(),
            there[rows].tolist(),
            back[rows].tolist(),
            ssrc.tolist(),
            batch.arrivals[rows].tolist(),
            batch.arrivals[lasts].tolist(),
            counts.tolist(),
            strict=True,
        ):
            stream = self._streams.get(key)
            if stream is not None and stream.ssrc == each:
                stream.latest_ns = latest_ns
                stream.packets += count
            elif stream is not None or len(self._streams) < MAX_STREAMS:
                self._streams[key] = _Stream(
                    each, at_ns, latest_ns, count, reverse, to.place(row), source.place(row)
                )

    def forget(self, now: int) -> None:
        """Look who has ended, at times; of a pair that was a call `ended` tells once."""
        if now < self._look_ns:
            return
        self._look_ns = now + LOOK_NS
        quiet = [key for key, each in self._streams.items() if now - each.latest_ns > QUIET_NS]
        for key in quiet:
            stream = self._streams.pop(key, None)
            if stream and self._lasted(stream):
                self._end(stream)

    def _end(self, stream: _Stream) -> None:
        other = self._streams.get(stream.back)
        if other and self._lasted(other):
            del self._streams[stream.back]
            began_ns, ended_ns = min(stream.began_ns, other.began_ns), max(stream.latest_ns, other.latest_ns)
            self._ended.append(Pair(began_ns, ended_ns, (stream.to, other.to)))
        elif self._one_way:
            self._ended.append(Pair(stream.began_ns, stream.latest_ns, (stream.to, stream.source), False))

    def ended(self) -> list[Pair]:
        """Calls that have ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def _lasted(self, stream: _Stream) -> bool:
        lasted_ns = stream.latest_ns - stream.began_ns
        return lasted_ns >= self._lasts_ns and stream.packets * NS >= LEAST_PACKETS_A_SECOND * self._lasts_ns
