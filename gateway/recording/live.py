"""One call being recorded: its legs' blocks become a sealed Matroska part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gateway.codecs.registry import Codec, by_name
from gateway.recording.leg import FOREVER, LiveLeg, Placed
from gateway.recording.messages import CallReport, Finished, LegPlan, Open, PayloadFormat, Write
from gateway.recording.model import UNIT_NS, UNITS_PER_SECOND, Redaction, Role
from gateway.rtp.sequence import LegTable
from gateway.rtp.suites import MasterKey
from gateway.storage import container
from gateway.storage.container import MAX_CLUSTER_UNITS, Block, Chapter, Track
from gateway.storage.sealing import PREFIX_BYTES, SALT_BYTES, Sealer

Entropy = Callable[[int], bytes]

# Audio that came in before the BYE may still be on its way when the BYE is here.
RACE_UNITS = UNITS_PER_SECOND
# Sealed audio waits for its segment to fill; after this long a Void fills it.
SEGMENT_WAIT_NS = 500_000_000
LEAST_VOID = 2


class LiveCall:
    """Commits a call; every method returns what is to be appended to its files."""

    def __init__(self, plan: Open, table: LegTable, entropy: Entropy, now: int) -> None:
        self.plan = plan
        self.awaited_ns = now  # media is awaited since: the opening, or the end of a hold
        self.finish_at: int | None = None  # ns, once the call has ended
        self.held = plan.held
        self.stopped = False  # whether its silence has been told of
        self._table = table
        self._entropy = entropy
        self._part = plan.part
        self._sealer: Sealer | None = None
        self._tracks: dict[tuple[Role, Codec], int] = {}
        self._formats: dict[tuple[Role, Codec], None] = {}
        self._waiting_since: int | None = None
        self._end = FOREVER
        self.legs = [
            LiveLeg(table, table.open(*_formats(leg)), leg.role, _preferred(leg), plan.started_ns)
            for leg in plan.legs
        ]
        for live, leg in zip(self.legs, plan.legs, strict=True):
            table.secure(live.number, _keys(leg))
        self._declare(plan.legs)

    def reformat(self, legs: Sequence[LegPlan], held: bool, now: int) -> None:
        for leg, plan in zip(self.legs, legs, strict=False):
            self._table.formats(leg.number, *_formats(plan))
            self._table.secure(leg.number, _keys(plan))
        self._declare(legs)
        if self.held and not held:
            self.awaited_ns = now
        self.held = held

    def close(self, at_ns: int, wait_ns: int) -> None:
        """The call ended; its last audio waits `wait_ns` yet."""
        self.finish_at = at_ns + wait_ns
        self._end = (at_ns - self.plan.started_ns) // UNIT_NS + RACE_UNITS

    def commit(self, arrived_by: int, now: int) -> Iterator[Write]:
        """Append what has waited long enough (ns) in the hold-back."""
        placed = [(leg.role, block) for leg in self.legs for block in leg.commit(arrived_by, self._end)]
        if placed:
            placed.sort(key=lambda pair: pair[1].time)
            yield from self._append(placed, now)
        yield from self._push(now)

    def finish(self) -> Iterator[Write]:
        """End the part that is open, if any."""
        if self._sealer is None:
            return
        chapters = [Chapter(r.start, r.end, f"redaction: {r.cause}") for r in self.redactions()]
        data = self._sealer.write(container.trailer(self._tags(), chapters)) + self._sealer.finish()
        self._sealer = None
        yield self._write(data, last=True)

    def release(self) -> int:
        """Give the legs back; returns how many stray packets they kept."""
        return sum(self._table.close(leg.number) for leg in self.legs)

    def redactions(self) -> tuple[Redaction, ...]:
        return tuple(
            Redaction(span.start, span.stop, (leg.role,), "dtmf")
            for leg in self.legs
            for span in leg.redacted.spans
        )

    def report(self) -> CallReport:
        return CallReport(self.plan.call_id, tuple(leg.report() for leg in self.legs), self.redactions())

    def finished(self) -> Finished:
        next_part = self._part + (self._sealer is not None)
        legs = tuple(leg.report() for leg in self.legs)
        return Finished(self.plan.call_id, self.plan.recording_id, legs, self.redactions(), next_part)

    def last_arrival(self) -> int:
        """When a packet of any leg last came, or else media began to be awaited (ns)."""
        return max([self.awaited_ns, *(int(self._table.last_arrival[leg.number]) for leg in self.legs)])

    def _declare(self, legs: Sequence[LegPlan]) -> None:
        """Codecs that the next part gets tracks for: first each leg's preferred one; and rates of tones."""
        for live, leg in zip(self.legs, legs, strict=False):
            live.event_rates |= zip(leg.events, leg.event_rates, strict=False)
        rank = max((len(leg.formats) for leg in legs), default=0)
        for place in range(rank):
            for leg in legs:
                if place < len(leg.formats):
                    self._formats.setdefault((leg.role, _codec(leg.formats[place])))

    def _append(self, placed: list[tuple[Role, Placed]], now: int) -> Iterator[Write]:
        if any((role, block.codec) not in self._tracks for role, block in placed) or self._sealer is None:
            yield from self.finish()
            yield self._begin()
        assert self._sealer is not None
        blocks = [Block(self._tracks[role, block.codec], block.time, block.payload) for role, block in placed]
        data = b"".join(container.cluster(group) for group in _clusters(blocks))
        sealed = self._sealer.write(data)
        if sealed or self._waiting_since is None:
            self._waiting_since = now
        yield self._write(sealed)

    def _begin(self) -> Write:
        """Start a part under a fresh salt, with a track for every codec known."""
        plan = self.plan
        self._tracks = {pair: number for number, pair in enumerate(self._formats, 1)}
        preferred = {leg.role: leg.codec for leg in self.legs}
        tracks = [_track(number, role, codec, preferred) for (role, codec), number in self._tracks.items()]
        self._sealer = Sealer(
            bytes.fromhex(plan.key),
            plan.recording_id.encode(),
            self._entropy(SALT_BYTES),
            self._entropy(PREFIX_BYTES),
        )
        head = container.header(
            plan.recording_id, plan.call_id, plan.segment_id, self._part, tracks, plan.started_utc_ns
        )
        return self._write(self._sealer.write(head))

    def _push(self, now: int) -> Iterator[Write]:
        """Fill up a segment whose audio has waited too long to be sealed."""
        if self._sealer is None or self._waiting_since is None or not self._sealer.waiting:
            return
        if now - self._waiting_since >= SEGMENT_WAIT_NS:
            self._waiting_since = None
            yield self._write(self._sealer.write(container.void(max(self._sealer.padding(), LEAST_VOID))))

    def _write(self, data: bytes, last: bool = False) -> Write:
        write = Write(self.plan.recording_id, self._part, self.plan.folder, data, last)
        self._part += last
        return write

    def _tags(self) -> dict[str, str]:
        return {
            f"{report.role.upper()}_{name.upper()}": str(getattr(report, name))
            for report in (leg.report() for leg in self.legs)
            for name in ("codec", "packets", "lost", "late", "duplicated")
        }


