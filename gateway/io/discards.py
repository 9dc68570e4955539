"""Opt-outs after which nothing of a call is kept: the intent is durable before anybody is told, then all goes."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Coroutine

from gateway.io import clock
from gateway.io.running_call import Live
from gateway.io.segments import Segments
from gateway.io.store import Store
from gateway.recording.messages import OpenRedaction, Status, StopRecording
from gateway.recording.model import Destroyed, Discard

log = logging.getLogger(__name__)


class Discards:
    """`say` publishes a status."""

    def __init__(
        self,
        store: Store,
        segments: Segments,
        spawn: Callable[[Coroutine[object, object, None]], None],
        say: Callable[[Live, Status], None],
    ) -> None:
        self._store = store
        self._segments = segments
        self._spawn = spawn
        self._say = say

    async def intend(self, live: Live, stop: StopRecording | OpenRedaction) -> None:
        """Let the call's record ask for it: whatever happens from now on, nothing of the call is left in the end."""
        call = live.call
        if call.discard is None:
            gone = tuple(Destroyed(segment.recording_id) for segment in call.segments)
            call.discard = Discard(clock.time_ns(), stop.cause, stop.actor, stop.reason, gone)
            at_ns = stop.at_ns if isinstance(stop, StopRecording) else stop.since_ns
            call.stopped = OpenRedaction(stop.cause, (), at_ns, stop.actor, stop.reason, discard=True)
        try:
            await self._segments.save(live)
        except Exception:  # the media worker is told all the same, and the end of the call tries again
            log.exception("call %s is to be discarded, and its record could not be told", call.id)
        live.intended = True

    def withheld(self, live: Live, status: Status) -> bool:
        """Whether a status is of a discard that is not durable yet; then it is said, or the next, once it is."""
        stop = next((each for each in status.open if each.discard), None)
        if stop is None:
            return False
        if not live.intended:
            first, live.unsaid = live.unsaid is None, status
            if first:
                self._spawn(self._intend_and_say(live, stop))
            return True
        if not live.destroying:
            live.destroying = True
            self._spawn(self._destroy(live))
        return False

    async def _intend_and_say(self, live: Live, stop: OpenRedaction) -> None:
        """The media worker itself heard of the opt-out: a feature code."""
        await self.intend(live, stop)
        status, live.unsaid = live.unsaid, None
        if status and not self.withheld(live, status):
            self._say(live, status)

    async def _destroy(self, live: Live) -> None:
        """Keys and files go at once; what the worker writes yet, and what fails here, at the end of the call."""
        # What a worker that replaces this one would write nobody can read.
        live.keys = {recording_id: secrets.token_hex(32) for recording_id in live.keys}
        async with live.saving:
            if live.settling:
                return
            try:
                await self._store.discard(live.call)
            except Exception:
                log.exception("call %s could not be discarded at once; it is at its end", live.call.id)
