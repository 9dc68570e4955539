"""Telephone-events beside a leg's audio, under an SSRC of their own, as gateways send keys that they learned elsewhere."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from gateway.rtp.packets import Bools, Ints, Octets, RtpColumns
from gateway.rtp.strays import NEAR, signed16, signed32
from gateway.rtp.tones import RECENT, Events, Tone

NEAR_SECONDS = 0.2  # a key that comes so close to where its timestamp says begins there, else when it comes


@dataclass(slots=True)
class _Anchor:
    """Where the timestamps of one SSRC lie in the time of the leg's audio."""

    ssrc: int
    timestamp: int
    media: int
    known: OrderedDict[int, int] = field(
        default_factory=OrderedDict
    )  # where the latest keys begin, by timestamp

    def begins(self, timestamp: int, came: int, rate: int) -> int:
        """Where a key begins; `came` is where its packet did."""
        if timestamp not in self.known:
            media = self.media + int(signed32(np.array([timestamp - self.timestamp]))[0])
            if abs(media - came) > NEAR_SECONDS * rate:
                media = came
            self.timestamp, self.media = timestamp, media
            self.known[timestamp] = media
            if len(self.known) > RECENT:
                self.known.popitem(last=False)
        return self.known[timestamp]


class Aside:
    """The keys of all legs of a worker that do not come in the stream of their leg."""

    def __init__(self) -> None:
        self._events = Events()
        self._anchors: dict[int, _Anchor] = {}  # by leg

    def close(self, leg: int) -> None:
        self._events.close(leg)
        self._anchors.pop(leg, None)

    def tones(self, packets: RtpColumns, slots: Octets, slot: int, came: Ints, rate: int) -> list[Tone]:
        """The tones that packets of one leg tell of; `came` is when each did, in the audio's RTP time, whose latest slot
        is `slot`, at `rate` Hz."""
        media = np.zeros(len(packets), np.int64)
        for index, (leg, ssrc, timestamp, at) in enumerate(
            zip(
                packets.legs.tolist(),
                packets.ssrc.tolist(),
                packets.timestamp.tolist(),
                came.tolist(),
                strict=True,
            )
        ):
            anchor = self._anchors.get(leg)
            if anchor is None or anchor.ssrc != ssrc:
                anchor = self._anchors[leg] = _Anchor(ssrc, timestamp, at)
            media[index] = anchor.begins(timestamp, at, rate)
        return self._events.tones(packets, slots, np.full(len(packets), slot), media, np.arange(len(packets)))


def aside(packets: RtpColumns, events: Bools, ssrc: int) -> Bools:
    """Which packets are events of a stream that shows itself twice and is not that of the audio, `ssrc`."""
    chosen = np.zeros(len(packets), np.bool_)
    others = np.flatnonzero(events & (packets.ssrc != ssrc))
    for each in np.unique(packets.ssrc[others]).tolist():
        mine = others[packets.ssrc[others] == each]
        steps = signed16(packets.sequence[mine] - packets.sequence[mine[-1]])
        near = np.abs(steps) <= NEAR
        chosen[mine[near]] = bool((steps[near] != 0).any())
    return chosen
