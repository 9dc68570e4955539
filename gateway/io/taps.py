"""The taps of this gateway: their rings, which of them a media worker listens to, and whether they are still heard."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from gateway.config.attach import TapSettings
from gateway.io.ring import is_up, link_type, open_ring, revive
from gateway.io.tap_messages import Attach, TapMessage, TapReport
from gateway.io.tap_metrics import TapMetrics

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
NS = 1_000_000_000
MEGABYTE = 1 << 20


class Taps:
    """All taps, numbered as they are configured; each is listened to by one of so many media workers."""

    def __init__(
        self,
        taps: Sequence[TapSettings],
        workers: int,
        metrics: TapMetrics,
        expected: Callable[[datetime], bool],
    ) -> None:
        """`expected` tells whether calls are, at a moment. Raises TapFault."""
        self._taps = taps
        self._workers = workers
        self._metrics = metrics
        self._expected = expected
        self._rings: list[list[socket.socket]] = []
        self._heard_ns = [time.monotonic_ns()] * len(taps)  # when SIP was last seen
        self._dropping = [False] * len(taps)
        try:
            for tap in taps:
                metrics.begin(tap.name)
                self._rings.append([])
                for interface in tap.interfaces:
                    self._rings[-1].append(open_ring(interface, tap))
        except Exception:
            self.close()
            raise

    def worker_of(self, tap: int) -> int:
        return tap % self._workers

    def attached(self, worker: int) -> list[tuple[Attach, list[int]]]:
        """What a media worker listens to, with the sockets."""
        return [
            (_attach(number, tap, rings), [ring.fileno() for ring in rings])
            for number, (tap, rings) in enumerate(zip(self._taps, self._rings, strict=True))
            if self.worker_of(number) == worker
        ]

    def hear(self, message: TapMessage) -> None:
        """Watch what is said of a tap."""
        match message:
            case TapReport(tap, _, dropped, _, sip):
                if sip:
                    self._heard_ns[tap] = time.monotonic_ns()
                if dropped and not self._dropping[tap]:
                    log.error(
                        "tap %s: the kernel dropped %d frames: the ring was full",
                        self._taps[tap].name,
                        dropped,
                    )
                self._dropping[tap] = bool(dropped)

    async def watch_forever(self) -> None:
        """Look now and then whether the interfaces are there and calls are seen when they are expected."""
        silent, down = [False] * len(self._taps), set[str]()
        while True:
            for number, tap in enumerate(self._taps):
                quiet = self._silent(number, datetime.now(UTC))
                if quiet and not silent[number]:
                    log.error("tap %s: no SIP has been seen for %d minutes", tap.name, tap.silence_minutes)
                silent[number] = quiet
                self._metrics.silent.labels(tap.name).set(quiet)
                for interface, ring in zip(tap.interfaces, self._rings[number], strict=True):
                    revive(interface, ring)
                    up = is_up(interface, ring)
                    if not up and interface not in down:
                        log.error("tap %s: the interface %s is down or gone", tap.name, interface)
                    (down.discard if up else down.add)(interface)
                    self._metrics.interface_up.labels(tap.name, interface).set(up)
            await asyncio.sleep(LOOK_SECONDS)

    def close(self) -> None:
        for rings in self._rings:
            for ring in rings:
                ring.close()

    def _silent(self, number: int, now: datetime) -> bool:
        tap = self._taps[number]
        waited_ns = time.monotonic_ns() - self._heard_ns[number]
        limit_ns = tap.silence_minutes * 60 * NS
        return bool(limit_ns) and waited_ns > limit_ns and self._expected(now)


def _attach(number: int, tap: TapSettings, rings: Sequence[socket.socket]) -> Attach:
    return Attach(
        number,
        tap.ring_megabytes,
        tuple(map(link_type, rings)),
        (*tap.sip_ports, *tap.tls_ports),
        round(tap.early_seconds * NS),
        tap.early_megabytes * MEGABYTE,
    )