def _formats(leg: LegPlan) -> tuple[dict[int, Codec], frozenset[int], frozenset[int]]:
    codecs = {form.payload_type: _codec(form) for form in leg.formats}
    return codecs, frozenset(leg.events), frozenset(leg.noise)


def _keys(leg: LegPlan) -> list[MasterKey]:
    return [MasterKey(key.suite, bytes.fromhex(key.secret), bytes.fromhex(key.mki)) for key in leg.keys]


def _preferred(leg: LegPlan) -> Codec:
    return _codec(leg.formats[0])


def _codec(form: PayloadFormat) -> Codec:
    return by_name(form.name, form.clock_rate, form.channels, form.parameters)


def _track(number: int, role: Role, codec: Codec, preferred: dict[Role, Codec]) -> Track:
    return Track(
        number=number,
        role=role,
        codec_id=codec.matroska_id,
        private=codec.private,
        clock_rate=codec.sample_rate,
        channels=codec.channels,
        name=codec.name,
        default=preferred[role] == codec,
        bits=codec.bits,
    )


def _clusters(blocks: list[Block]) -> Iterator[list[Block]]:
    """Split blocks, sorted by time, where a cluster would grow too long."""
    group: list[Block] = []
    for block in blocks:
        if group and block.time - group[0].time > MAX_CLUSTER_UNITS:
            yield group
            group = []
        group.append(block)
    yield group
