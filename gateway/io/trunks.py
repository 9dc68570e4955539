"""The endpoints of this gateway: what their calls do becomes effects, as of calls that a tap overhears."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.config.endpoint import EndpointSettings
from gateway.endpoint.calling import Telling
from gateway.endpoint.messages import Arrived, FromProcess, Noticed, Over, Relayed
from gateway.io.endpoint import Endpoint
from gateway.io.endpoint_metrics import EndpointMetrics
from gateway.sip.sdp import Supported
from gateway.tap.effects import TapEffect, TappedId

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks whether the last call has ended


class Trunks:
    """Numbered as the taps that hear their audio, from `first` on; `tell` takes what happens on one of these."""

    def __init__(
        self,
        endpoints: Sequence[EndpointSettings],
        first: int,
        supported: Supported,
        metrics: EndpointMetrics,
        tell: Callable[[int, Sequence[TapEffect]], None],
    ) -> None:
        self._trunks = {
            first + place: _Trunk(first + place, settings, supported, metrics, tell)
            for place, settings in enumerate(endpoints)
        }

    async def start(self) -> None:
        """Take calls. Raises EndpointFault."""
        for trunk in self._trunks.values():
            await trunk.endpoint.start()
            trunk.ready()

    def hang_up(self, tap: int, call: TappedId) -> None:
        """End a call of which nothing is heard any more."""
        self._trunks[tap].hang_up(call)

    def running(self) -> int:
        """Calls, those that ring included."""
        return sum(len(trunk.endpoint.calls) for trunk in self._trunks.values())

    async def drain(self) -> None:
        """Take no call any more; return when the last one is over."""
        for trunk in self._trunks.values():
            trunk.endpoint.drain()
        while self.running():
            await asyncio.sleep(LOOK_SECONDS)

    async def stop(self) -> None:
        """End all calls."""
        await asyncio.gather(*(trunk.endpoint.stop() for trunk in self._trunks.values()))


class _Trunk:
    def __init__(
        self,
        tap: int,
        settings: EndpointSettings,
        supported: Supported,
        metrics: EndpointMetrics,
        tell: Callable[[int, Sequence[TapEffect]], None],
    ) -> None:
        self._tap, self._settings, self._metrics, self._tell = tap, settings, metrics, tell
        name = settings.name
        metrics.begin(name, settings.register_here)
        self.endpoint = Endpoint(
            settings,
            self._hear,
            lambda kind: metrics.dropped.labels(name, kind).inc(),
            lambda known: metrics.registered.labels(name).set(known),
            self._pool,
        )
        self._telling = Telling(supported, (settings.address, settings.port))

    def ready(self) -> None:
        seconds = self.endpoint.notice_seconds
        told = f"a notice of {seconds:.1f} seconds" if seconds else "no notice"
        log.info(
            "endpoint %s: takes %d calls at once, with %s", self._settings.name, self._settings.calls, told
        )
        if not seconds:
            log.warning(
                "endpoint %s: callers are not told that they are recorded: set notice", self._settings.name
            )

    def hang_up(self, number: TappedId) -> None:
        if call := self._telling.name(number):
            self.endpoint.hang_up(call)

    def _pool(self, processes: int, died: bool) -> None:
        self._metrics.processes.labels(self._settings.name).set(processes)
        if died:
            self._metrics.deaths.labels(self._settings.name).inc()

    def _hear(self, message: FromProcess) -> None:
        name, metrics = self._settings.name, self._metrics
        match message:
            case Arrived() | Over():
                metrics.calls_now.labels(name).set(len(self.endpoint.calls))
                if isinstance(message, Over):
                    metrics.calls.labels(name, message.cause.value).inc()
            case Noticed(_, _, whole):
                metrics.notices.labels(name, "whole" if whole else "failed").inc()
            case Relayed(_, way, passed):
                metrics.keys.labels(name, way, "passed" if passed else "failed").inc()
        self._tell(self._tap, self._telling.hear(message))
