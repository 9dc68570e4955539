"""What a run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench.load import Load

PUT_OFF = 0.1  # share of ticks
LATE_MS = 200.0  # of the generator: packets that leave so late are another load than was asked for


@dataclass(frozen=True, slots=True)
class Course:
    """What a run is to do."""

    calls: int
    seconds: float  # of each window that is measured
    load: Load = field(default_factory=Load)
    pairs: int = 3  # of windows, the floor's and the gateway's in turn
    rate: float = 50.0  # calls set up a second
    inband: str = "never"  # on which legs the gateway looks for tones: its setting
    halfway: bool = True  # whether memory is measured with half of the calls, too
    peers: bool = False  # whether others that are installed are measured, too
    tap: bool = False  # whether the calls are overheard at a mirrored port


@dataclass(frozen=True, slots=True)
class Window:
    """One side in one window."""

    seconds: float
    cpu: dict[str, float]  # seconds, by process

    def cost(self, calls: int) -> float:
        """CPU milliseconds per call-second."""
        return 1000 * sum(self.cpu.values()) / calls / self.seconds


@dataclass(frozen=True, slots=True)
class Taken:
    """Packets, as all sides count them."""

    delivered: int  # by the generator
    packets: int  # taken by the gateway
    lost: int  # that the gateway says never came, those lost on purpose included
    late: int
    stored_seconds: float  # of audio, all legs
    wrong: int  # recordings that are not authentic
    states: dict[str, int]  # of calls

    @property
    def missing(self) -> int:
        """That were delivered and are not in a recording."""
        return max(0, self.delivered - self.packets) + self.late


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Percentiles:
        if not values:
            return cls(None, None)
        p50, p99 = np.quantile(values, (0.5, 0.99))
        return cls(round(float(p50), 2), round(float(p99), 2))


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's result. None: not measured."""

    course: Course
    gateway: Sequence[Window]
    floor: Sequence[Window]
    taken: Taken
    floor_missing: int  # packets that the floor lost
    rss_base: int  # bytes, all processes, with the first calls alone
    rss: dict[int, int]  # by calls besides these
    setup_ms: Percentiles
    ack_ms: Percentiles
    tick_late_ms: float | None  # the upper end of the bucket of the worst tick; None: beyond all buckets
    ticks: float  # share of the ticks due in the windows that were run; less than 1: work was put off
    bytes_per_second: float
    flushes_per_second: float
    flush_ms: float  # of one, the mean: what the disk, and all others that write to it, cost
    sender_late_ms: dict[str, float]  # at worst of all windows
    sender_cost: float  # CPU milliseconds per call-second
    load_average: float
    peers: dict[str, Sequence[Window]] = field(default_factory=dict)
    peers_sent: dict[str, int] = field(default_factory=dict)  # packets, by name
    peers_kept: dict[str, int] = field(default_factory=dict)  # that are in their files
    tap_dropped: int | None = None  # frames that the kernel dropped before a tap; None: there was none

    @property
    def cost(self) -> float:
        return median(window.cost(self.course.calls) for window in self.gateway)

    @property
    def floor_cost(self) -> float:
        return median(window.cost(self.course.calls) for window in self.floor)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios: what disturbs one pair does not decide."""
        calls = self.course.calls
        pairs = zip(self.gateway, self.floor, strict=True)
        return median(mine.cost(calls) / floor.cost(calls) for mine, floor in pairs)

    @property
    def behind(self) -> bool:
        """Whether so much was put off that the windows hold less than their work: the machine had too much else to do."""
        return self.ticks < 1 - PUT_OFF or self.sender_late_ms["p99"] > LATE_MS

    @property
    def rss_per_call(self) -> int:
        calls = max(self.rss)
        return (self.rss[calls] - self.rss_base) // calls

    def peer_ratio(self, name: str) -> float:
        """How many times the gateway's cost a peer's is, pair by pair."""
        calls = self.course.calls
        pairs = zip(self.gateway, self.peers[name], strict=True)
        return median(theirs.cost(calls) / mine.cost(calls) for mine, theirs in pairs)

    def peer_loss(self, name: str) -> float:
        """Share of the packets that a peer got and did not keep."""
        return max(0.0, 1 - self.peers_kept[name] / max(1, self.peers_sent[name]))

    def by_process(self) -> dict[str, float]:
        """CPU milliseconds per call-second of each process of the gateway, all windows together."""
        seconds = sum(window.seconds for window in self.gateway) * self.course.calls
        names = {name for window in self.gateway for name in window.cpu}
        return {
            name: 1000 * sum(window.cpu.get(name, 0.0) for window in self.gateway) / seconds
            for name in sorted(names)
        }

    def summary(self) -> dict[str, object]:
        """The object that other tools read; its names stay as they are."""
        return {
            "calls": self.course.calls,
            "seconds": self.course.seconds,
            "cpu_ms_per_call_second": round(self.cost, 4),
            "floor_cpu_ms_per_call_second": round(self.floor_cost, 4),
            "ratio": round(self.ratio, 2),
            "lost": self.taken.missing,
            "rss_bytes_per_call": self.rss_per_call,
            "ack_ms": {"p50": self.ack_ms.p50, "p99": self.ack_ms.p99},
            "setup_ms": {"p50": self.setup_ms.p50, "p99": self.setup_ms.p99},
        }
