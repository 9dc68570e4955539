"""One call being recorded: its legs' blocks go to the recording of the segment they belong to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gateway.codecs.registry import Codec, by_name
from gateway.recording.leg import FOREVER, LiveLeg, Placed
from gateway.recording.messages import (
    CallReport,
    Event,
    Finished,
    LegPlan,
    Open,
    PayloadFormat,
    SegmentEnded,
    Split,
    Write,
)
from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, Cause, LegReport, Redaction, Role
from gateway.recording.output import Entropy, Identity, Output
from gateway.recording.redacting import Asked, Redacting
from gateway.redaction.presses import Heard
from gateway.redaction.rules import Rules
from gateway.redaction.timeline import Span, Timeline
from gateway.rtp.sequence import LegTable
from gateway.rtp.suites import MasterKey
from gateway.rtp.tones import Tone
from gateway.storage.container import Chapter

# Audio that came in before the BYE, or before a segment ended, may still be on its way when we hear of that.
RACE_UNITS = UNITS_PER_SECOND
# Half a second of 20 ms packets: more than are under way when a key changes.
UNREADABLE_PACKETS = 25
# Masks of a leg that its call's record tells apart: beyond a dozen card numbers the closest count as one.
MAX_TONES = 256


class LiveCall:
    """Commits a call; what its methods yield is to be appended to its files."""

    def __init__(self, plan: Open, table: LegTable, entropy: Entropy, rules: Rules, now: int) -> None:
        self.plan = plan
        self.rules = rules
        self.redacting = Redacting(plan, rules, now)
        self.awaited_ns = now  # media is awaited since: the opening, or the end of a hold
        self.finish_at: int | None = None  # ns, once the call has ended
        self.held, self.swapped = plan.held, plan.swapped
        self._told_unreadable = False
        self.stopped = False  # whether its silence has been told of
        self._table = table
        self._entropy = entropy
        self._formats: dict[tuple[Role, Codec], None] = {}
        self._end = FOREVER
        identity = Identity(
            plan.call_id,
            plan.segment_id,
            plan.recording_id,
            bytes.fromhex(plan.key),
            plan.folder,
            plan.started_utc_ns,
        )
        # The last is the present segment's; those before it wait for the last of their audio.
        self._outputs = [Output(identity, plan.part, plan.segment_start, self._formats, entropy)]
        self._at_split: dict[str, tuple[LegReport, ...]] = {}  # by recording
        self._ended: list[SegmentEnded] = []
        self.version = 0  # of all that decides how its stretches are committed
        self._told: tuple[object, ...] = ()  # what the last report was made of, besides counts
        self._masks: tuple[list[Timeline], tuple[Redaction, ...]] = [], ()
        self.legs = [self._leg(leg) for leg in plan.legs]
        self._declare(plan.legs)

    def touch(self) -> None:
        """Something of the call changes, or is asked: look at all that went on as it did until now."""
        self.version += 1
        for leg in self.legs:
            if units := leg.catch_up():
                self._outputs[0].units[leg.role] += units

    def hear(self, leg: LiveLeg, tone: Tone) -> None:
        """Mask a tone when it is committed."""
        self.touch()
        leg.hear(tone)

    def join(self, plan: LegPlan) -> LiveLeg:
        """Another leg."""
        self.touch()
        self.redacting.roles.append(plan.role)
        leg = self._leg(plan)
        self.legs.append(leg)
        self._declare([plan])
        return leg

    def _leg(self, plan: LegPlan) -> LiveLeg:
        number = self._table.open(*_formats(plan), aside=plan.flow is not None)
        leg = LiveLeg(
            self._table, number, plan.role, _preferred(plan), self.plan.started_ns, self.rules.guard_ns
        )
        leg.borders = tuple(output.start for output in self._outputs[1:])
        leg.reached = self.plan.reached
        self._cut(leg)
        self._fit(leg, plan)
        return leg

    def _fit(self, leg: LiveLeg, plan: LegPlan) -> None:
        """What a leg has of its plan besides its formats: keys, and rates of tones."""
        self._table.secure(leg.number, _keys(plan))
        leg.event_rates |= zip(plan.events, plan.event_rates, strict=False)

    def reformat(self, legs: Sequence[LegPlan], held: bool, swapped: bool, now: int) -> None:
        self.touch()
        for leg, plan in zip(self.legs, legs, strict=False):
            self._table.formats(leg.number, *_formats(plan))
            self._fit(leg, plan)
        self._declare(legs)
        if self.held and not held:
            self.awaited_ns, self.stopped = now, False  # the time to wait for media begins anew
        self.held, self.swapped = held, swapped

    def split(self, command: Split) -> None:
        """Audio from a time on belongs to a segment of its own; late packets still find the one before."""
        self.touch()
        before = self._outputs[-1]
        before.stop = max(before.start, self._units(command.at_ns))
        identity = replace(
            before.identity,
            segment_id=command.segment_id,
            recording_id=command.recording_id,
            key=bytes.fromhex(command.key),
        )
        self._at_split[before.identity.recording_id] = tuple(leg.report() for leg in self.legs)
        self._outputs.append(Output(identity, 1, before.stop, self._formats, self._entropy))
        for leg in self.legs:
            leg.borders = (*leg.borders, before.stop)

    def obey(self, asked: Asked, now: int) -> list[Event]:
        """Do what is asked of the recording; gives what is true now, and the answer."""
        return self._fitted(self.redacting.obey(asked, now, self._reached()), now)

    def heard(self, leg: LiveLeg, tone: Tone, now: int) -> list[Event]:
        """A leg's tone told which key it is."""
        came = self._table.arrived(leg.number, tone.slot) or now
        start, digit = came - leg.lasts_ns(tone), tone.digit
        assert digit is not None
        return self.pressed(Heard(tone.way, leg.role, digit, start, came), now)

    def pressed(self, heard: Heard, now: int) -> list[Event]:
        """Act on a key heard on a leg, or of it, in whatever way; gives what is true now."""
        if self.swapped and heard.role:
            heard = replace(heard, role=heard.role.other)
        return self._fitted(self.redacting.pressed(heard, now, self._reached()), now)

    def advance(self, now: int) -> list[Event]:
        """End the pauses that end by themselves, and warn before; gives what is true now."""
        return self._fitted(self.redacting.advance(now, self._reached()), now)

    def _reached(self) -> dict[Role, int]:
        self.touch()
        return {leg.role: leg.reached for leg in self.legs}

    def _fitted(self, events: list[Event], now: int) -> list[Event]:
        """What became of the redactions is true of the legs, and on record, before anybody is told of it."""
        if not events:
            return events
        for leg in self.legs:
            self._cut(leg)
        return [self.report(now), *events]

    def _cut(self, leg: LiveLeg) -> None:
        leg.cut, leg.shut = self.redacting.pauses.cut(leg.role), self.redacting.pauses.shut(leg.role)

    def close(self, at_ns: int, wait_ns: int) -> None:
        """The call ended; its last audio waits `wait_ns` yet."""
        self.touch()
        self.finish_at = at_ns + wait_ns
        self._end = self._units(at_ns) + RACE_UNITS

    @property
    def discarded(self) -> bool:
        """Whether nothing of the call is kept, neither what came before nor what comes yet."""
        return self.redacting.pauses.discarded

    def discard(self) -> Iterator[Write]:
        """Forget what waits in the hold-back, and end every file where it stands."""
        self.touch()
        for leg in self.legs:
            self._table.wipe(leg.number)
        for output in self._outputs:
            yield from output.abandon()

    def commit(self, arrived_by: int, now: int) -> Iterator[Write]:
        """Append what has waited long enough (ns) in the hold-back."""
        self.touch()
        if self.discarded:
            arrived_by = now
            yield from self.discard()
        placed = [(leg.role, block) for leg in self.legs for block in leg.commit(arrived_by, self._end)]
        if placed:
            placed.sort(key=lambda pair: pair[1].time)
            preferred = {leg.role: leg.codec for leg in self.legs}
            for output, blocks in self._by_output(placed):
                yield from output.append(blocks, self._trailer, preferred, now)
        while len(self._outputs) > 1 and self._units(arrived_by) >= self._outputs[0].stop + RACE_UNITS:
            yield from self._end_segment()
        for output in self._outputs:
            yield from output.push(now)

    @property
    def sole_output(self) -> Output | None:
        """Where all that is kept goes, while there is but one such recording."""
        return self._outputs[0] if len(self._outputs) == 1 and not self.discarded else None

    @property
    def end(self) -> int:
        """Call time after which nothing is kept."""
        return self._end

    def finish(self) -> Iterator[Write]:
        """End every part that is open."""
        self.touch()
        while len(self._outputs) > 1:
            yield from self._end_segment()
        yield from self._outputs[0].finish(self._trailer)

    def release(self) -> int:
        """Give the legs back; returns how many stray packets they kept."""
        return sum(self._table.close(leg.number) for leg in self.legs)

    def ended_segments(self) -> list[SegmentEnded]:
        """The segments that ended since this was last asked."""
        ended, self._ended = self._ended, []
        return ended

    def redactions(self, until: int, ended: bool = False) -> tuple[Redaction, ...]:
        """What is not kept, with a pause that is open ending at `until` (call units)."""
        return (*self._masked(), *self.redacting.redactions(until, ended))

    def _masked(self) -> tuple[Redaction, ...]:
        """The tones' masks; those that change nothing since they were last asked for are not gathered again."""
        masks = [leg.mask for leg in self.legs]
        if masks != self._masks[0]:
            tones: dict[Span, list[Role]] = {}
            for leg in self.legs:
                for span in leg.mask.bounded(MAX_TONES).spans:
                    tones.setdefault(span, []).append(leg.role)
            redactions = (
                Redaction(span.start, span.stop, tuple(legs), Cause.DTMF) for span, legs in tones.items()
            )
            self._masks = masks, tuple(redactions)
        return self._masks[1]

    def report(self, now: int) -> CallReport:
        self._told = self._besides_counts()
        legs = tuple(leg.report() for leg in self.legs)
        redactions, markers = self.redactions(self._until(now)), tuple(self.redacting.markers)
        return CallReport(self.plan.call_id, legs, redactions, markers)

    def news(self, now: int) -> CallReport | None:
        """The report, where it would tell more than other counts: of a pause that lasts, how far it goes."""
        alike = self._told == self._besides_counts() and not self.redacting.pauses.open
        return None if alike else self.report(now)

    def _besides_counts(self) -> tuple[object, ...]:
        pauses = self.redacting.pauses
        codecs = tuple(leg.codec.name for leg in self.legs)
        return codecs, self._masked(), pauses.ended, len(self.redacting.markers)

    def finished(self, now: int) -> Finished:
        last = self._outputs[-1]
        legs = tuple(leg.report() for leg in self.legs)
        redactions, markers = self.redactions(self._until(now), ended=True), tuple(self.redacting.markers)
        return Finished(
            self.plan.call_id, last.identity.recording_id, legs, redactions, last.next_part, markers
        )

    def unreadable(self, packets: int) -> bool:
        """Whether, as is not told before, a leg's stream has come under a key nobody knows for so many packets."""
        told, self._told_unreadable = self._told_unreadable, packets >= UNREADABLE_PACKETS
        return self._told_unreadable and not told

    def _units(self, at_ns: int) -> int:
        return max(0, (at_ns - self.plan.started_ns) // UNIT_NS)

    def _until(self, now: int) -> int:
        return min(self._units(now), self._end - RACE_UNITS)

    def _declare(self, legs: Sequence[LegPlan]) -> None:
        """Codecs that the next part gets tracks for: first each leg's preferred one."""
        rank = max((len(leg.formats) for leg in legs), default=0)
        for place in range(rank):
            for leg in legs:
                if place < len(leg.formats):
                    self._formats.setdefault((leg.role, _codec(leg.formats[place])))

    def _by_output(
        self, placed: list[tuple[Role, Placed]]
    ) -> Iterator[tuple[Output, list[tuple[Role, Placed]]]]:
        """Blocks, none of which lies across the end of a segment, with the recording each belongs to."""
        first = self._outputs[0]
        if len(self._outputs) == 1:
            yield first, placed
            return
        for output in self._outputs:
            blocks = [
                pair
                for pair in placed
                if (output is first or pair[1].time >= output.start) and pair[1].time < output.stop
            ]
            if blocks:
                yield output, blocks

    def _end_segment(self) -> Iterator[Write]:
        output = self._outputs[0]
        next_part = output.next_part
        yield from output.finish(self._trailer)
        del self._outputs[0]
        recording_id = output.identity.recording_id
        reports = self._until_split(self._at_split.pop(recording_id))
        self._ended.append(SegmentEnded(self.plan.call_id, recording_id, reports, next_part))

    def _until_split(self, reports: Sequence[LegReport]) -> tuple[LegReport, ...]:
        """What the legs counted up to the end of the segment that just ended, its late losses and audio with it."""
        totals = {leg.role: leg.report() for leg in self.legs}
        later = {role: sum(output.units[role] for output in self._outputs) for role in totals}
        return tuple(
            replace(
                report,
                lost=totals[report.role].lost,
                media_units=totals[report.role].media_units - later[report.role],
            )
            for report in reports
        )

    def _trailer(self, output: Output) -> tuple[Mapping[str, str], Sequence[Chapter]]:
        start, stop = output.start, min(output.stop, self._end)
        chapters = [
            Chapter(max(r.start, start), min(r.end, stop), f"redaction: {r.cause}")
            for r in self.redactions(stop)
            if r.start < stop and r.end > start
        ]
        chapters += [
            Chapter(marker.at, marker.at + 1, f"marker: {marker.kind}")
            for marker in self.redacting.markers
            if start <= marker.at < stop
        ]
        return self._tags(), chapters

    def _tags(self) -> dict[str, str]:
        return {
            f"{report.role.upper()}_{name.upper()}": str(getattr(report, name))
            for report in (leg.report() for leg in self.legs)
            for name in ("codec", "packets", "lost", "late", "duplicated")
        }


def _formats(leg: LegPlan) -> tuple[dict[int, Codec], frozenset[int], frozenset[int], frozenset[int]]:
    codecs = {form.payload_type: _codec(form) for form in (*leg.besides, *leg.formats)}
    return codecs, frozenset(leg.events), frozenset(leg.noise), frozenset(leg.redundant)


def _keys(leg: LegPlan) -> list[MasterKey]:
    return [MasterKey(key.suite, bytes.fromhex(key.secret), bytes.fromhex(key.mki)) for key in leg.keys]


def _preferred(leg: LegPlan) -> Codec:
    return _codec(leg.formats[0])


def _codec(form: PayloadFormat) -> Codec:
    return by_name(form.name, form.clock_rate, form.channels, form.parameters)
