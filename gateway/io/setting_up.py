"""Calls as they are set up: a session is offered, and opens a call, carries one on, or is refused."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Coroutine, Sequence

from gateway.config.settings import Settings
from gateway.io import clock
from gateway.io.groups import Groups
from gateway.io.ids import new_id
from gateway.io.lines import Lines
from gateway.io.metrics import Metrics
from gateway.io.ports import MediaPorts
from gateway.io.room import Refusal, Room
from gateway.io.running import Running
from gateway.io.running_call import Line, Live, leg_plan, voices
from gateway.io.segments import Segments
from gateway.io.sessions import Sessions
from gateway.io.store import Store
from gateway.io.unrecorded import Watch
from gateway.recording.assurance import Why
from gateway.recording.call import Call, Opening, Phase, refused
from gateway.recording.messages import Command
from gateway.recording.model import CallState
from gateway.siprec import roles
from gateway.siprec.effects import Offered, SessionId, Stream
from gateway.siprec.metadata import Metadata
from gateway.siprec.parties import Parties

log = logging.getLogger(__name__)


class SettingUp:
    """`tell` reaches the media worker, `hang_up` ends a call whose session ended meanwhile, for a cause."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        ports: MediaPorts,
        lines: Lines,
        room: Room,
        running: Running,
        groups: Groups,
        sessions: Sessions,
        segments: Segments,
        watch: Watch,
        tell: Callable[[Command, Sequence[int]], None],
        hang_up: Callable[[Live, str], None],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._ports = ports
        self._lines = lines
        self._room = room
        self._running = running
        self._groups = groups
        self._sessions = sessions
        self._segments = segments
        self._watch = watch
        self._tell = tell
        self._hang_up = hang_up
        self._spawn = spawn
        self._extensions = [re.compile(pattern) for pattern in settings.roles.extensions]
        self.count = 0  # of those being set up now

    def running(self) -> int:
        """Calls that are not stored yet, those being set up included."""
        return len(self._running) + self.count

    async def take(self, offered: Offered) -> None:
        """Set a call up and answer it, or refuse it and say why; a session may also carry a call on."""
        self._count(1)
        try:
            await self._set_up(offered)
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self.count += more
        self._metrics.setting_up.set(self.count)

    def assign(self, metadata: Metadata | None, labels: Sequence[str | None]) -> roles.Assignment:
        """Who takes part, and whose each stream is."""
        return roles.assign(metadata, labels, self._extensions, self._settings.roles.caller)

    async def _set_up(self, offered: Offered) -> None:
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
        self._metrics.signalled.inc()
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
            await self._refuse(offered.session, opening, sockets, error)
            return None
        except Exception as error:  # the client must hear of it, whatever it was
            self._metrics.storage.sealing_errors.labels("begin").inc()
            log.exception("call %s could not be set up", opening.call_id)
            failed = Refusal(500, "setup_failed", f"set-up failed: {type(error).__name__}")
            await self._refuse(offered.session, opening, sockets, failed)
            return None
        parties = Parties(assigned, [leg.role for leg in opening.legs])
        live = Live(call, parties, {opening.recording_id: key}, sockets, self._room.worker(), group=group)
        live.peers = (offered.flow.peer[0],)
        if group:
            self._groups.remember(group, call.id)
        self._record(live, offered)
        return live

    def _record(self, live: Live, offered: Offered) -> None:
        """Hand a call that is set up to the media worker, and answer its session."""
        opening = live.call.opening
        self._running.add(live)
        self._metrics.calls_now.set(len(self._running))
        self._tell(live.call.plan(live.key, str(self._store.folder(opening))), live.handles())
        self._watch.heard(live, offered, self._sessions.wished_early(offered.session))
        self._watch.look(live, opening.started_ns)
        if cause := self._sessions.ended_early(offered.session):
            self._hang_up(live, cause)
            return
        chosen = voices(offered.streams)
        lines = [Line(stream.index, leg, stream.label) for leg, stream in enumerate(chosen)]
        self._sessions.enter(live, offered, lines, opening.started_ns)
        self._metrics.setup.observe((clock.monotonic_ns() - opening.started_ns) / 1e9)

    def _attach(self, live: Live, offered: Offered) -> None:
        """A further session of a running call: the other side of a pair, or what follows a transfer."""
        assigned = self.assign(offered.metadata, [stream.label for stream in voices(offered.streams)])
        follows, live.ending = live.ending is not None, None
        if live.waiting:
            live.waiting.cancel()
        live.call.note((*offered.notes, *assigned.notes))
        self._watch.heard(live, offered, self._sessions.wished_early(offered.session))
        now = clock.monotonic_ns()
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
            self._watch.look(live, now, transfer=True)
            self._spawn(self._segments.turn(live, now))
        else:
            live.parties.join(assigned, live.role(len(live.call.legs) - 1))
            live.call.segment.participants = live.parties.participants
            self._watch.look(live, now)
            self._spawn(self._segments.save(live))
        self._sessions.enter(live, offered, lines, now)

    def _opening(self, offered: Offered) -> tuple[Opening, roles.Assignment]:
        chosen = voices(offered.streams)
        assigned = self.assign(offered.metadata, [stream.label for stream in chosen])
        opening = Opening(
            call_id=new_id(),
            segment_id=new_id(),
            recording_id=new_id(),
            started_ns=clock.monotonic_ns(),
            started_utc_ns=clock.time_ns(),
            direction=assigned.direction,
            participants=assigned.participants,
            legs=tuple(leg_plan(stream, assigned.roles[place]) for place, stream in enumerate(chosen)),
            notes=(*offered.notes, *assigned.notes),
        )
        return opening, assigned

    def _check_room(self, streams: Sequence[Stream]) -> None:
        """Raises Refusal when a call could not be recorded to its end."""
        if not voices(streams):
            names = ", ".join(dict.fromkeys(name for stream in streams for name in stream.named))
            only = f", only {names}" if names else ""
            raise Refusal(488, "no_codec", f"the client offered no audio that can be recorded{only}")
        if refusal := self._room.refusal(self.running()):
            raise refusal

    async def _refuse(
        self, session: SessionId, opening: Opening, sockets: Sequence[socket.socket], error: Refusal
    ) -> None:
        """Answer at once; the record of the refused call may fail with the disk that refused it."""
        self._sessions.refuse(session, error.status)
        self._metrics.refused.labels(error.kind).inc()
        why = Why.SETUP if error.kind == "setup_failed" else Why.REFUSED
        self._metrics.ended(CallState.NOT_RECORDED, why)
        log.warning("call %s was refused with %d: %s", opening.call_id, error.status, error)
        for each in sockets:
            self._ports.release(each)
        try:
            await self._store.put(refused(opening, str(error)))
        except Exception:
            log.exception("the refusal of call %s could not be stored", opening.call_id)


def _group(metadata: Metadata | None) -> str | None:
    return metadata.group_id if metadata else None
