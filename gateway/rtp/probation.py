"""What comes on a leg under another SSRC than its stream: streams on probation (RFC 3550 appendix A.1), and keys.

One of those streams may be the leg's next.
"""

from __future__ import annotations

import numpy as np

from gateway.rtp.aside import Aside, aside
from gateway.rtp.formats import AUDIO, EVENT, Formats
from gateway.rtp.strays import Strays, next_stream
from gateway.rtp.tones import Tone

# Packets of other streams kept for a leg: GRACE_NS and a turn of 10 ms packets, or what a sender or a queue that stood still
# for two seconds lets go of at once.
MAX_STRAYS = 128
GRACE_NS = 200_000_000  # a stream that was heard so lately is not given up for another


class Probation:
    """Of all legs of a worker. Packets of a leg are added, looked at, and what is left of them kept for the next time."""

    def __init__(self, formats: Formats) -> None:
        self._formats = formats
        self._kept: dict[int, Strays] = {}
        self._aside = Aside()
        self._heard_aside: set[int] = set()  # legs on which keys count that come under an SSRC of their own

    def open(self, leg: int, aside: bool) -> None:
        if aside:
            self._heard_aside.add(leg)

    def close(self, leg: int) -> int:
        """Forget a leg; returns how many packets were kept of it."""
        self._aside.close(leg)
        self._heard_aside.discard(leg)
        strays = self._kept.pop(leg, None)
        return len(strays.packets) if strays else 0

    def add(self, leg: int, strays: Strays) -> None:
        kept = self._kept.get(leg)
        self._kept[leg] = kept.followed_by(strays) if kept else strays

    def next_stream(self, leg: int, heard_ns: int | None) -> Strays | None:
        """Take the packets of the stream that is the leg's next, where there is one; `heard_ns` is when the present one,
        if there is one, was heard last."""
        strays = self._kept[leg]
        audio = self._formats.kinds[leg, strays.packets.payload_type] >= AUDIO
        chosen = next_stream(strays.packets, audio, 0 if heard_ns is None else heard_ns + GRACE_NS)
        if not chosen.any():
            return None
        self._kept[leg] = strays.take(~chosen)
        return strays.take(chosen)

    def keys(self, leg: int, ssrc: int, slot: int, media: int, heard_ns: int) -> list[Tone]:
        """Take the keys beside the leg's stream, by when they came; where it stands is told by its SSRC, its latest slot,
        the RTP time of that one, and when it was heard last."""
        if leg not in self._heard_aside:
            return []
        strays = self._kept[leg]
        events = self._formats.kinds[leg, strays.packets.payload_type] == EVENT
        if not (chosen := aside(strays.packets, events, ssrc)).any():
            return []
        self._kept[leg] = strays.take(~chosen)
        found = strays.take(chosen)
        rate = self._formats.codec(leg, AUDIO).clock_rate
        came = media + (found.packets.arrivals - heard_ns) * rate // 1_000_000_000
        return self._aside.tones(found.packets, found.slots, slot, came, rate)

    def bound(self, leg: int) -> int:
        """Drop the oldest packets where too many are kept; returns how many."""
        strays = self._kept[leg]
        if not len(
            strays.packets
        ):  # as nearly always: a dozen empty columns of each leg are kilobytes of each call
            del self._kept[leg]
        excess = max(0, len(strays.packets) - MAX_STRAYS)
        if excess:
            self._kept[leg] = strays.take(np.arange(excess, len(strays.packets)))
        return excess
