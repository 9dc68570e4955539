"""Calls from INVITE to hanging up: what the SIP machine says becomes commands to the media worker, and answers."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence

from gateway.config.settings import Settings
from gateway.io.controls import RunningControls
from gateway.io.groups import Groups
from gateway.io.ids import new_id
from gateway.io.lines import Lines
from gateway.io.live import Branch, Ending, Line, Live, leg_plan, voices
from gateway.io.metrics import Metrics
from gateway.io.ports import MediaPorts
from gateway.io.progress import Progress
from gateway.io.redaction_rules import rules_of
from gateway.io.room import Refusal, Room
from gateway.io.running import Running
from gateway.io.settling import Settling
from gateway.io.silence import Silences
from gateway.io.sip import SessionEvent, SipServer
from gateway.io.store import Store
from gateway.recording.call import Call, Opening, Phase, refused
from gateway.recording.messages import (
    Close,
    Command,
    Split,
)
from gateway.recording.model import CallFacts
from gateway.siprec import roles
from gateway.siprec.metadata import Metadata
from gateway.siprec.parties import Parties
from gateway.siprec.session import Changed, Ended, Established, Offered, Probed, SessionId, Stream

log = logging.getLogger(__name__)

LOAD_SECONDS = 1.0  # between two looks whether calls can be taken
CAUSES = {
    "bye": "the recording client ended the call",
    "cancel": "the recording client cancelled the call",
    "no_ack": "the recording client never confirmed the answer",
    "connection_lost": "the connection was lost before the call was answered",
    "session_expired": "the recording client was gone: it neither refreshed the session nor answered",
    "client_gone": "no media came for too long, and the recording client did not know the call any more",
    "media_timeout": "no media came for too long",
    "shutdown": "the gateway was stopped",
}


class Calls:
    """Every running call. All methods run on the event loop."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        tell: Callable[[Command, Sequence[int]], None],
        settled: Callable[[CallFacts, Mapping[str, str]], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._tell = tell  # the media worker
        self._ports = MediaPorts(settings.media)
        self._lines = Lines(self._ports, tell)
        self._room = Room(settings, lambda: store.vault.free_bytes(), self._ports)
        self._silences = Silences(
            settings.media,
            lambda session: self.sip.machine.timed(session),
            lambda session: self.sip.act(self.sip.machine.probe(session, self.sip.now())),
            self._give_up,
        )
        self._extensions = [re.compile(pattern) for pattern in settings.roles.extensions]
        self._sessions: dict[SessionId, Live | None] = {}  # None while the call is being set up
        self._groups = Groups()
        self._setting_up = 0
        self._ended_early: dict[SessionId, str] = {}  # while being set up, and why
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = ""  # the kind of reason for which calls are refused
        self._running = Running()
        self._settling = Settling(
            store, metrics, self._ports, self._running, self._groups, self._spawn, settled
        )
        self.controls = RunningControls(self._running, tell, rules_of(settings))
        self.progress = Progress(
            store, metrics, self._room, self._running, self._settling, self.controls, self._silent
        )
        self.sip: SipServer  # set once the server is there, which needs `hear`

    def hear(self, event: SessionEvent) -> None:
        """Act on what the SIP side says."""
        match event:
            case Offered():
                self._sessions[event.session] = None
                self._spawn(self._take(event))
            case Changed():
                self._change(event)
            case Ended(session, cause):
                self._silences.ended(session)
                self._ended(session, cause)
            case Probed(session, alive):
                self._silences.probed(session, alive)
            case Established():
                pass

    def _ended(self, session: SessionId, cause: str) -> None:
        if session not in self._sessions:
            return  # it was refused, which is told of where it is refused
        if live := self._sessions.pop(session):
            self._leave(live, session, cause)
        else:
            self._ended_early[session] = cause

    async def watch_load_forever(self) -> None:
        """Let health checks know whether a call would be taken."""
        while True:
            try:
                self._tell_load()
            except OSError as error:
                log.error("the storage does not say how much room it has: %s", error)
            await asyncio.sleep(LOAD_SECONDS)

    def running(self) -> int:
        """Calls that are not stored yet, those being set up included."""
        return len(self._running) + self._setting_up

    async def drain(self) -> None:
        """Take no call any more; return when the last one is stored."""
        self._room.closed = "the gateway was draining: it takes no calls before it stops"
        self._tell_load()
        while self.running():
            await self._running.none()
            await asyncio.sleep(0.05)  # for those being set up

    async def stop(self, deadline_seconds: float) -> None:
        """End every call now and wait until all are stored, or the deadline."""
        self._settling.stopping = True
        self._room.closed = "the gateway was being stopped"
        for live in self._running:
            if live.ending:
                self._hang_up(live, live.ending)
            for session in list(live.branches):
                self.sip.act(self.sip.machine.end(session, self.sip.now(), "shutdown"))
            self._tell(Close(live.call.id, time.monotonic_ns(), at_once=True), ())
        try:
            await asyncio.wait_for(self._running.none(), deadline_seconds)
        except TimeoutError:
            log.error(
                "%d calls could not be finished in time; they are recovered at the next start",
                len(self._running),
            )
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_seconds)

    async def _take(self, offered: Offered) -> None:
        self._setting_up += 1
        try:
            await self._set_up(offered)
        finally:
            self._setting_up -= 1

    async def _set_up(self, offered: Offered) -> None:
        """Set a call up and answer it, or refuse it and say why; a session may also carry a call on."""
        found = await self._known(offered)
        if found is not None and offered.session in self._sessions:
            self._attach(found, offered)
            return
        pair = offered.pair.key if offered.pair else None
        expected = self._groups.expect(pair) if pair and not self._groups.partner(pair) else None
        live = await self._begin(offered)
        if expected is not None:
            expected.set_result(live)
        if live is None:
            if expected is not None and pair:
                self._groups.drop(pair)
            return
        live.pair = pair if expected is not None else None

    async def _known(self, offered: Offered) -> Live | None:
        """The running call that this session is a part of."""
        group = _group(offered.metadata)
        live = None
        if offered.pair and (partner := self._groups.partner(offered.pair.key)):
            live = await asyncio.shield(partner)
            joinable = live and len(live.call.legs) == 1 and len(voices(offered.streams)) == 1
            live = live if joinable else None
        elif group and offered.metadata:
            live = self._groups.resume(group, offered.metadata)
        return live if live and live.call.phase is Phase.RECORDING else None

    async def _begin(self, offered: Offered) -> Live | None:
        """A call of its own; None when it is refused."""
        opening, assigned = self._opening(offered)
        sockets: list[socket.socket] = []
        try:
            self._check_room(offered.streams)
            sockets += [self._lines.claim(offered.flow.local[0]) for _ in opening.legs]
            key = await self._store.begin(opening, opening.recording_id)
            call = Call(opening, all(stream.paused for stream in voices(offered.streams)))
            group = _group(offered.metadata)
            call.follows = self._groups.before(group) if group else None
            await self._store.put(call.facts())
        except Refusal as error:
            await self._refuse(offered, opening, sockets, error)
            return None
        except Exception as error:  # the client must hear of it, whatever it was
            log.exception("a call could not be set up")
            failed = Refusal(500, "setup_failed", f"set-up failed: {type(error).__name__}")
            await self._refuse(offered, opening, sockets, failed)
            return None
        parties = Parties(assigned, [leg.role for leg in opening.legs])
        live = Live(call, parties, {opening.recording_id: key}, sockets, group=group)
        if group:
            self._groups.remember(group, call.id)
        self._running.add(live)
        self._metrics.calls_now.set(len(self._running))
        self._tell(call.plan(key, str(self._store.folder(opening))), live.handles())
        if cause := self._ended_early.pop(offered.session, ""):
            self._hang_up(live, Ending(CAUSES.get(cause, cause), time.time_ns(), time.monotonic_ns()))
            return live
        chosen = voices(offered.streams)
        lines = [Line(stream.index, leg, stream.label) for leg, stream in enumerate(chosen)]
        self._enter(live, offered, lines, opening.started_ns)
        self._metrics.setup.observe((time.monotonic_ns() - opening.started_ns) / 1e9)
        return live

    def _attach(self, live: Live, offered: Offered) -> None:
        """A further session of a running call: the other side of a pair, or what follows a transfer."""
        assigned = self._assign(offered.metadata, [stream.label for stream in voices(offered.streams)])
        follows, live.ending = live.ending is not None, None
        if live.waiting:
            live.waiting.cancel()
        live.call.note((*offered.notes, *assigned.notes))
        now = time.monotonic_ns()
        lines: list[Line] = []
        for place, stream in enumerate(voices(offered.streams)):
            wanted = live.parties.role(assigned.roles[place])
            taken = {line.leg for line in lines}
            free = [leg for leg in range(len(live.call.legs)) if leg not in taken] if follows else []
            free.sort(key=lambda leg: live.role(leg) is not wanted)
            leg = free[0] if free else self._lines.join(live, stream, offered.flow.local[0])
            if leg is not None:
                lines.append(Line(stream.index, leg, stream.label))
        if follows:
            live.parties.begin_segment(assigned)
            self._spawn(self._turn(live, now))
        else:
            live.parties.join(assigned, live.role(len(live.call.legs) - 1))
            live.call.segment.participants = live.parties.participants
            self._spawn(self._save(live))
        self._enter(live, offered, lines, now)

    def _enter(self, live: Live, offered: Offered, lines: list[Line], at_ns: int) -> None:
        """A session carries these lines of a call from now on: answer it."""
        branch = Branch(offered.session, lines, self._settings.media.address or offered.flow.local[0])
        live.branches[offered.session] = branch
        self._sessions[offered.session] = live
        self._lines.fit(live, branch, offered.streams, at_ns)
        self._answer(live, branch, len(offered.streams))

    def _opening(self, offered: Offered) -> tuple[Opening, roles.Assignment]:
        chosen = voices(offered.streams)
        assigned = self._assign(offered.metadata, [stream.label for stream in chosen])
        opening = Opening(
            call_id=new_id(),
            segment_id=new_id(),
            recording_id=new_id(),
            started_ns=time.monotonic_ns(),
            started_utc_ns=time.time_ns(),
            direction=assigned.direction,
            participants=assigned.participants,
            legs=tuple(leg_plan(stream, assigned.roles[place]) for place, stream in enumerate(chosen)),
            notes=(*offered.notes, *assigned.notes),
        )
        return opening, assigned

    def _assign(self, metadata: Metadata | None, labels: Sequence[str | None]) -> roles.Assignment:
        return roles.assign(metadata, labels, self._extensions, self._settings.roles.caller)

    def _check_room(self, streams: Sequence[Stream]) -> None:
        """Raises Refusal when a call could not be recorded to its end."""
        if not voices(streams):
            raise Refusal(488, "no_codec", "the client offered no audio that can be recorded")
        if refusal := self._room.refusal(self.running()):
            raise refusal

    def _tell_load(self) -> None:
        refusal = self._room.refusal(self.running() + 1)
        self.sip.machine.busy(self._settings.load.retry_after_seconds if refusal else None)
        self._metrics.taking_calls.set(refusal is None)
        kind = refusal.kind if refusal else ""
        if kind != self._refusing:
            log.warning("new calls are %s", f"refused: {refusal}" if refusal else "taken again")
        self._refusing = kind

    async def _refuse(
        self, offered: Offered, opening: Opening, sockets: Sequence[socket.socket], error: Refusal
    ) -> None:
        """Answer at once; the record of the refused call may fail with the disk that refused it."""
        self._sessions.pop(offered.session, None)
        self._ended_early.pop(offered.session, None)
        retry = self._settings.load.retry_after_seconds if error.status == 503 else None
        machine = self.sip.machine
        self.sip.act(machine.refuse(offered.session, error.status, "", self.sip.now(), retry))
        self._metrics.refused.labels(error.kind).inc()
        self._metrics.calls_ended.labels("not_recorded").inc()
        log.warning("call %s was refused with %d: %s", opening.call_id, error.status, error)
        for each in sockets:
            self._ports.release(each)
        try:
            await self._store.put(refused(opening, str(error)))
        except Exception:
            log.exception("the refusal of call %s could not be stored", opening.call_id)

    def _answer(self, live: Live, branch: Branch, count: int) -> None:
        ports: list[int | None] = [None] * count
        for line in branch.lines:
            if line.index is not None and line.index < count:
                ports[line.index] = live.sockets[line.leg].getsockname()[1]
        machine = self.sip.machine
        self.sip.act(machine.answer(branch.session, ports, branch.address, self.sip.now()))

    def _change(self, changed: Changed) -> None:
        """A re-INVITE, an UPDATE or an answer to our offer: other codecs, lines, holds, other people."""
        live = self._sessions.get(changed.session)
        if live is None:
            if changed.awaiting:
                self.sip.act(self.sip.machine.refuse(changed.session, 491, "", self.sip.now()))
            return
        branch, now = live.branches[changed.session], time.monotonic_ns()
        live.call.note(changed.notes)
        if changed.streams is not None:
            self._lines.fit(live, branch, changed.streams, now)
            if changed.awaiting:
                self._answer(live, branch, len(changed.streams))
        if changed.metadata is not None:
            assigned = self._assign(changed.metadata, live.labels(branch))
            if live.know(assigned, branch):
                self._spawn(self._turn(live, now))
                return
        self._spawn(self._save(live))

    async def _turn(self, live: Live, at_ns: int) -> None:
        """Open a segment with a recording and a key of its own for who takes over."""
        call, people = live.call, live.parties.participants
        recording_id, segment_id = new_id(), new_id()
        try:
            async with live.turning:
                key = await self._store.begin(call.opening, recording_id)
                if call.phase is not Phase.RECORDING:
                    await self._store.abandon(recording_id)
                    return
                live.keys[recording_id] = key
                self._running.add_recording(recording_id, live)
                call.split(segment_id, recording_id, at_ns, people)
                self._tell(Split(call.id, segment_id, recording_id, key, at_ns), ())
        except Exception:
            log.exception("call %s: a transfer could not open a segment of its own", call.id)
            call.problem("a transfer could not open a segment of its own: its audio is in the one before")
            call.segment.participants = (*call.segment.participants, *people)
        await self._save(live)

    async def _save(self, live: Live) -> None:
        async with live.saving:
            if not live.settling:
                await self._store.put(live.call.facts())

    def _leave(self, live: Live, session: SessionId, cause: str) -> None:
        """A session ended; the call does with its last one, unless its group may go on with another."""
        live.branches.pop(session, None)
        if live.branches:
            self._lines.tell_format(live, live.call.legs)
            return
        ending = Ending(CAUSES.get(cause, cause), time.time_ns(), time.monotonic_ns())
        wait = self._settings.media.transfer_seconds
        if live.group and cause == "bye" and wait and not self._settling.stopping:
            live.ending = ending
            self._groups.linger(live.group, live)
            live.waiting = asyncio.get_running_loop().call_later(wait, self._hang_up, live, ending)
        else:
            self._hang_up(live, ending)

    def _hang_up(self, live: Live, ending: Ending) -> None:
        if live.waiting:
            live.waiting.cancel()
        live.ending = None
        self._groups.forget(live)
        if live.call.hang_up(ending.cause, ending.utc_ns):
            self._tell(Close(live.call.id, ending.at_ns, at_once=self._settling.stopping), ())

    def _silent(self, live: Live) -> None:
        for session in live.branches:
            self._silences.begun(session, lambda: sum(leg.packets for leg in live.call.leg_reports()))

    def _give_up(self, session: SessionId, cause: str) -> None:
        """End a call on which no media comes."""
        if live := self._sessions.get(session):
            self._metrics.media_stopped.inc()
            live.call.problem(CAUSES[cause])
            for each in list(live.branches):
                self.sip.act(self.sip.machine.end(each, self.sip.now(), cause))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _group(metadata: Metadata | None) -> str | None:
    return metadata.group_id if metadata else None
