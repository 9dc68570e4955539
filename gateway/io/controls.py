"""What people at telephones and the gateway's own rules ask of running calls, until the media worker has answered."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from weakref import WeakSet

from gateway.io import clock
from gateway.io.alarms import Alarms
from gateway.io.running import Running
from gateway.io.running_call import Live, Requested
from gateway.recording.call import Phase
from gateway.recording.control import MARKERS, CallStatus, NoSuchCall, Result
from gateway.recording.messages import (
    Answered,
    Command,
    Extend,
    Mark,
    OpenRedaction,
    Outcome,
    Pause,
    RecordingNow,
    Resume,
    Status,
    StopRecording,
)
from gateway.recording.model import Cause, Participant, Personal, Role
from gateway.recording.pauses import STOPS
from gateway.recording.redacting import Asked
from gateway.redaction.rules import Rules

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0  # after which nobody waits for a media worker's word any more
SILENT_SECONDS = 4.0  # a media worker says something every second, and a tick may be two seconds late
MAX_ASKED = 64  # requests of one call that wait for an answer: a worker that hangs fills no memory


class RunningControls:
    """Controls over the calls of this gateway; `tell` reaches a call's media worker. All runs on the event loop."""

    def __init__(
        self,
        running: Running,
        tell: Callable[[Command, Sequence[int]], None],
        rules: Rules,
        alarms: Alarms,
    ) -> None:
        self._running = running
        self._tell = tell
        self._rules = rules
        self._alarms = alarms
        self._requests = itertools.count(1)
        self._heard_ns: dict[int, int] = {}  # when a worker of each number last said anything
        self._wakes: WeakSet[asyncio.Event] = WeakSet()
        # Before a discard is asked for; before anybody is told what must outlast a crash; whether a status waits.
        self.intend: Callable[[Live, StopRecording], Awaitable[None]] = _nothing
        self.keep: Callable[[Live], Awaitable[None]] = _nothing
        self.withheld: Callable[[Live, Status], bool] = lambda live, status: False
        running.changed = self.wake

    def running(self, extensions: Collection[str] | None) -> list[CallStatus]:
        """The running calls of these extensions, the latest begun first; None: all."""
        found = [live for live in self._running if _stands(live)]
        if extensions is not None:
            found = [live for live in found if not _reached_at(live).isdisjoint(extensions)]
        return sorted(map(self._known, found), key=lambda call: call.started_ns, reverse=True)

    def status(self, call_id: str) -> CallStatus:
        return self._known(self._live(call_id))

    async def pause(self, call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
        """`ago_ns`: how long ago the key was pressed, where that took time to be told of."""
        at_ns = clock.monotonic_ns() - max(0, ago_ns)
        return await self._ask(call_id, Pause(call_id, (), at_ns, Cause.AGENT, actor, reason, True))

    async def resume(self, call_id: str, actor: str) -> Result:
        return await self._ask(call_id, Resume(call_id, (), clock.monotonic_ns(), Cause.AGENT, actor))

    async def extend(self, call_id: str, actor: str) -> Result:
        return await self._ask(call_id, Extend(call_id, clock.monotonic_ns(), actor))

    async def opt_out(self, call_id: str, actor: str, reason: str = "") -> Result:
        now, discard = clock.monotonic_ns(), self._rules.discard
        stop = StopRecording(call_id, now, Cause.OPT_OUT, actor, reason, discard, reach_back=True)
        if discard:
            await self.intend(self._live(call_id), stop)
        return await self._ask(call_id, stop)

    async def mark(self, call_id: str, actor: str, kind: str) -> Result:
        """Raises ValueError on a kind that is not one of MARKERS."""
        if kind not in MARKERS:
            raise ValueError(f"a marker is one of {', '.join(MARKERS)}")
        return await self._ask(call_id, Mark(call_id, clock.monotonic_ns(), kind, actor))

    def changes(self) -> AsyncIterator[None]:
        """Wakes whenever a call begins, changes or ends."""
        woken = asyncio.Event()
        self._wakes.add(woken)
        return _wakes(woken)

    def wake(self) -> None:
        """Something about the running calls has changed."""
        for woken in self._wakes:
            woken.set()

    def order(self, live: Live, asked: Asked) -> asyncio.Future[Answered]:
        """Ask the worker, or the one that replaces it; nobody need wait for the answer."""
        asked = replace(asked, request=str(next(self._requests)))
        answer = asyncio.get_running_loop().create_future()
        live.asked[asked.request] = Requested(asked, answer)
        self._tell(asked, ())
        return answer

    def answered(self, message: Answered) -> None:
        live = self._running.call(message.call_id)
        if live:
            live.overdue.discard(message.request)
        requested = live.asked.pop(message.request, None) if live else None
        if requested is None:
            return
        self._alarms.answered(requested, message)
        if not requested.answer.done():
            requested.answer.set_result(message)

    def heard(self, worker: int) -> None:
        """A worker is alive."""
        self._heard_ns[worker] = clock.monotonic_ns()

    def said(self, status: Status) -> None:
        """The worker says how a call stands."""
        live = self._running.call(status.call_id)
        if live and not self.withheld(live, status):
            self.say(live, status)

    def say(self, live: Live, status: Status) -> None:
        """A call stands so from now on."""
        self._alarms.said(live, status)
        live.status = status
        live.call.stopped = next((each for each in status.open if each.cause in STOPS), None)
        self.wake()

    def lost(self, worker: int) -> None:
        """A worker died: until another one says how its calls stand, nobody knows."""
        now = clock.monotonic_ns()
        for live in (live for live in self._running if live.worker == worker):
            live.status = replace(
                live.status, state=RecordingNow.UNKNOWN, since_ns=now, resumes_ns=None, warning=False
            )
        self.wake()

    async def _ask(self, call_id: str, asked: Asked) -> Result:
        live = self._live(call_id)
        if len(live.asked) >= MAX_ASKED:
            why = f"{MAX_ASKED} requests of this call are not answered yet"
            return Result(Outcome.REFUSED, why, self._known(live))
        answer = self.order(live, asked)
        try:
            answered = await asyncio.wait_for(answer, ANSWER_SECONDS)
        except TimeoutError:
            live.overdue |= {request for request, each in live.asked.items() if each.answer is answer}
            self._alarms.unconfirmed(call_id)
            self.wake()
            why = f"the media worker has not answered within {ANSWER_SECONDS:g} s"
            return Result(Outcome.UNCONFIRMED, why, self._known(live))
        outcome, why = answered.outcome, answered.why
        if outcome is Outcome.LATE or isinstance(asked, StopRecording):
            try:
                await self.keep(live)
            except Exception:
                log.exception("the record of call %s could not be told what was asked of it", call_id)
                outcome, why = Outcome.UNCONFIRMED, "it is done, and a crash of the gateway would forget it"
        return Result(outcome, why, self._known(live))

    def _known(self, live: Live) -> CallStatus:
        """How a call stands; UNKNOWN while a request is overdue or its worker says nothing at all."""
        silent = (
            clock.monotonic_ns() - self._heard_ns.get(live.worker, live.call.opening.started_ns)
            > SILENT_SECONDS * 1e9
        )
        status = _status(live)
        if live.overdue or silent:
            return replace(status, state=RecordingNow.UNKNOWN, cause=None, actor=None, resumes_ns=None)
        return status

    def _live(self, call_id: str) -> Live:
        """Raises NoSuchCall."""
        live = self._running.call(call_id)
        if live is None or not _stands(live):
            raise NoSuchCall(f"no call {call_id} is running")
        return live


async def _nothing(*_: object) -> None:
    """Where nothing else is to be done."""


async def _wakes(woken: asyncio.Event) -> AsyncIterator[None]:
    while True:
        await woken.wait()
        woken.clear()
        yield


def _stands(live: Live) -> bool:
    """Whether something of a call may still be kept, or not: it runs, or its last audio waits."""
    return live.call.phase in (Phase.RECORDING, Phase.CLOSING)


def _status(live: Live) -> CallStatus:
    """How a call stands; made anew only when that changed, since whoever watches asks of all calls many times a second."""
    call = live.call
    made_of = (live.status, call.segment.participants, call.direction, live.held, call.phase)
    if live.shown is None or live.shown[0] != made_of:
        live.shown = made_of, _made(live)
    return live.shown[1]


def _made(live: Live) -> CallStatus:
    call, status = live.call, live.status
    opening = call.opening
    to_utc = opening.started_utc_ns - opening.started_ns
    latest = _latest(status)
    return CallStatus(
        call_id=call.id,
        state=status.state,
        since_ns=status.since_ns + to_utc,
        started_ns=opening.started_utc_ns,
        direction=call.direction,
        extensions=_extensions(call.segment.participants),
        cause=latest.cause if latest else None,
        actor=latest.actor if latest else None,
        resumes_ns=None if status.resumes_ns is None else status.resumes_ns + to_utc,
        warning=status.warning,
        held=live.held,
        ended=call.phase is not Phase.RECORDING,
        open=status.open,
    )


def _reached_at(live: Live) -> frozenset[Personal]:
    """The extensions of those who are on a call now, found out once."""
    people = live.call.segment.participants
    if live.reached_at is None or live.reached_at[0] is not people:
        live.reached_at = people, frozenset(_extensions(people))
    return live.reached_at[1]


def _extensions(people: Sequence[Participant]) -> tuple[Personal, ...]:
    """Of the agents among them, and of a caller who has one; an agent's number, where no extension is known for it."""
    found = [
        text
        for person in people
        if person.role is Role.AGENT or person.extension
        for text in (person.extension, person.number)
        if text
    ]
    return tuple(dict.fromkeys(found))


def _latest(status: Status) -> OpenRedaction | None:
    """What stopped a call or paused it: the latest of the kind that its state comes of."""
    match status.state:
        case RecordingNow.OFF:
            mine = [each for each in status.open if each.cause in STOPS]
        case RecordingNow.PAUSED:
            mine = [each for each in status.open if each.cause is not Cause.SRC] or list(status.open)
        case _:
            mine = []
    return mine[-1] if mine else None
