"""Calls that are not recorded: looked at when they begin, when their parties change, when their client asks."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from contextlib import suppress

from gateway.config.redaction import OptOutSettings
from gateway.io.controls import ANSWER_SECONDS, RunningControls
from gateway.io.discards import Discards
from gateway.io.metrics import Metrics
from gateway.io.running_call import Live, voices
from gateway.io.segments import Segments
from gateway.recording.messages import Answered, StartRecording, StopRecording
from gateway.recording.model import UNIT_NS, Cause, Personal, Wish
from gateway.recording.policy import Ground, Unrecorded, decide, wish_of
from gateway.recording.scope import Scope
from gateway.siprec.effects import Changed, Offered

log = logging.getLogger(__name__)

ASKED = (Ground.HEADER, Ground.RECORDPREF)  # by the client, at a moment of the call


class Watch:
    """`listed` gives the code of a number on the never-record list."""

    def __init__(
        self,
        settings: OptOutSettings,
        scope: Scope,
        listed: Callable[[str], str | None],
        controls: RunningControls,
        discards: Discards,
        segments: Segments,
        metrics: Metrics,
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._settings = settings
        self._scope = scope
        self._extensions = [re.compile(pattern) for pattern in settings.extensions]
        self._numbers = listed
        self._controls = controls
        self._discards = discards
        self._segments = segments
        self._metrics = metrics
        self._spawn = spawn

    def heard(self, live: Live, told: Offered | Changed, since: Wish | None = None) -> None:
        """What the client asks for from now on, or asked for `since` it offered."""
        live.header = since or told.wish or live.header
        if told.streams is not None and self._settings.recordpref:
            live.recordpref = (
                wish_of([stream.recordpref for stream in voices(told.streams)]) or live.recordpref
            )

    def look(self, live: Live, at_ns: int, transfer: bool = False) -> None:
        """Stop recording a call that is not to be recorded, or begin again; at a transfer from its time on.

        Who was there before it was known that he is on a list was not to be recorded before either. Only a transfer
        ends what a list began: of several sessions one may tell of one side alone.
        """
        before = live.unrecorded
        people = live.parties.participants
        outside = self._scope.excludes(live.parties.direction, people, live.peers)
        found = decide(people, self._extensions, self._listed, live.header, live.recordpref, outside)
        if before and not found and not (transfer or before.ground in ASKED):
            return
        live.unrecorded = found
        if found and not before:
            self._metrics.unrecorded.labels(found.ground.value).inc()
            self._stop(live, found, at_ns, transfer)
        elif before and not found:
            self._order(live, StartRecording(live.call.id, at_ns))

    def _stop(self, live: Live, found: Unrecorded, at_ns: int, transfer: bool) -> None:
        call, asked = live.call, found.ground in ASKED
        first = at_ns <= call.opening.started_ns
        discard = asked and not first and self._settings.before == "discard"
        begun_ns = call.opening.started_ns + call.segment.start * UNIT_NS
        stop = StopRecording(
            call_id=call.id,
            at_ns=at_ns if asked or transfer else begun_ns,
            cause=Cause.OPT_OUT if discard else Cause.NEVER_RECORD,
            reason=found.reason,
            discard=discard,
            reach_back=asked and not first,
        )
        if discard:
            self._spawn(self._discard(live, stop))
        else:
            self._order(live, stop)

    async def _discard(self, live: Live, stop: StopRecording) -> None:
        await self._discards.intend(live, stop)
        self._order(live, stop)

    def _order(self, live: Live, asked: StopRecording | StartRecording) -> None:
        self._spawn(self._keep(live, self._controls.order(live, asked)))

    async def _keep(self, live: Live, answer: asyncio.Future[Answered]) -> None:
        """The call's record tells what is true of it, so that a crash does not lose why."""
        with suppress(TimeoutError):
            await asyncio.wait_for(answer, ANSWER_SECONDS)
        try:
            await self._segments.save(live)
        except Exception:
            log.exception(
                "the record of call %s could not be told that recording stopped or began", live.call.id
            )

    def _listed(self, number: Personal) -> str | None:
        return self._numbers(number.reveal())
