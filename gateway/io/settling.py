"""The end of a call: its record and manifests are stored once the worker has written all of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping

from gateway.io.groups import Groups
from gateway.io.metrics import Metrics
from gateway.io.ports import MediaPorts
from gateway.io.running import Running
from gateway.io.running_call import Live
from gateway.io.store import Store
from gateway.recording.call import Phase
from gateway.recording.model import CallFacts
from gateway.storage.index import IndexCorrupt, IndexFault

log = logging.getLogger(__name__)

STORE_AGAIN_SECONDS = 2.0  # between two tries to write on a disk that has no room


class Settling:
    """Takes each call out of those that are running when it is stored, or cannot be."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        ports: MediaPorts,
        running: Running,
        groups: Groups,
        spawn: Callable[[Coroutine[object, object, None]], None],
        settled: Callable[[CallFacts, Mapping[str, str]], None],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._ports = ports
        self._running = running
        self._groups = groups
        self._spawn = spawn
        self._settled = settled  # is given each stored call with its recordings' data keys, hexadecimal
        self.stopping = False  # a call that cannot be stored is left to the next start

    def if_done(self, live: Live, worker_lost: bool = False) -> None:
        """Store a call as it ended once nothing of it is outstanding."""
        ready = live.call.phase is Phase.DRAINED and (worker_lost or not live.call.awaited_parts())
        if ready and not live.settling:
            live.settling = True
            self._spawn(self._settle(live))

    async def _settle(self, live: Live) -> None:
        call = live.call
        for each in live.sockets:
            self._ports.release(each)
        try:
            facts = await self._store_ended(live)
            self._metrics.ended(facts.state, call.why())
            self._metrics.discards.inc(facts.discard is not None)
            log.info("call %s ended %s: %s", call.id, facts.state.value, facts.reason)
            self._settled(facts, live.keys)
        except Exception:
            self._metrics.storage.sealing_errors.labels("end").inc()
            log.exception(
                "call %s could not be stored as it ended; it is recovered at the next start", call.id
            )
        finally:
            self._groups.forget(live)
            self._running.remove(live)
            self._metrics.calls_now.set(len(self._running))

    async def _store_ended(self, live: Live) -> CallFacts:
        """Write a call as it ended, as soon as there is room: its record tells what is missing and why."""
        while True:
            try:
                async with live.saving:
                    return await self._store.settle(live.call)
            except (OSError, IndexFault) as error:
                if self.stopping or isinstance(error, IndexCorrupt):
                    raise
                self._metrics.storage.sealing_errors.labels("end").inc()
                log.error(
                    "call %s could not be stored as it ended and is tried again: %s", live.call.id, error
                )
            await asyncio.sleep(STORE_AGAIN_SECONDS)
