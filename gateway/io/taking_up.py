"""Overheard calls as they are set up, or written down as not recorded."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from gateway.io import clock
from gateway.io.ids import new_id
from gateway.io.lines import Lines
from gateway.io.metrics import Metrics
from gateway.io.room import Refusal, Room
from gateway.io.running import Running
from gateway.io.running_call import Branch, Line, Live, leg_plan, voices
from gateway.io.store import Store
from gateway.io.unrecorded import Watch
from gateway.recording.assurance import Why
from gateway.recording.call import Call, Opening, refused
from gateway.recording.messages import Command, LegPlan
from gateway.recording.model import MIDWAY, CallState, Direction, Wish
from gateway.siprec.effects import Changed, SessionId, Stream
from gateway.siprec.metadata import Metadata, MetadataParticipant
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment
from gateway.tap.calling import Reason, metadata_of, streams_of
from gateway.tap.effects import MediaAgreed, Seen, Side, TapEffect

log = logging.getLogger(__name__)

MINUTE_NS = 60_000_000_000
MAX_EXPLAINED = 600  # records of calls that were not recorded, a minute: a flood of INVITEs fills no disk
NOBODY = Assignment(Direction.UNKNOWN, (), {})


@dataclass(slots=True)
class TappedCall:
    """What is known of one call."""

    tap: int
    seen: Seen
    session: SessionId  # stands for it among those of recording clients: negative
    people: dict[Side, MetadataParticipant]
    followers: int = 1  # numbers those who take a side
    why: Reason | None = None  # nothing of it can be recorded
    refused: bool = False  # for good
    wish: Wish | None = None
    live: Live | None = None
    waiting: deque[TapEffect] = field(default_factory=deque)  # while it is being set up
    setting_up: bool = False

    def metadata(self) -> Metadata:
        return metadata_of(self.people)


class TakingUp:
    """`tell` reaches a call's media worker, `worker_of` names that of a tap, `assign` says whose each stream is."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        lines: Lines,
        room: Room,
        running: Running,
        watch: Watch,
        worker_of: Callable[[int], int],
        assign: Callable[[Metadata | None, Sequence[str | None]], Assignment],
        tell: Callable[[Command, Sequence[int]], None],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._lines = lines
        self._room = room
        self._running = running
        self._watch = watch
        self._worker_of = worker_of
        self._assign = assign
        self._tell = tell
        self._explained: deque[int] = deque()  # when the last records of this kind were written
        self.count = 0  # of calls that are being set up

    def assign(self, call: TappedCall, labels: Sequence[str | None]) -> Assignment:
        """Who takes part, and whose each line is."""
        return self._assign(call.metadata(), labels)

    async def begin(self, call: TappedCall, agreed: MediaAgreed) -> Live | None:
        """Record a call from its beginning on; None, and why, where it cannot be."""
        streams = streams_of(call.tap, agreed.streams)
        chosen = voices(streams)
        opening, assigned = self._opening(call, chosen)
        self.count += 1
        try:
            if refusal := self._room.refusal(len(self._running) + self.count, sockets=False):
                raise refusal
            key = await self._store.begin(opening, opening.recording_id)
            recorded = Call(opening, all(stream.paused for stream in chosen))
            await self._store.put(recorded.facts())
        except Refusal as error:
            log.warning("call %s is not recorded: %s", opening.call_id, error)
            call.why, call.refused = Reason(str(error), Why.REFUSED), True
            return None
        except Exception as error:
            log.exception("an overheard call could not be set up")
            call.why = Reason(f"set-up failed: {type(error).__name__}", Why.SETUP)
            call.refused = True
            return None
        finally:
            self.count -= 1
        parties = Parties(assigned, [leg.role for leg in opening.legs])
        live = Live(recorded, parties, {opening.recording_id: key}, [], self._worker_of(call.tap))
        live.peers = tuple(address for address, _ in call.seen.peers)
        self._enter(call, live, streams, agreed.at_ns)
        return live

    def _enter(self, call: TappedCall, live: Live, streams: Sequence[Stream], at_ns: int) -> None:
        """Hand a call that is set up to the media worker."""
        opening, chosen = live.call.opening, voices(streams)
        self._running.add(live)
        self._metrics.calls_now.set(len(self._running))
        plan = live.call.plan(live.key, str(self._store.folder(opening)))
        self._tell(replace(plan, agreed_ns=at_ns), ())
        self._watch.heard(live, Changed(call.session, tuple(streams), None, (), False, call.wish))
        self._watch.look(live, opening.started_ns)
        lines = [Line(stream.index, leg, stream.label) for leg, stream in enumerate(chosen)]
        branch = live.branches[call.session] = Branch(call.session, lines, "")
        self._lines.fit(live, branch, streams, at_ns)

    def _opening(self, call: TappedCall, chosen: Sequence[Stream]) -> tuple[Opening, Assignment]:
        assigned = self.assign(call, [stream.label for stream in chosen])
        legs = tuple(leg_plan(stream, assigned.roles[place]) for place, stream in enumerate(chosen))
        notes = (*call.seen.notes, *assigned.notes)
        if call.seen.midway:
            notes = (*notes, MIDWAY)
        return _opening(call.seen.at_ns, assigned, legs, notes), assigned

    async def explain(self, call: TappedCall, why: Reason, ended_ns: int) -> None:
        """Write down that a call was not recorded, and why."""
        opening, _ = self._opening(call, ())
        await self._write(opening, why, ended_ns)

    async def explain_audio(self, began_ns: int, ended_ns: int, why: Reason) -> None:
        """Likewise of a call of which nothing but audio is known."""
        await self._write(_opening(began_ns, NOBODY, (), ()), why, ended_ns)

    async def _write(self, opening: Opening, why: Reason, ended_ns: int) -> None:
        self._metrics.ended(CallState.NOT_RECORDED, why.why)
        log.info("call %s ended not_recorded: %s", opening.call_id, why.text)
        now = clock.monotonic_ns()
        while self._explained and self._explained[0] < now - MINUTE_NS:
            self._explained.popleft()
        if len(self._explained) >= MAX_EXPLAINED:
            self._metrics.tap.unexplained.inc()
            return
        self._explained.append(now)
        try:
            await self._store.put(replace(refused(opening, why.text), ended_ns=utc(ended_ns)))
        except Exception:
            log.exception(
                "the record of call %s, which was not recorded, could not be stored", opening.call_id
            )


def _opening(
    started_ns: int, assigned: Assignment, legs: tuple[LegPlan, ...], notes: tuple[str, ...]
) -> Opening:
    return Opening(
        call_id=new_id(),
        segment_id=new_id(),
        recording_id=new_id(),
        started_ns=started_ns,
        started_utc_ns=utc(started_ns),
        direction=assigned.direction,
        participants=assigned.participants,
        legs=legs,
        notes=notes,
    )


def utc(at_ns: int) -> int:
    """A monotonic time as UTC, ns since 1970."""
    return clock.time_ns() - clock.monotonic_ns() + at_ns
