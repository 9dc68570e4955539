"""Drives the engine with simulated senders and a simulated network, and reads back what it wrote."""

from __future__ import annotations

import io
import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import Close, Command, Event, Finished, LegPlan, Open, PayloadFormat, Write
from gateway.recording.model import Role
from gateway.redaction.rules import Rules
from gateway.rtp.packets import PacketBatch
from gateway.storage import container
from gateway.storage.sealing import open_sealed

MS = 1_000_000
SECOND = 1000 * MS
TICK = 100 * MS
HOLD_BACK = 5 * SECOND
DEFAULTS = Rules()
KEY = bytes(range(32))
PCMA, PCMU = PayloadFormat(8, "PCMA", 8000), PayloadFormat(0, "PCMU", 8000)
PLAN = Open(
    call_id="01900000-0000-7000-8000-000000000001",
    segment_id="01900000-0000-7000-8000-000000000002",
    recording_id="01900000-0000-7000-8000-000000000003",
    key=KEY.hex(),
    folder="",
    started_ns=100 * SECOND,
    started_utc_ns=1_760_000_000 * SECOND,
    legs=(LegPlan(Role.EXTERNAL, (PCMA, PCMU), (101,)), LegPlan(Role.AGENT, (PCMA, PCMU), (101,))),
)


@dataclass(frozen=True, order=True)
class Datagram:
    """What arrives at a leg's port, and when (ns after the call's start)."""

    arrival: int
    leg: int
    data: bytes


def rtp(sequence: int, timestamp: int, payload: bytes, ssrc: int = 0xCA11, payload_type: int = 8) -> bytes:
    return (
        struct.pack(">BBHII", 0x80, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload
    )


def speech(seconds: float, seed: int = 1) -> bytes:
    """Payload no two packets of which are alike."""
    return Random(seed).randbytes(int(seconds * 8000))


def sent(
    audio: bytes,
    leg: int = 0,
    start: int = 0,
    sequence: int = 1000,
    timestamp: int = 5000,
    packet: int = 160,
    ssrc: int = 0xCA11,
    skew_ppm: float = 0.0,
    payload_type: int = 8,
) -> list[Datagram]:
    """A sender's packets, each leaving when its audio has been spoken by the sender's own clock."""
    pace = packet / 8000 * SECOND * (1 - skew_ppm / 1e6)
    return [
        Datagram(
            start + round(number * pace),
            leg,
            rtp(sequence + number, timestamp + number * packet, audio[at : at + packet], ssrc, payload_type),
        )
        for number, at in enumerate(range(0, len(audio), packet))
    ]


@dataclass
class Played:
    """What one run of the engine left behind."""

    writes: list[Write]
    events: list[Event]
    parts: dict[int, bytes] = field(default_factory=dict)  # number: ciphertext

    @property
    def finished(self) -> Finished:
        (event,) = (event for event in self.events if isinstance(event, Finished))
        return event

    def plain(self, part: int = 1) -> bytes:
        return b"".join(open_sealed(io.BytesIO(self.parts[part]), KEY, PLAN.recording_id.encode()))

    def blocks(self, leg: Role) -> list[tuple[int, bytes]]:
        """Time and payload of a leg's blocks, of all parts."""
        found = []
        for part in sorted(self.parts):
            reader = container.read([self.plain(part)])
            roles = {track.number: track.role for track in reader.tracks}
            found += [(b.time, b.payload) for b in reader.blocks() if roles[b.track] == leg]
        return found

    def runs(self, leg: Role) -> list[tuple[int, int]]:
        """A leg's audio as intervals of the call clock without a break."""
        merged: list[tuple[int, int]] = []
        for time, payload in self.blocks(leg):
            if merged and merged[-1][1] == time:
                merged[-1] = (merged[-1][0], time + len(payload))
            else:
                merged.append((time, time + len(payload)))
        return merged

    def audio(self, leg: Role) -> bytes:
        return b"".join(payload for _, payload in self.blocks(leg))


def play(
    datagrams: Iterable[Datagram],
    *,
    plan: Open = PLAN,
    tick: int = TICK,
    closed: int | None = None,
    before: Callable[[int, Engine], None] = lambda now, engine: None,
    commands: Sequence[tuple[int, Command]] = (),
    rules: Rules = DEFAULTS,
) -> Played:
    """Run one call until its hold-back has drained; `closed` is when the BYE comes, `commands` come at their times
    (ns after the start)."""
    engine = Engine(EngineSettings(8, HOLD_BACK, 60 * SECOND, tick, rules), Random(7).randbytes)
    queue = sorted(datagrams)
    end = closed if closed is not None else queue[-1].arrival + 10 * MS
    now, played, at = plan.started_ns, Played([], []), 0
    played_commands: Sequence[Open | Close] = [plan]
    while now < plan.started_ns + end + HOLD_BACK + 2 * SECOND:
        now += tick
        stop = at
        while stop < len(queue) and plan.started_ns + queue[stop].arrival <= now:
            stop += 1
        if played_commands:
            engine.tick(plan.started_ns, None, played_commands)
            played_commands = []
        closing = (
            [Close(plan.call_id, plan.started_ns + end)] if now - tick < plan.started_ns + end <= now else []
        )
        told = [c for at_ns, c in commands if now - tick < plan.started_ns + at_ns <= now]
        before(now, engine)
        writes, events = engine.tick(now - 1, None, told) if told else ([], [])
        played.writes += writes
        played.events += events
        numbers = engine.legs(plan.call_id) if not any(isinstance(e, Finished) for e in played.events) else []
        arrived = batch(queue[at:stop], numbers, plan.started_ns) if numbers else None
        writes, events = engine.tick(now, arrived, closing)
        played.writes += writes
        played.events += events
        at = stop
    parts: dict[int, bytearray] = defaultdict(bytearray)
    for write in played.writes:
        if write.recording_id == plan.recording_id:
            parts[write.part] += write.data
    played.parts = {part: bytes(data) for part, data in parts.items()}
    return played


def batch(datagrams: Sequence[Datagram], legs: Sequence[int], started: int) -> PacketBatch:
    ordered = sorted(datagrams, key=lambda d: d.leg)
    slots = np.zeros((len(ordered), 1600), np.uint8)
    for slot, datagram in zip(slots, ordered, strict=True):
        slot[: len(datagram.data)] = np.frombuffer(datagram.data, np.uint8)
    return PacketBatch(
        slots,
        np.array([len(d.data) for d in ordered], np.int64),
        np.array([legs[d.leg] for d in ordered], np.int64),
        np.array([started + d.arrival for d in ordered], np.int64),
    )
