"""What the media workers say of the calls they record, and what a worker that replaces one is told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from gateway.io import clock
from gateway.io.alarms import Alarms
from gateway.io.append import AppendFailed, PartEnded, Synced
from gateway.io.channel import Message, Ready, Ticked
from gateway.io.controls import RunningControls
from gateway.io.metrics import Metrics
from gateway.io.room import Room
from gateway.io.running import Running
from gateway.io.running_call import Live
from gateway.io.settling import Settling
from gateway.io.store import Store
from gateway.io.tap_messages import AudioAlone, Passed, TapMessage, TapReport, Unfollowed
from gateway.recording.assurance import Why
from gateway.recording.call import Phase
from gateway.recording.messages import (
    Answered,
    CallReport,
    Close,
    Command,
    Counted,
    Finished,
    Keyed,
    LateRedaction,
    MediaStopped,
    Open,
    Refused,
    SegmentEnded,
    Status,
    Unreadable,
)
from gateway.recording.model import UNIT_NS, LegReport, Part

log = logging.getLogger(__name__)

Change = tuple[LegReport, LegReport]  # before and now

CHECKPOINT_SECONDS = 5.0
COUNTS = 5  # numbers of a LegReport
MAX_SAVED = 100  # records written again in one checkpoint: signing them all at once would hold up new calls


class Progress:
    """Brings calls, metrics and index up to date as the workers go on."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        room: Room,
        running: Running,
        settling: Settling,
        controls: RunningControls,
        alarms: Alarms,
        silent: Callable[[Live], None],
        late: Callable[[Live, LateRedaction], None],
        hold_back_ns: int,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._room = room
        self._running = running
        self._settling = settling
        self._controls = controls
        self._alarms = alarms
        self._hold_back_ns = hold_back_ns
        self._lost_ns: dict[int, int] = {}  # when a worker of each number last died
        self._silent = silent  # is told of a call on which no media comes
        self._late = late  # is told what is to be cut
        self.overheard: list[Callable[[TapMessage], None]] = []  # are told what is heard of taps
        self._reported: dict[str, Live] = {}  # since the last checkpoint
        self._paused: dict[str, Live] = {}  # or otherwise changed, and not saved since

    def heard(self, worker: int, message: Message) -> None:
        """Act on what a media worker says."""
        self._controls.heard(worker)
        match message:
            case CallReport() | Finished():
                self._report(message)
            case Counted():
                self._counted(message)
            case SegmentEnded(call_id):
                if live := self._running.call(call_id):
                    live.call.end_segment(message)
                    self._settling.if_done(live)
            case Unreadable(call_id):
                if live := self._running.call(call_id):
                    live.call.problem("audio came under a key that the client had not told", Why.UNREADABLE)
            case MediaStopped(call_id):
                if live := self._running.call(call_id):
                    self._silent(live)
            case Status(call_id):
                self._controls.said(message)
                if (live := self._running.call(call_id)) and (message.open or live.paused_before):
                    self._paused[call_id] = live
            case Answered():
                self._controls.answered(message)
            case Keyed():
                self._alarms.keyed(message)
            case LateRedaction(call_id):
                self._alarms.late(message)
                if live := self._running.call(call_id):
                    self._late(live, message)
            case PartEnded(recording_id, number, size, sha256):
                if live := self._running.of_recording(recording_id):
                    live.call.end_part(recording_id, Part(number, size, sha256))
                    self._settling.if_done(live)
            case AppendFailed(recording_id, number, problem):
                self._append_failed(recording_id, number, problem)
            case Passed() | Unfollowed() | AudioAlone() | TapReport():
                for hear in self.overheard:
                    hear(message)
            case _:
                self._heard_of_worker(worker, message)

    def _heard_of_worker(self, worker: int, message: Message) -> None:
        """What it says of itself, and of no call."""
        match message:
            case Refused(kind, number):
                self._metrics.media_refused.labels(kind).inc(number)
            case Ticked():
                self._metrics.ticked(worker, message, self._running.of_worker(worker))
                self._room.ticked(worker, message)
            case Synced():
                self._metrics.synced(message)
                if message.problem:
                    log.error("the storage could not be made durable: %s", message.problem)
            case Ready(locked):
                self._room.ready(worker)
                self._metrics.memory_locked.labels(worker).set(locked)
                if not locked:
                    log.warning(
                        "memory cannot be locked: audio that waits could be swapped out; see hushtap doctor"
                    )

    def worker_lost(self, worker: int) -> None:
        self._lost_ns[worker] = clock.monotonic_ns()
        self._metrics.worker_lost(worker)
        self._room.lost(worker)
        self._controls.lost(worker)

    def resume(self, worker: int) -> Iterator[tuple[Command, Sequence[int]]]:
        """What the next worker is told: every call of the last one that is not committed to its end, in a new part."""
        now = clock.monotonic_ns()
        for live in self._running:
            if live.worker != worker:
                continue
            call = live.call
            if call.phase not in (Phase.RECORDING, Phase.CLOSING):
                self._settling.if_done(live, worker_lost=True)
                continue
            call.worker_lost(self._store.next_parts(call), now)
            plan = call.plan(live.key, str(self._store.folder(call.opening)))
            plan = replace(
                plan,
                redactions=live.redactions(),
                ended=call.ended_pauses(),
                reached=self._reached(plan, worker),
            )
            yield plan, live.handles()
            for requested in live.asked.values():
                yield requested.command, ()
            if call.phase is Phase.CLOSING:
                yield Close(call.id, now), ()

    def _reached(self, plan: Open, worker: int) -> int:
        """Up to where the worker that died may have committed: what a request covers before is to be cut."""
        return max(0, (self._lost_ns[worker] - self._hold_back_ns - plan.started_ns) // UNIT_NS)

    async def checkpoint_forever(self) -> None:
        """Keep the index's counts of running calls near the truth."""
        while True:
            await asyncio.sleep(CHECKPOINT_SECONDS)
            reported, self._reported = self._reported, {}
            reports = {
                call_id: live.call.leg_reports()
                for call_id, live in reported.items()
                if self._running.call(call_id)
            }
            try:
                await self._store.checkpoint(reports, clock.time_ns())
                await self._save()
            except Exception:
                log.exception("the index could not be brought up to date")

    async def _save(self) -> None:
        """Write who paused which calls: a crash of the gateway itself does not hide it."""
        for call_id in list(self._paused)[:MAX_SAVED]:
            live = self._paused.pop(call_id)
            try:
                async with live.saving:
                    if self._running.call(call_id) and not live.settling:
                        await self._store.put(live.call.facts())
            except Exception:
                self._paused[call_id] = live  # is tried again at the next checkpoint
                raise

    def _report(self, report: CallReport | Finished) -> None:
        live = self._running.call(report.call_id)
        if live is None:
            return
        self._metrics.legs(self._grown(live, live.call.report(report), clock.monotonic_ns()))
        if isinstance(report, Finished):
            live.call.drain(report)
            self._settling.if_done(live)

    def _counted(self, counted: Counted) -> None:
        heard_ns, stop = clock.monotonic_ns(), 0
        rows = list(zip(*[iter(counted.counts)] * COUNTS, strict=True))
        changes: list[Change] = []
        for call_id, legs in zip(counted.calls, counted.legs, strict=True):
            start, stop = stop, stop + legs
            if live := self._running.call(call_id):
                changes += self._grown(live, live.call.count(rows[start:stop]), heard_ns)
        self._metrics.legs(changes)

    def _grown(self, live: Live, changes: list[Change], heard_ns: int) -> list[Change]:
        """Note which legs of a call carry packets; gives the changes."""
        for before, now in changes:
            if now.packets > before.packets:
                live.heard_ns[now.role] = heard_ns
        self._reported[live.call.id] = live
        return changes

    def _append_failed(self, recording_id: str, number: int, problem: str) -> None:
        self._metrics.append_failures.inc()
        log.error("recording %s part %d could not be written on: %s", recording_id, number, problem)
        if live := self._running.of_recording(recording_id):
            live.call.problem(f"storage failed: {problem}", Why.STORAGE)
            live.call.tear(recording_id, number)
            self._settling.if_done(live)
