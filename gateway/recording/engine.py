"""The engine: every tick a batch of datagrams and some commands go in, bytes to append and events come out.

It reads no clock and does no I/O. Audio waits `hold_back_ns` before it is committed; each call is
committed in every `slices`-th tick, a share of the calls in each, so that blocks are long and work even.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gateway.recording.live import LiveCall
from gateway.recording.messages import (
    Close,
    Command,
    Event,
    Join,
    MediaStopped,
    Open,
    Pause,
    Reformat,
    Refused,
    Resume,
    Split,
    Unreadable,
    Write,
)
from gateway.recording.output import Entropy
from gateway.redaction.rules import Rules
from gateway.rtp.packets import PacketBatch
from gateway.rtp.sequence import LegTable

SLICE_NS = 500_000_000  # how long a call's audio is collected for one commit
REPORT_NS = 1_000_000_000
RING_SLACK_NS = 2_000_000_000  # what a leg's ring holds beyond the hold-back: a slice, a late tick, jitter


@dataclass(frozen=True, slots=True)
class EngineSettings:
    max_legs: int
    hold_back_ns: int
    timeout_ns: int  # of media
    tick_ns: int
    rules: Rules = field(default_factory=Rules)


class Engine:
    """All calls of one worker."""

    def __init__(self, settings: EngineSettings, entropy: Entropy) -> None:
        self._settings = settings
        self._entropy = entropy
        self._table = LegTable(settings.max_legs, settings.hold_back_ns + RING_SLACK_NS)
        self._slices: list[dict[str, LiveCall]] = [{} for _ in range(max(1, SLICE_NS // settings.tick_ns))]
        self._calls: dict[str, LiveCall] = {}
        self._by_leg: dict[int, tuple[LiveCall, int]] = {}
        self._ticks = 0
        self._reported_ns: int | None = None
        self._faults: Counter[str] = Counter()

    def legs(self, call_id: str) -> list[int]:
        """The numbers by which batches name a call's legs, in the order of its plan; none of a call that is over."""
        call = self._calls.get(call_id)
        return [leg.number for leg in call.legs] if call else []

    def tick(
        self, now: int, batch: PacketBatch | None = None, commands: Sequence[Command] = ()
    ) -> tuple[list[Write], list[Event]]:
        """Advance to `now` (ns): commands first, then the batch, then what is due."""
        writes: list[Write] = []
        events: list[Event] = []
        for command in commands:
            self._obey(command, now)
        if batch is not None and len(batch):
            self.receive(batch)
        self._ticks += 1
        due = self._slices[self._ticks % len(self._slices)]
        for call in list(due.values()):
            writes += self._commit(call, now, events)
        events += self._report(now)
        return [write for write in writes if write.data or write.last], events

    def receive(self, batch: PacketBatch) -> None:
        """Put one batch into the hold-back; a tick may bring several."""
        tones, faults = self._table.receive(batch)
        self._faults += faults
        for tone in tones:
            call, index = self._by_leg[tone.leg]
            call.legs[index].hear(tone)

    def abandon(self) -> list[Write]:
        """End every file where it stands; audio still held back is given up."""
        return [write for call in self._calls.values() for write in call.finish()]

    def _obey(self, command: Command, now: int) -> None:
        if isinstance(command, Open):
            call = LiveCall(command, self._table, self._entropy, self._settings.rules, now)
            self._calls[command.call_id] = call
            min(self._slices, key=len)[command.call_id] = call
            self._by_leg |= {leg.number: (call, index) for index, leg in enumerate(call.legs)}
        elif found := self._calls.get(command.call_id):
            self._change(found, command, now)

    def _change(self, call: LiveCall, command: Command, now: int) -> None:
        match command:
            case Reformat(_, legs, held):
                call.reformat(legs, held, now)
            case Join(_, plan):
                leg = call.join(plan)
                self._by_leg[leg.number] = (call, len(call.legs) - 1)
            case Split():
                call.split(command)
            case Pause(legs=roles, at_ns=at_ns):
                call.pause(roles, at_ns)
            case Resume(legs=roles, at_ns=at_ns):
                call.resume(roles, at_ns)
            case Close(_, at_ns, at_once):
                call.close(at_ns, 0 if at_once else self._settings.hold_back_ns)

    def _commit(self, call: LiveCall, now: int, events: list[Event]) -> Iterator[Write]:
        hold_back = self._settings.hold_back_ns
        if call.finish_at is not None and now >= call.finish_at:
            yield from call.commit(now, now)
            finished = call.finished(now)
            yield from call.finish()
            events += [*call.ended_segments(), finished]
            self._forget(call)
            return
        yield from call.commit(now - hold_back, now)
        events += call.ended_segments()
        if call.unreadable():
            events.append(Unreadable(call.plan.call_id))
        idle = now - call.last_arrival() > self._settings.timeout_ns
        call.stopped = call.stopped and idle
        if idle and not (call.stopped or call.held or call.finish_at is not None):
            call.stopped = True
            events.append(MediaStopped(call.plan.call_id))

    def _forget(self, call: LiveCall) -> None:
        self._faults += Counter(stray=call.release())
        for leg in call.legs:
            del self._by_leg[leg.number]
        del self._calls[call.plan.call_id]
        for share in self._slices:
            share.pop(call.plan.call_id, None)

    def _report(self, now: int) -> Iterator[Event]:
        if self._reported_ns is not None and now - self._reported_ns < REPORT_NS:
            return
        self._reported_ns = now
        yield from (call.report(now) for call in self._calls.values())
        yield from (Refused(kind, count) for kind, count in self._faults.items())
        self._faults.clear()
