"""What recording costs on this machine, measured before there is anything to record.

A media worker's ticks are made one after the other, of few calls and then of many: datagrams are drained from loopback
sockets, the engine is given the same packets with the arrival times that they would have, what it writes is appended to
files and flushed, what it reports is read again. Nothing is left behind.
"""

from __future__ import annotations

import os
import resource
import socket
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.capacity import STORED_BYTES, Costs, slope
from gateway.config.settings import Settings
from gateway.io.append import Appender, Synced
from gateway.io.channel import Channel
from gateway.io.heap import keep_heap
from gateway.io.ids import new_id
from gateway.io.receive import Receiver, media_socket
from gateway.io.redaction_rules import rules_of
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import LegPlan, Open, PayloadFormat
from gateway.recording.model import Role
from gateway.rtp.packets import Ints, Octets, PacketBatch

FEW, MANY = 20, 200  # calls
SPARE_FILES = 100
NS = 1_000_000_000
TICK_NS, TICKS = NS // 10, 10  # of a second
HOLD_BACK_NS = NS
SETTLING_TICKS = 35  # the hold-back, and until every leg goes on as it did
SECONDS = 3  # that count
PACKET_NS, PACKET_BYTES, HEADER_BYTES = 20_000_000, 160, 12
PACKETS = TICK_NS // PACKET_NS  # of a leg in a tick
STARTED_NS = 100 * NS
STAND_IN = bytes(HEADER_BYTES + PACKET_BYTES)  # is drained; the engine gets the packet that it stands for
HOST = "127.0.0.1"
FORMATS = (PayloadFormat(8, "PCMA", 8000),)
LEGS = tuple(LegPlan(role, FORMATS, (101,)) for role in (Role.EXTERNAL, Role.AGENT))


class CannotCalibrate(Exception):
    """Nothing was measured; the text is one sentence that says why."""


