"""What a gateway and a replay are started with alike."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from gateway.config.settings import Settings
from gateway.io.channel import Configure
from gateway.io.metrics import Metrics
from gateway.io.redaction_rules import rules_of
from gateway.io.store import Store
from gateway.recording.engine import EngineSettings
from gateway.recording.spread import calls_each
from gateway.storage.never_record import NeverRecordFault, NumberList

log = logging.getLogger(__name__)

NS = 1_000_000_000


class CannotStart(Exception):
    """The gateway cannot begin to record; the text is one sentence that says why."""


def configure_of(settings: Settings, workers: int) -> Configure:
    """What each worker is told first."""
    media = settings.media
    # A call's legs are in use until its audio has drained, so for longer than the call. All calls of a tap are one worker's.
    calls = media.max_calls if settings.attach else calls_each(media.max_calls, workers)
    engine = EngineSettings(
        max_legs=2 * (calls + 64),
        hold_back_ns=round(media.hold_back_seconds * NS),
        timeout_ns=round(media.timeout_seconds * NS),
        tick_ns=media.tick_milliseconds * 1_000_000,
        rules=rules_of(settings),
    )
    return Configure(engine, str(settings.storage.directory))


def numbers_of(settings: Settings, store: Store, metrics: Metrics) -> NumberList:
    """The never-record list, which may change at any time."""

    def told(fault: NeverRecordFault) -> None:
        metrics.list_faults.inc()
        log.error("the never-record list stays as it was before: %s", fault)

    try:
        return NumberList(
            settings.storage.directory, store.lookup_key, lambda: f"{datetime.now(UTC):%Y-%m-%d}", told
        )
    except NeverRecordFault as fault:
        raise CannotStart(str(fault)) from fault
