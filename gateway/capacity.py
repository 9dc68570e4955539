"""How many calls a machine can take at once: the smallest of what its parts can take.

A pure model: what a call costs comes in as `Costs`, measured on the machine; what does not depend on the machine are the
constants below, each as `hushtap bench` found it. docs/capacity.md explains both and says how well they fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

# What a two-leg call takes, whatever the machine; G.711 in packets of 20 ms.
SOCKETS_PER_CALL = 2  # RTP; the control process has them all, each media worker those of its calls
DESCRIPTORS_PER_CALL = 3  # of a worker: the sockets and the part being written
DESCRIPTORS_ALWAYS = 128  # SIP, index, log, libraries, and descriptors in flight to a new worker
CONTROL_BYTES, WORKER_BYTES = (
    160 << 20,
    96 << 20,
)  # resident, of a process without a call; with a tick's arrays
CALL_BYTES = 256 << 10  # of all processes, where audio waits HOLD_BACK_SECONDS
HOLD_BACK_SECONDS = 5.0
PORTS_PER_CALL = 2  # even ports, one a leg
STORED_BYTES = 16_400  # a call-second, with the container's and the sealing's overhead
WIRE_BITS = (
    2 * 50 * 8 * (38 + 20 + 8 + 12 + 160)
)  # a call-second: Ethernet with its gap, IPv4, UDP, RTP, payload

# Processor time (ms) of the control process on the machine where these were measured, to which `pace` is relative.
CONTROL_MS = 0.03  # of a call-second: counts, metrics, index
SETUP_MS = 14.0  # of a call's set-up, record, keys, tear-down and manifest
MEAN_CALL_SECONDS = 180.0

CONTROL_SHARE = 0.9  # of its core: above, answers to call-takers and clients wait
MACHINE_SHARE = 0.95  # of all cores: the rest is the system's
NETWORK_SHARE = 0.9  # of a link
DISK_SHARE = 0.5  # of what it writes in one piece: calls write many small ones, and others read


@dataclass(frozen=True, slots=True)
class Costs:
    """What a machine takes for two-leg G.711 calls in packets of 20 ms: processor time (ms), and what its disk gives."""

    idle_ms: float  # a second of a worker, however few calls it has
    tick_ms: float  # a call-second, in the worker's ticks: what busy_percent is of
    worker_ms: float  # a call-second, of the worker's whole process
    pace: float  # how much longer than where the constants were measured a fixed piece of work takes
    disk_bytes: float  # a second, written and flushed in one piece

    @property
    def control_ms(self) -> float:
        """A call-second of the control process, set-up and end included."""
        return self.pace * (CONTROL_MS + SETUP_MS / MEAN_CALL_SECONDS)


# The machine where the constants were measured: one of two virtual x86-64 cores, shared with other work.
REFERENCE = Costs(idle_ms=5.0, tick_ms=0.29, worker_ms=0.33, pace=1.0, disk_bytes=1.7e9)


@dataclass(frozen=True, slots=True)
class Parts:
    """What there is to record with. None: without limit, or not known."""

    cores: int
    workers: int
    busy_share: float  # of a core that a worker may use before it takes no call
    memory: int | None  # bytes
    open_files: int | None  # of a process
    other_files: int  # that are kept for others than calls
    ports: int  # even RTP ports
    hold_back_seconds: float
    link_bits: int | None  # a second


@dataclass(frozen=True, slots=True)
class Bound:
    """So many calls, and what has no room for more."""

    what: str
    calls: int


def bounds(parts: Parts, costs: Costs | None) -> list[Bound]:
    """All of them, the one that binds first; without costs those that need none."""
    found = [*_rooms(parts), *(_loads(parts, costs) if costs else ())]
    return sorted(
        (Bound(what, max(0, int(calls))) for what, calls in found if calls < inf),
        key=lambda bound: bound.calls,
    )


@dataclass(frozen=True, slots=True)
class Needs:
    """What so many calls at once take of a gateway, whatever its processor."""

    sockets: int
    ports: int  # numbers of the range: even ones are taken, odd ones lie between
    control_files: int
    worker_files: int  # of one that has all the calls it may have
    memory: int  # bytes
    stored: int  # bytes a second
    wire_bits: int  # a second


def needs(calls: int, workers: int) -> Needs:
    """Two-leg G.711 at the default hold-back."""
    each = min(calls, 2 * -(-calls // workers))  # a worker may have twice its share while others are replaced
    return Needs(
        SOCKETS_PER_CALL * calls,
        2 * PORTS_PER_CALL * calls,
        DESCRIPTORS_ALWAYS + SOCKETS_PER_CALL * calls,
        DESCRIPTORS_ALWAYS + DESCRIPTORS_PER_CALL * each,
        CONTROL_BYTES + WORKER_BYTES * workers + CALL_BYTES * calls,
        STORED_BYTES * calls,
        WIRE_BITS * calls,
    )


def call_bytes(hold_back_seconds: float) -> float:
    """Memory of a call, all processes together."""
    return CALL_BYTES * max(1.0, hold_back_seconds / HOLD_BACK_SECONDS)


def slope(few: int, cost: float, many: int, more: float) -> tuple[float, float]:
    """What something costs without a call, and what each call adds; neither is less than nothing."""
    each = max(0.0, (more - cost) / (many - few))
    return max(0.0, cost - few * each), each


def _loads(parts: Parts, costs: Costs) -> Iterator[tuple[str, float]]:
    """Where processor, disk and network end."""
    idle = costs.idle_ms * parts.workers
    each = costs.worker_ms + costs.control_ms
    yield "media workers", parts.workers * _over(1000 * parts.busy_share - costs.idle_ms, costs.tick_ms)
    yield "control process", _over(1000 * CONTROL_SHARE, costs.control_ms)
    yield "cores", _over(1000 * MACHINE_SHARE * parts.cores - idle, each)
    yield "disk", DISK_SHARE * costs.disk_bytes / STORED_BYTES


def _rooms(parts: Parts) -> Iterator[tuple[str, float]]:
    """Where memory, descriptors, ports and the link end."""
    if parts.memory is not None:
        base = CONTROL_BYTES + WORKER_BYTES * parts.workers
        yield "memory", (parts.memory - base) / call_bytes(parts.hold_back_seconds)
    if parts.open_files is not None:
        left = parts.open_files - DESCRIPTORS_ALWAYS
        control = (left - parts.other_files) / SOCKETS_PER_CALL
        # A worker may have twice its share of the calls, and has all of them where there are two workers or one.
        workers = left / DESCRIPTORS_PER_CALL * max(1.0, parts.workers / 2)
        yield "open files", min(control, workers)
    yield "RTP ports", parts.ports // PORTS_PER_CALL
    if parts.link_bits is not None:
        yield "network", NETWORK_SHARE * parts.link_bits / WIRE_BITS


def _over(room: float, each: float) -> float:
    return max(0.0, room) / each if each else inf
