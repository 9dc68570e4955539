"""What operations should hear of running calls: pauses that are forgotten, come late, or cover nothing; legs never heard."""

from __future__ import annotations

import asyncio
import logging

from gateway.io import clock
from gateway.io.metrics import Metrics
from gateway.io.running import Running
from gateway.io.running_call import Live, Requested
from gateway.recording.messages import (
    Answered,
    Keyed,
    LateRedaction,
    OpenRedaction,
    Outcome,
    Pause,
    RecordingNow,
    Status,
    StopRecording,
)
from gateway.recording.model import UNIT_NS, Cause
from gateway.recording.usual import PauseShare
from gateway.redaction.rules import Rules

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
# Legs are reported once a second: one without a packet for so long carries no audio, and not merely little.
SILENT_NS = 10_000_000_000
UNHEARD_NS = 10_000_000_000  # as long as it takes until somebody says something, comfort noise included
AGENTS = (Cause.AGENT, Cause.FEATURE_CODE, Cause.CARD)  # whose pauses people are responsible for
NS = 1e9


class Alarms:
    """Metrics, and log lines that name a call by its id and nobody at all."""

    def __init__(self, running: Running, metrics: Metrics, rules: Rules) -> None:
        self._running = running
        self._metrics = metrics.redaction
        self._one_leg, self._without_media = metrics.one_leg_now, metrics.without_media_now
        self._forgotten_ns = rules.pause.forgotten_ns
        self._share = PauseShare()
        self._metrics.look_back.set(rules.look_back_ns / NS)

    def said(self, live: Live, status: Status) -> None:
        """A call stands otherwise than `live` knows as yet."""
        standing = {_key(each) for each in live.status.open}
        begun = [each for each in status.open if _key(each) not in standing]
        for each in begun:
            self._metrics.begun.labels(each.cause.value).inc()
        if any(each.cause in AGENTS for each in begun):
            self._paused(live)

    def answered(self, requested: Requested, answered: Answered) -> None:
        """A request of somebody's has been applied, or not."""
        done = answered.outcome in (Outcome.APPLIED, Outcome.LATE)
        if done and isinstance(requested.command, Pause | StopRecording):
            self._metrics.latency.observe((clock.monotonic_ns() - requested.command.at_ns) / NS)

    def unconfirmed(self, call_id: str) -> None:
        self._metrics.unconfirmed.inc()
        log.error("call %s: the media worker did not answer a request in time", call_id)

    def late(self, late: LateRedaction) -> None:
        self._metrics.late.inc()
        seconds = (late.end - late.start) * UNIT_NS / NS
        log.warning(
            "call %s: %.1f s were stored before it was known that they must not be (%s)",
            late.call_id, seconds, late.cause.value,
        )  # fmt: skip

    def keyed(self, keyed: Keyed) -> None:
        self._metrics.keys.labels(keyed.way).inc(keyed.count)

    async def watch_forever(self) -> None:
        """Look now and then how many calls are paused, and for how long."""
        while True:
            self.look(clock.monotonic_ns())
            await asyncio.sleep(LOOK_SECONDS)

    def look(self, now: int) -> None:
        """Count what is paused; tell once of each pause that has become a forgotten one."""
        paused = [live for live in self._running if live.status.state is RecordingNow.PAUSED]
        self._metrics.paused_now.set(len(paused))
        self._metrics.paused_share.set(len(paused) / len(self._running) if paused else 0)
        forgotten = 0
        for live in self._running:
            self._count(live, now)
            old = {
                _key(each)
                for each in live.status.open
                if each.cause in AGENTS and now - each.since_ns >= self._forgotten_ns
            }
            forgotten += len(old)
            for _ in old - live.forgotten:
                self._metrics.forgotten.inc()
                log.warning(
                    "call %s: a pause has lasted %.0f s and may be forgotten",
                    live.call.id, self._forgotten_ns / NS,
                )  # fmt: skip
            live.forgotten = old
        self._metrics.forgotten_now.set(forgotten)
        if unusual := self._share.look(now):
            self._metrics.unusual.inc()
            log.warning(
                "%.0f %% of the calls of the last hour were paused; usual are %.0f %%",
                100 * unusual.share, 100 * unusual.usual,
            )  # fmt: skip
        self._look_for_voices(now)

    def _count(self, live: Live, now: int) -> None:
        if not live.counted:
            live.counted = True
            self._share.began(now)

    def _look_for_voices(self, now: int) -> None:
        """Count the calls of which a leg that should carry audio never did, however long it had."""
        one_leg = without = 0
        for live in self._running:
            if now - live.call.opening.started_ns < UNHEARD_NS or live.held:
                continue
            wanted = {leg.role for number, leg in enumerate(live.call.legs) if number not in live.pauses}
            missing = wanted - live.heard_ns.keys()
            one_leg += bool(missing and live.heard_ns)
            without += bool(missing and not live.heard_ns)
        self._one_leg.set(one_leg)
        self._without_media.set(without)

    def _paused(self, live: Live) -> None:
        now = clock.monotonic_ns()
        if not live.paused_before:
            self._count(live, now)
            self._share.paused(now)
            self._metrics.calls_paused.inc()
        live.paused_before = True
        started_ns = live.call.opening.started_ns
        silent = [
            leg.role for leg in live.call.legs if now - live.heard_ns.get(leg.role, started_ns) > SILENT_NS
        ]
        if silent and not live.held:
            self._metrics.without_media.inc()
            log.warning(
                "call %s: it was paused while no audio came on its %s leg", live.call.id, " and ".join(silent)
            )


def _key(redaction: OpenRedaction) -> tuple[Cause, tuple[str, ...], int]:
    return redaction.cause, redaction.legs, redaction.since_ns
