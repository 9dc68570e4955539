"""Segments of running calls: a transfer opens the next one; the call's record tells of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.io.ids import new_id
from gateway.io.running import Running
from gateway.io.running_call import Live
from gateway.io.store import Store
from gateway.recording.assurance import Why
from gateway.recording.call import Phase
from gateway.recording.messages import Command, Split

log = logging.getLogger(__name__)


class Segments:
    """`tell` reaches the media worker."""

    def __init__(
        self, store: Store, running: Running, tell: Callable[[Command, Sequence[int]], None]
    ) -> None:
        self._store = store
        self._running = running
        self._tell = tell

    async def turn(self, live: Live, at_ns: int) -> None:
        """Open a segment with a recording and a key of its own for who takes over."""
        call, people = live.call, live.parties.participants
        if call.discard:  # nothing of it is kept, so there is no key to be made
            call.segment.participants = tuple(dict.fromkeys((*call.segment.participants, *people)))
            await self.save(live)
            return
        recording_id, segment_id = new_id(), new_id()
        try:
            async with live.turning:
                key = await self._store.begin(call.opening, recording_id)
                if call.phase is not Phase.RECORDING or call.discard:
                    await self._store.abandon(recording_id)
                    return
                live.keys[recording_id] = key
                self._running.add_recording(recording_id, live)
                call.split(segment_id, recording_id, at_ns, people)
                self._tell(Split(call.id, segment_id, recording_id, key, at_ns), ())
        except Exception:
            log.exception("call %s: a transfer could not open a segment of its own", call.id)
            call.problem(
                "a transfer could not open a segment of its own: its audio is in the one before", Why.SETUP
            )
            call.segment.participants = (*call.segment.participants, *people)
        await self.save(live)

    async def save(self, live: Live) -> None:
        """Write a running call's record as it stands."""
        async with live.saving:
            if not live.settling:
                await self._store.put(live.call.facts())
