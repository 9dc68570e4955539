"""Runs legs without calls: datagrams in ticks of any length go in, placed payload and counts come out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

from gateway.codecs.registry import Codec, by_name
from gateway.recording.leg import FOREVER, LiveLeg, Placed
from gateway.recording.model import LegReport, Role
from gateway.redaction.timeline import Timeline
from gateway.rtp.sequence import LegTable
from tests.recording.simulation import HOLD_BACK, MS, SECOND, Datagram, batch

STARTED = 100 * SECOND
CODECS = {8: by_name("PCMA", 8000), 0: by_name("PCMU", 8000)}
EVENTS = frozenset({101})
NOTHING = Timeline()


@dataclass
class Heard:
    """What became of one leg's datagrams."""

    blocks: list[Placed] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    reached: int = 0
    report: LegReport = field(default_factory=lambda: LegReport(Role.EXTERNAL, "PCMA"))

    @property
    def audio(self) -> bytes:
        return b"".join(block.payload for block in self.blocks)

    @property
    def counts(self) -> tuple[int, int, int, int]:
        report = self.report
        return report.packets, report.lost, report.late, report.duplicated

    @property
    def octets(self) -> dict[int, int]:
        """Each unit of the call clock that has audio, and its octet."""
        return {block.time + at: octet for block in self.blocks for at, octet in enumerate(block.payload)}


def listen(
    datagrams: Iterable[Datagram],
    ticks: Sequence[int] = (100 * MS,),
    table: LegTable | None = None,
    *,
    codecs: Mapping[int, Codec] = CODECS,
    cut: Timeline = NOTHING,
    shut: Timeline = NOTHING,
    guard_ns: int = 0,
) -> Heard:
    """One leg until its last datagram has waited; `ticks` (ns) are gone through again and again."""
    table = table or LegTable(4, HOLD_BACK + 2 * SECOND)
    number = table.open(codecs, EVENTS)
    leg = LiveLeg(table, number, Role.EXTERNAL, next(iter(codecs.values())), STARTED, guard_ns)
    leg.cut, leg.shut = cut, shut
    queue = sorted(datagrams, key=lambda datagram: datagram.arrival)
    heard, now, at = Heard(), 0, 0
    lengths = cycle(ticks)
    while at < len(queue):
        now += next(lengths)
        stop = at
        while stop < len(queue) and queue[stop].arrival <= now:
            stop += 1
        for start in range(at, stop, 256):
            tones, faults = table.receive(batch(queue[start : min(stop, start + 256)], [number], STARTED))
            heard.faults += faults
            for tone in tones:
                leg.hear(tone)
        at = stop
        heard.blocks += leg.commit(STARTED + now - HOLD_BACK, FOREVER)
    heard.blocks += leg.commit(STARTED + now, FOREVER)
    heard.report, heard.reached = leg.report(), leg.reached
    heard.faults["stray"] += table.close(number)
    heard.faults = +heard.faults
    return heard
