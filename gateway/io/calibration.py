"""What recording costs on this machine, measured before there is anything to record.

A media worker's ticks are made one after the other, of few calls and then of many: datagrams are drained from loopback
sockets, the engine is given the same packets with the arrival times that they would have, what it writes is appended to
files and flushed, what it reports is read again. Nothing is left behind.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import tempfile
import time
from contextlib import ExitStack
from math import inf
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gateway.capacity import Costs, slope
from gateway.config.settings import Settings
from gateway.io.append import Appender
from gateway.io.channel import Channel
from gateway.io.heap import keep_heap
from gateway.io.ids import new_id
from gateway.io.receive import Receiver, media_socket
from gateway.io.redaction_rules import rules_of
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import LegPlan, Open, PayloadFormat
from gateway.recording.model import Role
from gateway.rtp.packets import Ints, Octets, PacketBatch
from gateway.storage.keys import VaultPublicKey

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
FORMATS = (PayloadFormat(8, "PCMA", 8000),)
TEMPLATE: Octets = np.frombuffer(
    bytes((0x80, FORMATS[0].payload_type)) + bytes(HEADER_BYTES - 2) + os.urandom(PACKET_BYTES), np.uint8
)  # RFC 3550 section 5.1
STAND_IN = bytes(HEADER_BYTES + PACKET_BYTES)  # is drained; the engine gets the packet that it stands for
PIECE_BYTES, PIECES = 8 << 20, 4  # of the disk's trial
PACE_STEPS, PACE_TIMES = 20, 10
PACE_MS = 3.0  # what these steps take where the model's constants were measured
FOLDER = ".hushtap-"  # begins the name of what is written meanwhile
HOST = "127.0.0.1"
LEGS = tuple(LegPlan(role, FORMATS, (101,)) for role in (Role.EXTERNAL, Role.AGENT))


class CannotCalibrate(Exception):
    """Nothing was measured; the text is one sentence that says why."""


class _Packets:
    """What the legs of one turn send: G.711 in packets of 20 ms."""

    def __init__(self, legs: Ints) -> None:
        self._legs = legs
        self._given = 0  # packets of each leg

    def until(self, sent: int) -> PacketBatch:
        """What each leg has sent since the last time, up to so many packets, with the times at which it arrives."""
        index = np.tile(np.arange(self._given, sent), len(self._legs))
        legs = np.repeat(self._legs, sent - self._given)
        self._given = sent
        slots = np.tile(TEMPLATE, (len(legs), 1))
        slots[:, 2:4] = _big_endian(index & 0xFFFF, ">u2")
        slots[:, 4:8] = _big_endian(index * PACKET_BYTES, ">u4")
        slots[:, 8:12] = _big_endian(legs + 1, ">u4")
        sizes = np.full(len(index), HEADER_BYTES + PACKET_BYTES)
        return PacketBatch(slots, sizes, legs, STARTED_NS + (index + 1) * PACKET_NS)


class _Trial:
    """So many calls, and what each tick of them costs."""

    def __init__(self, calls: int, settings: Settings, folder: Path, stack: ExitStack) -> None:
        rules = rules_of(settings)
        self._engine = Engine(EngineSettings(2 * calls, HOLD_BACK_NS, 60 * NS, TICK_NS, rules), os.urandom)
        plans = [_plan(folder) for _ in range(calls)]
        self._engine.tick(STARTED_NS, None, plans)
        self._receiver = Receiver()
        self._sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._targets: list[tuple[str, int]] = []
        legs: dict[int, list[int]] = {}
        for plan in plans:
            turn, mine = self._engine.turn_of(plan.call_id), self._engine.legs(plan.call_id)
            legs.setdefault(turn, []).extend(mine)
            for leg in mine:
                opened = media_socket(HOST, 0)
                self._targets.append(opened.getsockname())
                handle = opened.detach()
                self._receiver.add(handle, leg, turn)
                stack.callback(self._receiver.remove, handle)
        self._packets = {turn: _Packets(np.array(mine)) for turn, mine in legs.items()}
        self._channel, self._reader = map(Channel, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        stack.callback(self._reader.close)
        stack.callback(self._channel.close)
        self._appender = Appender(folder)
        stack.callback(self._appender.close)
        self._ticks = 0
        for _ in range(SETTLING_TICKS):
            self._tick()

    def second(self) -> tuple[Ints, float]:
        """Processor time (ns) of each tick of a second; and of the whole worker."""
        began, told = time.process_time_ns(), [self._tick() for _ in range(TICKS)]
        found = np.array(told)
        return found[:, 0], time.process_time_ns() - began - int(found[:, 1].sum())

    def _tick(self) -> tuple[int, int]:
        """Processor time (ns) of a tick, and of those who send and who read its reports."""
        began = time.thread_time_ns()
        self._ticks += 1
        turn = self._engine.turn
        packets = self._packets.get(turn)
        batch = packets.until(self._ticks * PACKETS) if packets else None
        for target in self._targets:
            for _ in range(PACKETS):
                self._sender.sendto(STAND_IN, target)
        sent = time.thread_time_ns()
        self._receiver.drain(turn)
        writes, events = self._engine.tick(STARTED_NS + self._ticks * TICK_NS, batch)
        self._appender.put(writes)
        self._channel.send(events)
        ticked = time.thread_time_ns()
        self._reader.receive()
        return ticked - sent, time.thread_time_ns() - ticked + sent - began


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
        disk_bytes = _disk_bytes(directory)
    except OSError as error:
        raise CannotCalibrate(f"it could not be tried: {error.strerror}") from error
    idle, worker = slope(FEW, few[1], many, full[1])
    _, tick = slope(FEW, few[0], many, full[0])
    return Costs(idle, tick, worker, _pace_ms() / PACE_MS, disk_bytes)


def _measure(calls: int, settings: Settings, directory: Path) -> tuple[float, float]:
    """What a second of all calls costs (ms): in the ticks, and in the whole worker.

    Of each tick of a second the least of some seconds counts: others on the machine only add.
    """
    with (
        tempfile.TemporaryDirectory(prefix=FOLDER, dir=directory) as folder,
        ExitStack() as stack,
    ):
        trial = _Trial(calls, settings, Path(folder), stack)
        seconds = [trial.second() for _ in range(SECONDS)]
    ticks = np.min([ticks for ticks, _ in seconds], axis=0).sum()
    return float(ticks) / 1e6, min(worker for _, worker in seconds) / 1e6


def _disk_bytes(directory: Path) -> float:
    """Bytes a second that the disk takes in one piece, at best of some times."""
    piece, best = os.urandom(PIECE_BYTES), 0.0
    with tempfile.TemporaryFile(prefix=FOLDER, dir=directory, buffering=0) as file:
        for _ in range(PIECES):
            file.seek(0)
            began = time.monotonic()
            file.write(piece)
            os.fsync(file.fileno())
            best = max(best, PIECE_BYTES / (time.monotonic() - began))
    return best


def _pace_ms() -> float:
    """Processor time of what setting a call up consists of, at best: keys that are wrapped, records that are written."""
    key = VaultPublicKey(X25519PrivateKey.generate().public_key())
    record = {str(number): {"role": "external", "packets": number, "lost": 0} for number in range(50)}
    best = inf
    for _ in range(PACE_TIMES):
        began = time.thread_time()
        for _ in range(PACE_STEPS):
            key.seal(bytes(32), b"a trial")
            json.loads(json.dumps(record, sort_keys=True))
        best = min(best, 1000 * (time.thread_time() - began))
    return best