class _Packets:
    """What all legs send in a tick: G.711 in packets of 20 ms."""

    def __init__(self, legs: Ints) -> None:
        self._legs = np.repeat(legs, PACKETS)
        self._slots: Octets = np.zeros((len(self._legs), HEADER_BYTES + PACKET_BYTES), np.uint8)
        self._slots[:, 0], self._slots[:, 1] = 0x80, FORMATS[0].payload_type  # RFC 3550 section 5.1
        self._slots[:, HEADER_BYTES:] = np.frombuffer(os.urandom(PACKET_BYTES), np.uint8)
        self._slots[:, 8:12] = _big_endian(self._legs + 1, ">u4")

    def tick(self, number: int) -> PacketBatch:
        index = np.tile(np.arange(number * PACKETS, (number + 1) * PACKETS), len(self._legs) // PACKETS)
        self._slots[:, 2:4] = _big_endian(index & 0xFFFF, ">u2")
        self._slots[:, 4:8] = _big_endian(index * PACKET_BYTES, ">u4")
        sizes = np.full(len(index), HEADER_BYTES + PACKET_BYTES)
        return PacketBatch(self._slots, sizes, self._legs, STARTED_NS + (index + 1) * PACKET_NS)


class _Trial:
    """So many calls, and what each tick of them costs."""

    def __init__(self, calls: int, settings: Settings, folder: Path, stack: ExitStack) -> None:
        rules = rules_of(settings)
        self._engine = Engine(EngineSettings(2 * calls, HOLD_BACK_NS, 60 * NS, TICK_NS, rules), os.urandom)
        plans = [_plan(folder) for _ in range(calls)]
        self._engine.tick(STARTED_NS, None, plans)
        legs = np.array([leg for plan in plans for leg in self._engine.legs(plan.call_id)])
        self._packets = _Packets(legs)
        self._receiver = Receiver()
        self._sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._targets = []
        for leg in legs.tolist():
            opened = media_socket(HOST, 0)
            self._targets.append(opened.getsockname())
            handle = opened.detach()
            self._receiver.add(handle, leg)
            stack.callback(self._receiver.remove, handle)
        self._channel, self._reader = map(Channel, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        stack.callback(self._reader.close)
        stack.callback(self._channel.close)
        self._appender = Appender(folder)
        self._appending = stack.enter_context(ExitStack())
        self._appending.callback(self._appender.close)
        self._ticks = 0
        for _ in range(SETTLING_TICKS):
            self._tick()

    def second(self) -> tuple[Ints, float]:
        """Processor time (ns) of each tick of a second, in the tick and in who reads its reports; and of the whole worker."""
        began, told = time.process_time_ns(), [self._tick() for _ in range(TICKS)]
        found = np.array(told)
        return found[:, :2], time.process_time_ns() - began - int(found[:, 1:].sum())

    def flush_ns(self) -> float:
        """What all flushes took, of each byte that was written; then nothing more can be."""
        self._appending.close()
        flushes = [event for event in self._appender.events() if isinstance(event, Synced)]
        return sum(each.nanoseconds for each in flushes) / max(1, sum(each.bytes for each in flushes))

    def _tick(self) -> tuple[int, int, int]:
        """Processor time (ns) of a tick, of who reads its reports, and of those who send."""
        began = time.thread_time_ns()
        batch = self._packets.tick(self._ticks)
        for target in self._targets:
            for _ in range(PACKETS):
                self._sender.sendto(STAND_IN, target)
        self._ticks += 1
        sent = time.thread_time_ns()
        self._receiver.drain()
        writes, events = self._engine.tick(STARTED_NS + self._ticks * TICK_NS, batch)
        self._appender.put(writes)
        self._channel.send(events)
        ticked = time.thread_time_ns()
        self._reader.receive()
        return ticked - sent, time.thread_time_ns() - ticked, sent - began


def _big_endian(numbers: Ints, form: str) -> Octets:
    """A row of octets each."""
    octets: Octets = numbers.astype(form).view(np.uint8).reshape(len(numbers), -1)
    return octets


def _plan(folder: Path) -> Open:
    key = os.urandom(32).hex()
    return Open(new_id(), new_id(), new_id(), key, str(folder), STARTED_NS, STARTED_NS, LEGS)


def calibrate(settings: Settings, directory: Path) -> Costs:
    """Measure for some seconds, writing to a folder of its own in `directory`. Raises CannotCalibrate."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    many = MANY if most == resource.RLIM_INFINITY else min(MANY, (most - SPARE_FILES) // 3)
    if many <= 2 * FEW:
        raise CannotCalibrate(f"{most:,} open files are too few to try it")
    keep_heap()
    try:
        few, full = (_measure(calls, settings, directory) for calls in (FEW, many))
    except OSError as error:
        raise CannotCalibrate(f"it could not be tried: {error.strerror}") from error
    idle, worker = slope(FEW, few.worker_ms, many, full.worker_ms)
    _, tick = slope(FEW, few.tick_ms, many, full.tick_ms)
    return Costs(idle, tick, worker, full.reading_ms / many, full.flush_ns * STORED_BYTES / 1e6)


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a second of all calls together costs, and the flush of a byte."""

    tick_ms: float
    worker_ms: float
    reading_ms: float
    flush_ns: float


def _measure(calls: int, settings: Settings, directory: Path) -> _Measured:
    """Of each tick of a second the least of some seconds counts: others on the machine only add."""
    with (
        tempfile.TemporaryDirectory(prefix=".hushtap-", dir=directory) as folder,
        ExitStack() as stack,
    ):
        trial = _Trial(calls, settings, Path(folder), stack)
        seconds = [trial.second() for _ in range(SECONDS)]
        flush_ns = trial.flush_ns()
    ticks, reading = np.min([ticks for ticks, _ in seconds], axis=0).sum(axis=0) / 1e6
    worker = min(worker for _, worker in seconds) / 1e6
    return _Measured(float(ticks), worker, float(reading), flush_ns)
