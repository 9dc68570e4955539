"""One recording being written: its blocks become sealed Matroska parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.codecs.registry import Codec
from gateway.recording.leg import FOREVER, Placed
from gateway.recording.messages import Write
from gateway.recording.model import Role
from gateway.storage import container
from gateway.storage.container import MAX_CLUSTER_UNITS, Block, Chapter, Track
from gateway.storage.sealing import PREFIX_BYTES, SALT_BYTES, Sealer

Entropy = Callable[[int], bytes]
Formats = dict[tuple[Role, Codec], None]  # every leg and codec known, the preferred ones first

# Sealed audio waits for its segment to fill; after this long a Void fills it.
SEGMENT_WAIT_NS = 500_000_000
LEAST_VOID = 2


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose audio it is, and where it goes."""

    call_id: str
    segment_id: str
    recording_id: str
    key: bytes = field(repr=False)
    folder: str
    started_utc_ns: int  # of the call


class Output:
    """Every method gives what is to be appended to the recording's files."""

    def __init__(self, identity: Identity, part: int, start: int, formats: Formats, entropy: Entropy) -> None:
        self.identity = identity
        self.start, self.stop = start, FOREVER  # on the call clock
        self.units: Counter[Role] = Counter()  # audio written of each leg
        self._part = part
        self._formats = formats
        self._entropy = entropy
        self._sealer: Sealer | None = None
        self._tracks: dict[tuple[Role, Codec], int] = {}
        self._waiting_since: int | None = None
        self._lanes: dict[
            int, tuple[Codec | None, int | None]
        ] = {}  # by leg: its codec and the track of that

    @property
    def next_part(self) -> int:
        """One above the last part begun."""
        return self._part + (self._sealer is not None)

    def append(
        self, placed: Sequence[tuple[Role, Placed]], end: TrailerOf, preferred: Mapping[Role, Codec], now: int
    ) -> Iterator[Write]:
        """Add blocks in order of time. A codec that has no track yet ends the part with `end` and begins another."""
        if any((role, block.codec) not in self._tracks for role, block in placed) or self._sealer is None:
            for role, block in placed:  # that was not agreed on is known when it comes
                self._formats.setdefault((role, block.codec))
            yield from self.finish(end)
            yield self._begin(preferred)
        assert self._sealer is not None
        blocks = [Block(self._tracks[role, block.codec], block.time, block.payload) for role, block in placed]
        for role, block in placed:
            self.units[role] += block.units
        yield self.add(b"".join(container.cluster(group) for group in _clusters(blocks)), now)

    def track(self, leg: int, role: Role, codec: Codec) -> int | None:
        """The number of a leg's track in the part that is open, if it has one."""
        known, track = self._lanes.get(leg, (None, None))
        if known is not codec:
            track = self._tracks.get((role, codec)) if self._sealer is not None else None
            self._lanes[leg] = codec, track
        return track

    def push(self, now: int) -> list[Write]:
        """Fill up a segment whose audio has waited too long to be sealed."""
        if self._waiting_since is None or now - self._waiting_since < SEGMENT_WAIT_NS:
            return []
        if self._sealer is None or not self._sealer.waiting:
            return []
        self._waiting_since = None
        return [self._write(self._sealer.write(container.void(max(self._sealer.padding(), LEAST_VOID))))]

    def add(self, data: bytes | memoryview, now: int) -> Write:
        """Add clusters, whose blocks are of codecs that have tracks and are counted in `units` by the caller."""
        assert self._sealer is not None
        sealed = self._sealer.write(data)
        if sealed or self._waiting_since is None:
            self._waiting_since = now
        return self._write(sealed)

    def finish(self, end: TrailerOf) -> Iterator[Write]:
        """End the part that is open, if any."""
        if self._sealer is None:
            return
        data = self._sealer.write(container.trailer(*end(self))) + self._sealer.finish()
        self._sealer = None
        self._lanes.clear()
        yield self._write(data, last=True)

    def abandon(self) -> Iterator[Write]:
        """End the part that is open, if any, where it stands: not an octet more is written."""
        if self._sealer is not None:
            self._sealer = None
            self._lanes.clear()
            yield self._write(b"", last=True)

    def _begin(self, preferred: Mapping[Role, Codec]) -> Write:
        """Start a part under a fresh salt, with a track for every codec known."""
        mine = self.identity
        self._lanes.clear()
        self._tracks = {pair: number for number, pair in enumerate(self._formats, 1)}
        tracks = [_track(number, role, codec, preferred) for (role, codec), number in self._tracks.items()]
        salt, prefix = self._entropy(SALT_BYTES), self._entropy(PREFIX_BYTES)
        self._sealer = Sealer(mine.key, mine.recording_id.encode(), salt, prefix)
        head = container.header(
            mine.recording_id, mine.call_id, mine.segment_id, self._part, tracks, mine.started_utc_ns
        )
        return self._write(self._sealer.write(head))

    def _write(self, data: bytes, last: bool = False) -> Write:
        write = Write(self.identity.recording_id, self._part, self.identity.folder, data, last)
        self._part += last
        return write


TrailerOf = Callable[[Output], tuple[Mapping[str, str], Sequence[Chapter]]]


def _track(number: int, role: Role, codec: Codec, preferred: Mapping[Role, Codec]) -> Track:
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
