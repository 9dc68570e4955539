"""Calls from INVITE to index: joins the SIP machine, the media worker and the storage."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.config.settings import Settings
from gateway.io.append import AppendFailed, PartEnded, Synced
from gateway.io.channel import Message, Ready, Ticked
from gateway.io.ids import new_id
from gateway.io.metrics import Metrics
from gateway.io.ports import MediaPorts, NoPortFree
from gateway.io.room import Refusal, Room
from gateway.io.silence import Silences
from gateway.io.sip import SessionEvent, SipServer
from gateway.io.store import Store
from gateway.recording.call import Call, Opening, Phase, refused
from gateway.recording.messages import (
    CallReport,
    Close,
    Command,
    Finished,
    LegPlan,
    MediaStopped,
    PayloadFormat,
    Reformat,
    Refused,
    SrtpKey,
)
from gateway.recording.model import CallFacts, LegReport, Part, Role
from gateway.siprec import roles
from gateway.siprec.metadata import Metadata
from gateway.siprec.session import Changed, Ended, Established, Offered, Probed, SessionId, Stream
from gateway.storage.index import IndexCorrupt, IndexFault

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 5.0
STORE_AGAIN_SECONDS = 2.0  # between two tries to write on a disk that has no room
LOAD_SECONDS = 1.0  # between two looks whether calls can be taken
MAX_VOICES = 2  # an external and an agent leg
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


@dataclass(slots=True)
class Line:
    """An m-line that is recorded."""

    index: int  # among the offer's m-lines
    role: Role
    socket: socket.socket


@dataclass(slots=True)
class Live:
    """A call with what it holds of this machine."""

    call: Call
    session: SessionId
    key: str
    lines: list[Line]
    labels: Sequence[str | None]  # of the lines, as last offered
    address: str  # written into answers
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    settling: bool = False


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
        self._settled = settled  # is given each stored call with its recordings' data keys, hexadecimal
        self._ports = MediaPorts(settings.media)
        self._room = Room(settings, lambda: store.vault.free_bytes(), self._ports)
        self._silences = Silences(
            settings.media,
            lambda session: self.sip.machine.timed(session),
            lambda session: self.sip.act(self.sip.machine.probe(session, self.sip.now())),
            self._give_up,
        )
        self._extensions = [re.compile(pattern) for pattern in settings.roles.extensions]
        self._live: dict[str, Live] = {}
        self._sessions: dict[SessionId, Live | None] = {}  # None while the call is being set up
        self._recordings: dict[str, Live] = {}
        self._setting_up = 0
        self._ended_early: dict[SessionId, str] = {}  # while being set up, and why
        self._tasks: set[asyncio.Task[None]] = set()
        self._reports: dict[str, Sequence[LegReport]] = {}
        self._stopping = False
        self._refusing = ""  # the kind of reason for which calls are refused
        self._idle = asyncio.Event()
        self._idle.set()
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
            self._hang_up(live, CAUSES.get(cause, cause))
        else:
            self._ended_early[session] = cause

    def heard(self, message: Message) -> None:
        """Act on what the media worker says."""
        match message:
            case CallReport() | Finished():
                self._report(message)
            case MediaStopped(call_id):
                self._silent(call_id)
            case PartEnded(recording_id, number, size, sha256):
                if live := self._recordings.get(recording_id):
                    live.call.end_part(Part(number, size, sha256))
                    self._settle_if_done(live)
            case AppendFailed(recording_id, number, problem):
                self._append_failed(recording_id, number, problem)
            case Refused(kind, number):
                self._metrics.media_refused.labels(kind).inc(number)
            case Ticked():
                self._metrics.ticked(message)
                self._room.ticked(message)
            case Synced():
                self._metrics.synced(message)
                if message.problem:
                    log.error("the storage could not be made durable: %s", message.problem)
            case Ready(locked):
                self._room.ready()
                self._metrics.memory_locked.set(locked)
                if not locked:
                    log.warning(
                        "memory cannot be locked: audio that waits could be swapped out; see hushtap doctor"
                    )

    def worker_lost(self) -> None:
        self._metrics.worker_restarts.inc()

    def resume(self) -> Iterator[tuple[Command, Sequence[int]]]:
        """What the next worker is told: every call that is not committed to its end, in a new part."""
        now = time.monotonic_ns()
        for live in self._live.values():
            call = live.call
            if call.phase not in (Phase.RECORDING, Phase.CLOSING):
                self._settle_if_done(live, worker_lost=True)
                continue
            call.worker_lost(self._store.last_part(call.opening) + 1, now)
            yield call.plan(live.key, str(self._store.folder(call.opening))), _handles(live)
            if call.phase is Phase.CLOSING:
                yield Close(call.id, now), ()

    async def checkpoint_forever(self) -> None:
        """Keep the index's counts of running calls near the truth."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            reports, self._reports = self._reports, {}
            try:
                await self._store.checkpoint(reports, time.time_ns())
            except Exception:
                log.exception("the index could not be brought up to date")

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
        return len(self._live) + self._setting_up

    async def drain(self) -> None:
        """Take no call any more; return when the last one is stored."""
        self._room.closed = "the gateway was draining: it takes no calls before it stops"
        self._tell_load()
        while self.running():
            await self._idle.wait()
            await asyncio.sleep(0.05)  # for those being set up

    async def stop(self, deadline_seconds: float) -> None:
        """End every call now and wait until all are stored, or the deadline."""
        self._stopping = True
        self._room.closed = "the gateway was being stopped"
        for live in list(self._live.values()):
            if live.call.phase is Phase.RECORDING:
                self.sip.act(self.sip.machine.end(live.session, self.sip.now(), "shutdown"))
            self._tell(Close(live.call.id, time.monotonic_ns(), at_once=True), ())
        try:
            await asyncio.wait_for(self._idle.wait(), deadline_seconds)
        except TimeoutError:
            log.error(
                "%d calls could not be finished in time; they are recovered at the next start",
                len(self._live),
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
        """Set a call up and answer it, or refuse it and say why."""
        opening, voices = self._opening(offered)
        lines: list[Line] = []
        try:
            self._check_room(voices)
            self._claim(lines, opening, voices, offered.flow.local[0])
            key = await self._store.begin(opening)
            call = Call(opening, _held(voices))
            self._tell_missing(call, lines, offered.streams)
            await self._store.put(call.facts())
        except Refusal as error:
            await self._refuse(offered, opening, lines, error)
            return
        except Exception as error:  # the client must hear of it, whatever it was
            log.exception("a call could not be set up")
            await self._refuse(
                offered,
                opening,
                lines,
                Refusal(500, "setup_failed", f"set-up failed: {type(error).__name__}"),
            )
            return
        labels = [stream.label for stream in voices]
        address = self._settings.media.address or offered.flow.local[0]
        live = Live(call, offered.session, key, lines, labels, address)
        self._live[call.id] = self._recordings[opening.recording_id] = live
        self._idle.clear()
        self._count()
        self._tell(call.plan(key, str(self._store.folder(opening))), _handles(live))
        if cause := self._ended_early.pop(offered.session, ""):
            self._hang_up(live, CAUSES.get(cause, cause))
            return
        self._sessions[offered.session] = live
        self._answer(live, len(offered.streams))
        self._metrics.setup.observe((time.monotonic_ns() - opening.started_ns) / 1e9)

    def _opening(self, offered: Offered) -> tuple[Opening, list[Stream]]:
        acceptable = [stream for stream in offered.streams if stream.acceptable]
        voices = acceptable[:MAX_VOICES]
        assigned = self._assign(offered.metadata, [stream.label for stream in voices])
        opening = Opening(
            call_id=new_id(),
            segment_id=new_id(),
            recording_id=new_id(),
            started_ns=time.monotonic_ns(),
            started_utc_ns=time.time_ns(),
            direction=assigned.direction,
            participants=assigned.participants,
            legs=tuple(_leg(stream, assigned.roles[place]) for place, stream in enumerate(voices)),
            notes=(*offered.notes, *assigned.notes),
        )
        return opening, voices

    def _assign(self, metadata: Metadata | None, labels: Sequence[str | None]) -> roles.Assignment:
        return roles.assign(metadata, labels, self._extensions, self._settings.roles.caller)

    def _check_room(self, voices: Sequence[Stream]) -> None:
        """Raises Refusal when a call could not be recorded to its end."""
        if not voices:
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

    def _claim(self, lines: list[Line], opening: Opening, voices: Sequence[Stream], address: str) -> None:
        try:
            for stream, leg in zip(voices, opening.legs, strict=True):
                lines.append(Line(stream.index, leg.role, self._ports.claim(address)))
        except NoPortFree as error:
            raise Refusal(503, "no_port", "every media port was in use") from error

    async def _refuse(
        self, offered: Offered, opening: Opening, lines: Sequence[Line], error: Refusal
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
        for line in lines:
            self._ports.release(line.socket)
        try:
            await self._store.put(refused(opening, str(error)))
        except Exception:
            log.exception("the refusal of call %s could not be stored", opening.call_id)

    def _answer(self, live: Live, count: int) -> None:
        ports: list[int | None] = [None] * count
        for line in live.lines:
            if line.index < count:
                ports[line.index] = line.socket.getsockname()[1]
        machine = self.sip.machine
        self.sip.act(machine.answer(live.session, ports, live.address, self.sip.now()))

    def _change(self, changed: Changed) -> None:
        """A re-INVITE or UPDATE: other codecs, hold, other people. The ports stay."""
        live = self._sessions.get(changed.session)
        if live is None:
            if changed.awaiting:
                self.sip.act(self.sip.machine.refuse(changed.session, 491, "", self.sip.now()))
            return
        live.call.note(changed.notes)
        if changed.streams is not None:
            self._reformat(live, changed.streams)
            self._tell_missing(live.call, live.lines, changed.streams)
            if changed.awaiting:
                self._answer(live, len(changed.streams))
        if changed.metadata is not None:
            assigned = self._assign(changed.metadata, live.labels)
            if assigned.participants:
                live.call.participants, live.call.direction = assigned.participants, assigned.direction
                if any(assigned.roles.get(n) not in (None, line.role) for n, line in enumerate(live.lines)):
                    live.call.note(
                        ["who speaks on which leg was told anew: the legs keep the roles they began with"]
                    )
        self._spawn(self._save(live))

    def _reformat(self, live: Live, streams: Sequence[Stream]) -> None:
        by_index = {stream.index: stream for stream in streams}
        offered = [by_index.get(line.index) for line in live.lines]
        live.call.legs = tuple(
            _leg(stream, leg.role) if stream and stream.acceptable else leg
            for stream, leg in zip(offered, live.call.legs, strict=True)
        )
        live.labels = [stream.label if stream else None for stream in offered]
        live.call.held = _held(offered)
        self._tell(Reformat(live.call.id, live.call.legs, live.call.held), ())

    @staticmethod
    def _tell_missing(call: Call, lines: Sequence[Line], streams: Sequence[Stream]) -> None:
        """A stream without a line is refused in the answer; what it carries is missing from the recording."""
        recorded = {line.index for line in lines}
        if any(stream.acceptable and stream.index not in recorded for stream in streams):
            call.problem(f"audio past the first {len(lines)} streams was offered and not recorded")

    async def _save(self, live: Live) -> None:
        async with live.saving:
            if not live.settling:
                await self._store.put(live.call.facts())

    def _hang_up(self, live: Live, cause: str) -> None:
        if live.call.hang_up(cause, time.time_ns()):
            self._tell(Close(live.call.id, time.monotonic_ns(), at_once=self._stopping), ())

    def _silent(self, call_id: str) -> None:
        if live := self._live.get(call_id):
            call = live.call
            self._silences.begun(live.session, lambda: sum(leg.packets for leg in call.leg_reports()))

    def _give_up(self, session: SessionId, cause: str) -> None:
        """End a call on which no media comes."""
        if live := self._sessions.get(session):
            self._metrics.media_stopped.inc()
            live.call.problem(CAUSES[cause])
            self.sip.act(self.sip.machine.end(session, self.sip.now(), cause))

    def _report(self, report: CallReport | Finished) -> None:
        live = self._live.get(report.call_id)
        if live is None:
            return
        for before, now in live.call.report(report):
            self._metrics.leg(before, now)
        self._reports[report.call_id] = live.call.leg_reports()
        if isinstance(report, Finished):
            live.call.drain(report)
            self._settle_if_done(live)

    def _append_failed(self, recording_id: str, number: int, problem: str) -> None:
        self._metrics.append_failures.inc()
        log.error("recording %s part %d could not be written on: %s", recording_id, number, problem)
        if live := self._recordings.get(recording_id):
            live.call.problem(f"storage failed: {problem}")
            live.call.tear(number)
            self._settle_if_done(live)

    def _settle_if_done(self, live: Live, worker_lost: bool = False) -> None:
        """Store a call as it ended once nothing of it is outstanding."""
        ready = live.call.phase is Phase.DRAINED and (worker_lost or not live.call.awaited_parts())
        if ready and not live.settling:
            live.settling = True
            self._spawn(self._settle(live))

    async def _settle(self, live: Live) -> None:
        call = live.call
        for line in live.lines:
            self._ports.release(line.socket)
        try:
            facts = await self._store_ended(live)
            self._metrics.calls_ended.labels(facts.state.value).inc()
            log.info("call %s ended %s: %s", call.id, facts.state.value, facts.reason)
            self._settled(facts, {call.opening.recording_id: live.key})
        except Exception:
            log.exception(
                "call %s could not be stored as it ended; it is recovered at the next start", call.id
            )
        finally:
            del self._live[call.id], self._recordings[call.opening.recording_id]
            self._reports.pop(call.id, None)
            self._count()
            if not self._live:
                self._idle.set()

    async def _store_ended(self, live: Live) -> CallFacts:
        """Write a call as it ended, as soon as there is room: its record tells what is missing and why."""
        while True:
            try:
                async with live.saving:
                    return await self._store.settle(live.call)
            except (OSError, IndexFault) as error:
                if self._stopping or isinstance(error, IndexCorrupt):
                    raise
                log.error(
                    "call %s could not be stored as it ended and is tried again: %s", live.call.id, error
                )
            await asyncio.sleep(STORE_AGAIN_SECONDS)

    def _count(self) -> None:
        self._metrics.calls_now.set(len(self._live))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _handles(live: Live) -> list[int]:
    return [line.socket.fileno() for line in live.lines]


def _held(streams: Iterable[Stream | None]) -> bool:
    """Whether the client says that it sends on none of these streams."""
    return all(stream is None or stream.direction in ("inactive", "recvonly") for stream in streams)


def _leg(stream: Stream, role: Role) -> LegPlan:
    formats = tuple(
        PayloadFormat(f.payload_type, f.name, f.clock_rate, f.channels, f.fmtp or "") for f in stream.formats
    )
    keys = tuple(SrtpKey(key.suite, key.secret.hex(), key.mki.hex()) for key in stream.keys)
    return LegPlan(
        role, formats, stream.events, keys=keys, event_rates=stream.event_rates, noise=stream.noise
    )
