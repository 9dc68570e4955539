"""What is seen at the taps for some seconds; only measures, gateway.doctor_taps judges. Nothing is kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.config.attach import TapSettings
from gateway.io.ring import Ring, TapFault, link_type, open_ring
from gateway.rtp.packets import HEADER
from gateway.tap.effects import Unheard
from gateway.tap.flows import UDP, looks_like_rtp
from gateway.tap.fragments import Decapsulator
from gateway.tap.frames import Datagrams
from gateway.tap.places import spots
from gateway.tap.signalling import Signalling

POLL_SECONDS = 0.1
MAX_STREAMS = 20_000  # told apart
LEAST_PACKETS = 10  # of audio; fewer may be anything


@dataclass(slots=True)
class Seen:
    """Of one interface of a tap."""

    tap: str
    interface: str
    fault: str = ""  # why it cannot be listened on
    frames: int = 0
    dropped: int = 0
    requests: int = 0  # SIP
    responses: int = 0
    unfollowed: Counter[str] = field(default_factory=Counter)  # by kind
    streams: int = 0  # of audio, as far as that is to be seen
    paired: int = 0  # of these, with one the other way
    cut: int = 0  # frames of which a part is missing
    astray: int = 0  # frames that, by the kernel's clock, came when they cannot have come


def listen(taps: Sequence[TapSettings], seconds: float) -> list[Seen]:
    """Listen to all interfaces of all taps at once."""
    ears = [_Ear(tap, interface) for tap in taps for interface in tap.interfaces]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        for ear in ears:
            ear.hear()
    return [ear.seen() for ear in ears]


class _Ear:
    def __init__(self, tap: TapSettings, interface: str) -> None:
        self._seen = Seen(tap.name, interface)
        self._ring: Ring | None = None
        self._decapsulator = Decapsulator()
        self._signalling = Signalling(frozenset((*tap.sip_ports, *tap.tls_ports)))
        self._streams: dict[tuple[int, int], int] = {}  # by hashes of from and to: packets
        try:
            opened = open_ring(interface, tap)
        except TapFault as fault:
            self._seen.fault = str(fault)
            return
        kind = link_type(opened)
        self._ring = Ring(opened.detach(), tap.ring_megabytes, kind)

    def hear(self) -> None:
        more = self._ring is not None
        while more and self._ring:
            frames, more = self._ring.drain()
            self._seen.frames += len(frames)
            self._seen.cut += int(np.count_nonzero(frames.sizes < frames.lengths))
            arriving = self._decapsulator.feed(frames)
            for heard in self._signalling.feed(arriving):
                if isinstance(heard, Unheard):
                    self._seen.unfollowed[heard.kind] += 1
                elif heard.data.lstrip().startswith(b"SIP/"):
                    self._seen.responses += 1
                else:
                    self._seen.requests += 1
            for datagrams in arriving:
                self._audio(datagrams)

    def seen(self) -> Seen:
        """All that was seen; ends it."""
        if self._ring:
            self._seen.dropped, self._seen.astray = self._ring.counts().dropped, self._ring.astray
            self._ring.close()
        lasting = {places for places, packets in self._streams.items() if packets >= LEAST_PACKETS}
        self._seen.streams = len(lasting)
        self._seen.paired = sum((to, source) in lasting for source, to in lasting)
        return self._seen

    def _audio(self, datagrams: Datagrams) -> None:
        """Count what looks like RTP by where it comes from and goes to."""
        rows = np.flatnonzero((datagrams.protocols == UDP) & (datagrams.sizes > HEADER.itemsize))
        if not len(rows):
            return
        heads = datagrams.octets[datagrams.offsets[rows, None] + np.arange(HEADER.itemsize)]
        some = datagrams.take(rows[looks_like_rtp(heads)])
        source = spots(some.sources, some.source_ports).hashes
        to = spots(some.destinations, some.destination_ports).hashes
        pairs, counts = np.unique(np.stack((source, to), axis=1), axis=0, return_counts=True)
        for (one, other), count in zip(pairs.tolist(), counts.tolist(), strict=True):
            if (one, other) in self._streams or len(self._streams) < MAX_STREAMS:
                self._streams[one, other] = self._streams.get((one, other), 0) + count
