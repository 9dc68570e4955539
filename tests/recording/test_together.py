"""Calls committed together are written, octet for octet, as calls committed one by one."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.recording import together
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.live import LiveCall
from gateway.recording.messages import (
    Close,
    Command,
    Event,
    LegPlan,
    Open,
    Pause,
    PayloadFormat,
    Resume,
    Split,
)
from gateway.recording.model import Cause, Role
from tests.recording.simulation import HOLD_BACK, MS, PCMA, PCMU, PLAN, SECOND, TICK, Datagram, batch, rtp

STARTED = PLAN.started_ns
OPUS, G722, GSM = (
    PayloadFormat(96, "OPUS", 48_000, 2),
    PayloadFormat(9, "G722", 8000),
    PayloadFormat(3, "GSM", 8000),
)
L16 = PayloadFormat(97, "L16", 11_025)
SPEEX, DVI4 = PayloadFormat(98, "SPEEX", 16_000), PayloadFormat(5, "DVI4", 8000)
FORMATS = (PCMA, PCMU, G722, GSM, L16, OPUS, SPEEX, DVI4)
# Octets and RTP ticks of 20 ms; L16 at that rate has no whole number of ticks, so it is a little less.
PACKETS = {
    8: (160, 160),
    0: (160, 160),
    9: (160, 160),
    3: (33, 160),
    97: (440, 220),
    96: (0, 960),
    98: (0, 320),
    5: (84, 160),
}
ALONE = (96, 98, 5)  # of these a packet is 20 ms
SECONDS = 12


@dataclass(frozen=True)
class Habit:
    """How a leg sends."""

    kind: int = 8
    many: int = 1  # 20 ms in a packet
    loss: float = 0.0
    twice: float = 0.0
    jitter_ms: int = 0
    skew_ppm: int = 0
    turns_at: int | None = None  # packet at which something changes:
    turn: str = ""


TURNS = ("", "source", "jump", "codec", "size", "silence", "tone", "noise", "delay")
habits = st.builds(
    Habit,
    kind=st.sampled_from([8, 8, 8, 0, 9, 3, 97, 96, 98, 5]),
    many=st.sampled_from([1, 1, 1, 2, 3]),
    loss=st.sampled_from([0, 0, 0.01, 0.1]),
    twice=st.sampled_from([0, 0, 0.02]),
    jitter_ms=st.sampled_from([0, 0, 5, 30, 30, 130]),
    skew_ppm=st.sampled_from([0, 0, 0, 0, -200, 3000]),
    turns_at=st.integers(20, 500),
    turn=st.sampled_from(TURNS),
)


def payload(kind: int, many: int, random: Random) -> bytes:
    if kind == 96:  # RFC 6716 section 3.1: one frame of 20 ms; its length is anybody's
        return bytes((0x98,)) + random.randbytes(random.randrange(20, 90))
    if kind == 98:  # RFC 5574: a frame of 160 bits; now and then one that is cut
        return bytes((0x1F,)) + random.randbytes(19 - (random.randrange(50) == 0))
    return random.randbytes(PACKETS[kind][0] * many)


def sends(habit: Habit, leg: int, random: Random) -> Iterator[Datagram]:
    kind, many, ssrc, at = habit.kind, 1 if habit.kind in ALONE else habit.many, 7, random.randrange(40) * MS
    timestamp, sequence = random.randrange(1 << 32), random.randrange(1 << 16)
    number = 0
    while at < SECONDS * SECOND:
        number += 1
        event = b""
        if number == habit.turns_at:
            match habit.turn:
                case "source":
                    ssrc, sequence, timestamp = 8, 99, 12345
                case "jump":
                    timestamp += 1_000_000
                case "codec":
                    kind = random.choice([8, 0, 9])
                case "size":
                    many = 2 if many == 1 and kind not in ALONE else 1
                case "silence":
                    at, timestamp = at + 3 * SECOND, timestamp + 3 * PACKETS[kind][1] * 50
                case "delay":
                    at += 200 * MS
        lasts = PACKETS[kind][1] * many
        if (
            habit.turn in ("tone", "noise")
            and habit.turns_at is not None
            and 0 <= number - habit.turns_at < 8
        ):
            told = struct.pack(">BBH", 5, 10, 160 * (number - habit.turns_at + 1))
            event = told if habit.turn == "tone" else b"\x40"
        stamp = (
            timestamp - lasts * (number - (habit.turns_at or 0))
            if event and habit.turn == "tone"
            else timestamp
        )
        data = rtp(
            sequence, stamp, event or payload(kind, many, random), ssrc,
            {"tone": 101, "noise": 13}[habit.turn] if event else kind,
        )  # fmt: skip
        for _ in range((random.random() >= habit.loss) * (1 + (random.random() < habit.twice))):
            yield Datagram(at + random.randrange(habit.jitter_ms * MS + 1), leg, data)
        sequence, timestamp = sequence + 1, timestamp + lasts
        at += int(20 * MS * many * (1 - habit.skew_ppm / 1e6))


def plans(count: int) -> list[Open]:
    legs = tuple(LegPlan(role, FORMATS, (101,)) for role in (Role.EXTERNAL, Role.AGENT))
    names = [f"01900000-0000-7000-8000-0000000{number:05x}" for number in range(3 * count)]
    return [
        replace(PLAN, call_id=call, segment_id=segment, recording_id=recording, legs=legs)
        for call, segment, recording in zip(names[::3], names[1::3], names[2::3], strict=True)
    ]


@contextmanager
def one_by_one() -> Iterator[None]:
    def all_odd(
        table: object, legs: np.typing.NDArray[np.int64], arrived_by: int
    ) -> tuple[object, list[object]]:
        return np.ones(len(legs), np.bool_), []

    with patch.object(together, "stretches", all_odd):
        yield


def run(
    calls: Sequence[Open], datagrams: Sequence[Datagram], commands: Sequence[tuple[int, Command]]
) -> tuple[dict[str, list[bytes]], list[Event]]:
    """What is written of each recording, write by write, and what is told."""
    engine = Engine(EngineSettings(2 * len(calls), HOLD_BACK, 60 * SECOND, TICK), Random(7).randbytes)
    engine.tick(STARTED, None, calls)
    numbers = [leg for call in calls for leg in engine.legs(call.call_id)]
    queue, at, events = sorted(datagrams), 0, list[Event]()
    written: dict[str, list[bytes]] = defaultdict(list)
    orders = sorted(commands, key=lambda pair: pair[0])
    for now in range(TICK, (SECONDS + 7) * SECOND, TICK):
        stop = at
        while stop < len(queue) and queue[stop].arrival <= now:
            stop += 1
        due = [command for when, command in orders if now - TICK < when <= now]
        alive = {leg for call in calls for leg in engine.legs(call.call_id)}
        came = [d for d in queue[at:stop] if numbers[d.leg] in alive]
        writes, told = engine.tick(STARTED + now, batch(came, numbers, STARTED) if came else None, due)
        at = stop
        events += told
        for write in writes:
            written[write.recording_id].append(write.data)
    return written, events


def commands(call: Open, kind: str, at: int) -> list[tuple[int, Command]]:
    match kind:
        case "pause":
            return [
                (at, Pause(call.call_id, (), STARTED + at, Cause.AGENT, reach_back=True)),
                (at + 1500 * MS, Resume(call.call_id, (), STARTED + at + 1500 * MS, Cause.AGENT)),
            ]
        case "client pauses":
            legs = (Role.AGENT,)
            return [
                (at, Pause(call.call_id, legs, STARTED + at)),
                (at + SECOND, Resume(call.call_id, legs, STARTED + at + SECOND)),
            ]
        case "split":
            name = call.recording_id.replace("01900000", "01900001")
            return [(at, Split(call.call_id, name, name, bytes(32).hex(), STARTED + at))]
        case "close":
            return [(at, Close(call.call_id, STARTED + at))]
    return []


orders = st.tuples(
    st.sampled_from(["", "", "pause", "client pauses", "split", "close"]), st.integers(100, 10_000)
)


@settings(max_examples=25)
@given(st.lists(st.tuples(habits, habits, orders), min_size=1, max_size=4), st.integers(0, 1 << 32))
def test_together_as_one_by_one(many: list[tuple[Habit, Habit, tuple[str, int]]], seed: int) -> None:
    random, calls = Random(seed), plans(len(many))
    told = [
        command
        for call, (_, _, (kind, at)) in zip(calls, many, strict=True)
        for command in commands(call, kind, at * MS)
    ]
    datagrams = [
        datagram
        for number, (one, two, _) in enumerate(many)
        for side, habit in enumerate((one, two))
        for datagram in sends(habit, 2 * number + side, random)
    ]
    if not datagrams:
        return
    found = run(calls, datagrams, told)
    with one_by_one():
        expected = run(calls, datagrams, told)
    assert found[0] == expected[0]
    assert found[1] == expected[1]


@pytest.mark.parametrize(
    "habit", [Habit(), Habit(kind=96), Habit(loss=0.02), Habit(jitter_ms=30), Habit(many=3)]
)
def test_legs_that_go_on_as_they_did_are_not_looked_at_by_themselves(habit: Habit) -> None:
    random, calls = Random(1), plans(4)
    datagrams = [datagram for leg in range(8) for datagram in sends(habit, leg, random)]
    alone: list[int] = []
    commit: Callable[..., object] = LiveCall.commit

    def counted(call: LiveCall, arrived_by: int, now: int) -> object:
        alone.append(now)
        return commit(call, arrived_by, now)

    with patch.object(LiveCall, "commit", counted):
        run(calls, datagrams, [])
    settled = [now for now in alone if now - STARTED > HOLD_BACK + SECOND]
    assert len(settled) <= len(calls)
