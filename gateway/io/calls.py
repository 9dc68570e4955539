"""Calls from INVITE to hanging up: what the SIP machine says becomes commands to the media worker, and answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence

from gateway.codecs.registry import supported
from gateway.config.settings import Settings
from gateway.io import clock
from gateway.io.alarms import Alarms
from gateway.io.controls import RunningControls
from gateway.io.discards import Discards
from gateway.io.groups import Groups
from gateway.io.lines import Lines
from gateway.io.metrics import Metrics
from gateway.io.ports import MediaPorts
from gateway.io.progress import Progress
from gateway.io.redaction_rules import rules_of
from gateway.io.room import Room
from gateway.io.running import Running
from gateway.io.running_call import Branch, Ending, Live
from gateway.io.scope_rules import scope_of
from gateway.io.segments import Segments
from gateway.io.sessions import Sessions
from gateway.io.setting_up import SettingUp
from gateway.io.settling import Settling
from gateway.io.silence import Silences
from gateway.io.sip import SessionEvent, SipServer
from gateway.io.store import Store
from gateway.io.taking_up import TakingUp
from gateway.io.tapped import Tapped
from gateway.io.unrecorded import Watch
from gateway.recording.assurance import Why
from gateway.recording.messages import Close, Command, LateRedaction, Press
from gateway.recording.model import CallFacts, Cut
from gateway.siprec.effects import Changed, Ended, Established, KeyPressed, Offered, Probed, SessionId
from gateway.siprec.metadata import Metadata
from gateway.siprec.wishes import wishes
from gateway.tap.dialogs import Dialogs

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
    """Every running call. All methods run on the event loop. `tell` gives one of the media workers a command."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        workers: int,
        tell: Callable[[int, Command, Sequence[int]], None],
        settled: Callable[[CallFacts, Mapping[str, str]], None],
        listed: Callable[[str], str | None] = lambda number: None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._tell_worker = tell
        self._ports = MediaPorts(settings.media)
        self._lines = Lines(self._ports, self._tell)
        self._running = Running()
        self._room = Room(settings, lambda: store.vault.free_bytes(), self._ports, self._running, workers)
        self._silences = Silences(
            settings.media,
            lambda session: self.sip.machine.timed(session),
            lambda session: self.sip.act(self.sip.machine.probe(session, self.sip.now())),
            self._give_up,
        )
        self._groups = Groups()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = ""  # the kind of reason for which calls are refused
        self._sessions = Sessions(settings, self._lines, lambda: self.sip)
        self._segments = Segments(store, self._running, self._tell)
        rules = rules_of(settings)
        self.alarms = Alarms(self._running, metrics, rules)
        self.controls = RunningControls(self._running, self._tell, rules, self.alarms)
        discards = Discards(store, self._segments, self._spawn, self.controls.say)
        self.controls.intend, self.controls.withheld = discards.intend, discards.withheld
        self.controls.keep = self._segments.save
        self._watch = Watch(
            settings.optout, scope_of(settings.scope), listed, self.controls, discards, self._segments, metrics,
            self._spawn,
        )  # fmt: skip
        self._setting_up = SettingUp(
            settings, store, metrics, self._ports, self._lines, self._room, self._running, self._groups,
            self._sessions, self._segments, self._watch, self._tell,
            lambda live, cause: self._hang_up(live, _ending(cause)), self._spawn,
        )  # fmt: skip
        self._settling = Settling(
            store, metrics, self._ports, self._running, self._groups, self._spawn, settled
        )
        self.progress = Progress(
            store,
            metrics,
            self._room,
            self._running,
            self._settling,
            self.controls,
            self.alarms,
            self._silent,
            self._late,
            round(settings.media.hold_back_seconds * 1e9),
        )
        self.tapped = Tapped(
            [*(tap.name for tap in settings.taps()), *(each.name for each in settings.endpoints())],
            lambda: Dialogs(
                supported=supported,
                wish=wishes(settings.optout.off_headers, settings.optout.on_headers),
                max_calls=settings.media.max_calls,
            ),
            TakingUp(
                store, metrics, self._lines, self._room, self._running, self._watch,
                lambda tap: tap % workers, self._setting_up.assign, self._tell,
            ),
            metrics, self._lines, self._segments, self._watch, self._tell, self._hang_up,
            frozenset(range(len(settings.taps()), len(settings.attach))), self._spawn,
        )  # fmt: skip
        self.sip: SipServer  # set once the server is there, which needs `hear`

    def hear(self, event: SessionEvent) -> None:
        """Act on what the SIP side says."""
        match event:
            case Offered():
                self._sessions.begin(event.session)
                self._spawn(self._setting_up.take(event))
            case Changed():
                self._change(event)
            case Ended(session, cause):
                self._silences.ended(session)
                if live := self._sessions.end(session, cause):
                    self._leave(live, session, cause)
            case Probed(session, alive):
                self._silences.probed(session, alive)
            case KeyPressed(session, digit, lasts_ms):
                if live := self._sessions.call(session):
                    role, now = live.sole_role(session), clock.monotonic_ns()
                    self._tell(Press(live.call.id, role, digit, now, lasts_ms * 1_000_000), ())
            case Established():
                pass

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
        return self._setting_up.running() + self.tapped.setting_up()

    async def quiet(self) -> None:
        """Wait until all that was begun for calls is done, as far as it waits for nobody outside."""
        while self._tasks:
            await asyncio.wait(self._tasks)

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
        self.tapped.stop()
        for live in self._running:
            if live.ending:
                self._hang_up(live, live.ending)
            for session in _clients(live):
                self.sip.act(self.sip.machine.end(session, self.sip.now(), "shutdown"))
            self._tell(Close(live.call.id, clock.monotonic_ns(), at_once=True), ())
        try:
            await asyncio.wait_for(self._running.none(), deadline_seconds)
        except TimeoutError:
            log.error(
                "%d calls could not be finished in time; they are recovered at the next start",
                len(self._running),
            )
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_seconds)

    def _tell(self, command: Command, sockets: Sequence[int]) -> None:
        """Give a command to the media worker that has the call; of one that is stored, nobody need hear."""
        if live := self._running.call(command.call_id):
            self._tell_worker(live.worker, command, sockets)

    def _tell_load(self) -> None:
        refusal = self._room.refusal(self.running() + 1)
        self.sip.machine.busy(self._settings.load.retry_after_seconds if refusal else None)
        self._metrics.taking_calls.set(refusal is None)
        kind = refusal.kind if refusal else ""
        if kind != self._refusing:
            log.warning("new calls are %s", f"refused: {refusal}" if refusal else "taken again")
        self._refusing = kind

    def _change(self, changed: Changed) -> None:
        """A re-INVITE, an UPDATE or an answer to our offer: other codecs, lines, holds, other people."""
        live = self._sessions.call(changed.session)
        if live is None:
            if changed.awaiting:
                self.sip.act(self.sip.machine.refuse(changed.session, 491, "", self.sip.now()))
            self._sessions.wished(changed.session, changed.wish)
            return
        branch, now = live.branches[changed.session], clock.monotonic_ns()
        live.call.note(changed.notes)
        if changed.streams is not None:
            self._lines.fit(live, branch, changed.streams, now)
            if changed.awaiting:
                self._sessions.answer(live, branch, len(changed.streams))
        self._watch.heard(live, changed)
        transfer = changed.metadata is not None and self._know(live, branch, changed.metadata)
        self._watch.look(live, now, transfer)
        self._spawn(self._segments.turn(live, now) if transfer else self._segments.save(live))

    def _know(self, live: Live, branch: Branch, metadata: Metadata) -> bool:
        """Take what metadata says of the parties; True when another agent took over."""
        swapped = live.call.swapped
        transfer = live.know(self._setting_up.assign(metadata, live.labels(branch)), branch)
        if live.call.swapped is not swapped:
            self._lines.tell(live)
        return transfer

    def _late(self, live: Live, late: LateRedaction) -> None:
        """Something was stored that must not be kept: the record says so at once, and it is cut after the end."""
        live.call.late(Cut(late.start, late.end, late.legs, late.cause, clock.time_ns()))
        self._spawn(self._segments.save(live))

    def _leave(self, live: Live, session: SessionId, cause: str) -> None:
        """A session ended; the call does with its last one, unless its group may go on with another."""
        live.branches.pop(session, None)
        if live.branches:
            self._lines.tell_format(live, live.call.legs)
            return
        ending = _ending(cause)
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
        self.tapped.silent(live)
        for session in _clients(live):
            self._silences.begun(session, lambda: sum(leg.packets for leg in live.call.leg_reports()))

    def _give_up(self, session: SessionId, cause: str) -> None:
        """End a call on which no media comes."""
        if live := self._sessions.call(session):
            self._metrics.media_stopped.inc()
            live.call.problem(CAUSES[cause], Why.NO_MEDIA)
            for each in list(live.branches):
                self.sip.act(self.sip.machine.end(each, self.sip.now(), cause))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _clients(live: Live) -> list[SessionId]:
    """The recording sessions of a call; one that a tap overhears has none."""
    return [session for session in live.branches if session >= 0]


def _ending(cause: str) -> Ending:
    return Ending(CAUSES.get(cause, cause), clock.time_ns(), clock.monotonic_ns())
