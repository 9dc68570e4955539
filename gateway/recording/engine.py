"""The engine: every tick a batch of datagrams and some commands go in, bytes to append and events come out.

It reads no clock and does no I/O. Audio waits `hold_back_ns` before it is committed. Each call has its turn twice a
second: then what came for it is received, listened to and committed, a share of the calls in each tick, so that blocks are
long and work even. Few calls are one share: what a tick costs by itself is paid twice a second, not ten times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gateway.recording.leg import LiveLeg
from gateway.recording.listening import INBAND, Listening
from gateway.recording.live import LiveCall
from gateway.recording.messages import (
    Answered,
    Close,
    Command,
    Counted,
    Event,
    Join,
    Keyed,
    MediaStopped,
    Open,
    Outcome,
    Press,
    Reformat,
    Refused,
    Split,
    Unreadable,
    Write,
)
from gateway.recording.output import Entropy
from gateway.recording.redacting import Asked
from gateway.recording.together import Share
from gateway.redaction.presses import INFO, Heard
from gateway.redaction.rules import Rules
from gateway.rtp.packets import PacketBatch
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import Tone

SLICE_NS = 500_000_000  # how long a call's audio is collected for one commit
REPORT_NS = 2_000_000_000  # between two tellings of all calls' counts: metrics are scraped less often
FILL = 200  # calls of a share before the next one is begun
RING_SLACK_NS = 1_500_000_000  # what a leg's ring holds beyond the hold-back: a slice, a late tick, jitter


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
        self._shares = [Share(self._table) for _ in range(max(1, SLICE_NS // settings.tick_ns))]
        self._calls: dict[str, LiveCall] = {}
        self._turns: dict[str, int] = {}  # of each call, the number of its share
        self._by_leg: dict[int, tuple[LiveCall, int]] = {}
        self._ticks = 0
        self._reported_ns: int | None = None
        self._faults: Counter[str] = Counter()
        self._keyed: Counter[tuple[str, str]] = Counter()  # keys heard, by call and way
        # That commands and keys caused, until the next tick gives them out.
        self._unwritten: list[Write] = []
        self._untold: list[Event] = []
        self._now = 0
        rules = settings.rules
        self._listening = Listening(self._table, rules.inband, settings.hold_back_ns, self._siblings)

    def legs(self, call_id: str) -> list[int]:
        """The numbers by which batches name a call's legs, in the order of its plan; none of a call that is over."""
        call = self._calls.get(call_id)
        return [leg.number for leg in call.legs] if call else []

    @property
    def turn(self) -> int:
        """Whose turn the next tick is: what has come for the calls of this turn is to be given to it."""
        return (self._ticks + 1) % len(self._shares)

    def turn_of(self, call_id: str) -> int:
        """The turn of a call, as long as it is recorded."""
        return self._turns[call_id]

    @property
    def timed(self) -> bool:
        """Whether some call has keys or a pause of which time makes something; while there is none, ticks may be rare."""
        return any(call.redacting.timed for call in self._calls.values())

    def tick(
        self, now: int, batch: PacketBatch | None = None, commands: Sequence[Command] = ()
    ) -> tuple[list[Write], list[Event]]:
        """Advance to `now` (ns): commands first, then the batch, then what is due."""
        events = self.obey(commands, now)
        if batch is not None and len(batch):
            self.receive(batch, now)
        due = self._shares[self.turn]
        self._ticks += 1
        self._listen(due.calls(), now)
        for call in due.calls():  # what came for the others is not known yet: a key may be among it
            if not call.redacting.idle:
                events += self._acted(call, call.advance(now))
        writes, self._unwritten = self._unwritten, []
        events, self._untold = [*self._untold, *events], []
        writes += self._commit(due, now, events)
        # What was counted apart goes first: it is told no later than the end of the call it came in.
        events = [*self._counted_apart(), *events, *self._report(now)]
        return [write for write in writes if write.data or write.last], events

    def obey(self, commands: Sequence[Command], now: int, batch: PacketBatch | None = None) -> list[Event]:
        """Apply commands, at any time between two ticks, after what came before them; gives what is true then, and the answers."""
        self._now = now
        if batch is not None and len(batch):
            self.receive(batch, now)
        events, self._untold = self._untold, []
        return events + [event for command in commands for event in self._obey(command, now)]

    def receive(self, batch: PacketBatch, now: int | None = None) -> None:
        """Put one batch into the hold-back; a tick may bring several. The time (ns) is that of the last tick, if not told."""
        self._now = self._now if now is None else now
        tones, faults = self._table.receive(batch)
        self._faults += faults
        for tone in tones:
            call, index = self._by_leg[tone.leg]
            self._hear(call, call.legs[index], tone)

    def _hear(self, call: LiveCall, leg: LiveLeg, tone: Tone) -> None:
        """Mask a tone, and act on its key where it is told."""
        call.hear(leg, tone)
        if tone.way != INBAND:
            came = self._table.arrived(tone.leg, tone.slot) or self._now
            self._listening.told(tone, came, leg.lasts_ns(tone))
        if tone.digit is not None:
            self._keyed[call.plan.call_id, tone.way] += 1
            self._untold += self._acted(call, call.heard(leg, tone, self._now))

    def _listen(self, calls: Sequence[LiveCall], now: int, final: bool = False) -> None:
        """Find keys in the audio of some calls, before it is committed."""
        numbers = np.array([leg.number for call in calls for leg in call.legs], np.int64)
        for tone in self._listening.look(numbers, now, final):
            call, index = self._by_leg[tone.leg]
            self._hear(call, call.legs[index], tone)

    def _siblings(self, leg: int) -> list[int]:
        return [each.number for each in self._by_leg[leg][0].legs]

    def abandon(self) -> list[Write]:
        """End every file where it stands; audio still held back is given up."""
        return [write for call in self._calls.values() for write in call.finish()]

    def _obey(self, command: Command, now: int) -> list[Event]:
        if isinstance(command, Open):
            call = LiveCall(command, self._table, self._entropy, self._settings.rules, now)
            self._calls[command.call_id] = call
            self._share_out(call)
            self._by_leg |= {leg.number: (call, index) for index, leg in enumerate(call.legs)}
            return call.redacting.status(now, now)
        if found := self._calls.get(command.call_id):
            return self._change(found, command, now)
        if isinstance(command, Asked) and command.request:
            return [Answered(command.call_id, command.request, Outcome.REFUSED, "the call is over")]
        return []

    def _share_out(self, call: LiveCall) -> None:
        """Give a call its turn."""
        sizes = [len(share) for share in self._shares]
        turn = next((turn for turn, size in enumerate(sizes) if size < FILL), sizes.index(min(sizes)))
        self._shares[turn].add(call)
        self._turns[call.plan.call_id] = turn

    def _change(self, call: LiveCall, command: Command, now: int) -> list[Event]:
        match command:
            case Reformat(_, legs, held, swapped):
                call.reformat(legs, held, swapped, now)
            case Join(_, plan):
                leg = call.join(plan)
                self._by_leg[leg.number] = (call, len(call.legs) - 1)
                self._shares[self._turns[call.plan.call_id]].changed()
            case Split():
                call.split(command)
            case Close(_, at_ns, at_once):
                call.close(at_ns, 0 if at_once else self._settings.hold_back_ns)
            case Press(_, role, digit, at_ns, lasts_ns):
                self._keyed[call.plan.call_id, INFO] += 1
                self._listening.signalled([leg.number for leg in call.legs], digit, at_ns - lasts_ns, at_ns)
                return self._acted(call, call.pressed(Heard(INFO, role, digit, at_ns - lasts_ns, at_ns), now))
            case Open():
                pass
            case _:
                return self._acted(call, call.obey(command, now))
        return call.redacting.status(now, now)

    def _acted(self, call: LiveCall, events: list[Event]) -> list[Event]:
        """What was asked of a call may have been to keep nothing of it."""
        if events and call.discarded:
            self._unwritten += call.discard()
        return events

    def _commit(self, share: Share, now: int, events: list[Event]) -> list[Write]:
        writes: list[Write] = []
        for call in share.calls():
            if call.finish_at is not None and now >= call.finish_at:
                writes += self._finish(call, now, events)
        writes += share.commit(now - self._settings.hold_back_ns, now)
        for call, latest, unreadable in share.remarkable(now - self._settings.timeout_ns):
            events += call.ended_segments()
            if call.unreadable(unreadable):
                events.append(Unreadable(call.plan.call_id))
            idle = now - max(latest, call.awaited_ns) > self._settings.timeout_ns
            call.stopped = call.stopped and idle
            if idle and not (call.stopped or call.held or call.finish_at is not None):
                call.stopped = True
                events.append(MediaStopped(call.plan.call_id))
        return writes

    def _finish(self, call: LiveCall, now: int, events: list[Event]) -> Iterator[Write]:
        self._listen([call], now, final=True)
        yield from call.commit(now, now)
        finished = call.finished(now)
        yield from call.finish()
        # What the last keys caused is told before: of a call that is finished nothing is heard any more.
        events += [*self._untold, *call.ended_segments(), finished]
        self._untold.clear()
        self._forget(call)

    def _forget(self, call: LiveCall) -> None:
        self._faults += Counter(stray=call.release())
        for leg in call.legs:
            del self._by_leg[leg.number]
            self._listening.forget(leg.number)
        del self._calls[call.plan.call_id]
        self._shares[self._turns.pop(call.plan.call_id)].drop(call)

    def _report(self, now: int) -> Iterator[Event]:
        if self._reported_ns is not None and now - self._reported_ns < REPORT_NS:
            return
        self._reported_ns = now
        steady: list[LiveCall] = []
        for call in self._calls.values():
            if report := call.news(now):
                yield report
            else:
                steady.append(call)
        if steady:
            yield self._counted(steady)

    def _counted_apart(self) -> Iterator[Event]:
        """What is rare, and counted since the last tick: datagrams that are no media, and keys."""
        if self._table.senseless:
            self._faults["payload"] += self._table.senseless
            self._table.senseless = 0
        yield from (Refused(kind, count) for kind, count in self._faults.items())
        yield from (Keyed(call_id, way, count) for (call_id, way), count in self._keyed.items())
        self._faults.clear()
        self._keyed.clear()

    def _counted(self, calls: Sequence[LiveCall]) -> Counted:
        legs = [leg.number for call in calls for leg in call.legs]
        return Counted(
            tuple(call.plan.call_id for call in calls),
            tuple(len(call.legs) for call in calls),
            tuple(self._table.counts[legs].ravel().tolist()),
        )
