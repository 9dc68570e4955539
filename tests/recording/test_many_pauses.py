"""A thousand calls in one engine while a hundred pauses a second begin and end."""

from __future__ import annotations

import io
from collections import defaultdict
from dataclasses import replace
from random import Random

import numpy as np
import numpy.typing as npt

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import (
    Answered,
    Close,
    Event,
    Finished,
    LateRedaction,
    Outcome,
    Pause,
    Resume,
    Write,
)
from gateway.recording.model import Cause, Role
from gateway.redaction.rules import Rules
from gateway.rtp.packets import PacketBatch
from gateway.storage import container
from gateway.storage.sealing import open_sealed
from tests.recording.simulation import KEY, MS, PLAN, SECOND, TICK

CALLS = 1000
SECONDS = 5
PACKET = 480  # 60 ms of G.711
RULES = Rules(look_back_ns=SECOND // 2, inband="never")
SETTINGS = EngineSettings(2 * CALLS, SECOND, 60 * SECOND, TICK, RULES)
START = PLAN.started_ns
UNITS = SECONDS * 8000
Bools = npt.NDArray[np.bool_]


def call_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def begin(engine: Engine) -> npt.NDArray[np.int64]:
    """Open all calls; gives the numbers of their legs."""
    plans = [
        replace(PLAN, call_id=call_id(n), recording_id=call_id(CALLS + n), segment_id=call_id(2 * CALLS + n))
        for n in range(CALLS)
    ]
    engine.tick(START, None, plans)
    return np.array([engine.legs(plan.call_id) for plan in plans]).ravel()


def packets(legs: npt.NDArray[np.int64], number: int) -> PacketBatch:
    """Every leg's packet of one number; its octets tell the leg and the number."""
    slots = np.zeros((len(legs), 12 + PACKET), np.uint8)
    slots[:, 0], slots[:, 1] = 0x80, 8
    fields = (
        (2, 2, np.full(len(legs), number)),
        (4, 4, np.full(len(legs), number * PACKET)),
        (8, 4, 77 + legs),
    )
    for at, width, values in fields:
        slots[:, at : at + width] = values.astype(">u4").view(np.uint8).reshape(-1, 4)[:, 4 - width :]
    slots[:, 12::2], slots[:, 13::2] = number, (legs % 251)[:, None]
    sizes, arrivals = np.full(len(legs), slots.shape[1]), np.full(len(legs), START + number * 60 * MS)
    return PacketBatch(slots, sizes, legs, arrivals)


def kept(parts: bytes, number: int, legs: npt.NDArray[np.int64]) -> dict[Role, Bools]:
    """Which units of a call's legs are stored; each holds what was said there."""
    recording = call_id(CALLS + number)
    reader = container.read(open_sealed(io.BytesIO(parts), KEY, recording.encode()))
    roles = {track.number: track.role for track in reader.tracks}
    found = {role: np.zeros(UNITS, np.bool_) for role in Role}
    for block in reader.blocks():
        role, stop = roles[block.track], block.time + len(block.payload)
        places = np.arange(block.time, stop)
        leg = legs[2 * number + (role is Role.AGENT)]
        said = np.where(places % 2, leg % 251, places // PACKET)
        assert (np.frombuffer(block.payload, np.uint8) == said).all()
        found[role][block.time : stop] = True
    return found


def test_a_hundred_pauses_a_second_among_a_thousand_calls_are_all_exact() -> None:
    random = Random(11)
    engine = Engine(SETTINGS, random.randbytes)
    legs = begin(engine)
    gone: dict[int, Bools] = defaultdict(lambda: np.zeros(UNITS, np.bool_))
    asked: list[tuple[int, Pause | Resume]] = []
    for request in range(300):
        number, at = random.randrange(CALLS), SECOND + request * 10 * MS
        until = at + random.randrange(200, 900) * MS
        call = call_id(number)
        asked.append((at, Pause(call, (), START + at, Cause.AGENT, "t", "", True, f"p{request}")))
        asked.append((until, Resume(call, (), START + until, Cause.AGENT, "t", f"r{request}")))
    asked.sort(key=lambda each: each[0])
    since: dict[str, int] = {}
    for at, command in asked:  # several pauses of one call: the first resume ends them
        number, units = int(command.call_id[-12:], 16), at * 8 // MS
        if isinstance(command, Pause):
            since.setdefault(command.call_id, units)
        elif command.call_id in since:
            gone[number][since.pop(command.call_id) - 4000 : units + 800] = True
    writes: list[Write] = []
    events: list[Event] = []
    moments = sorted(
        [*((at, command) for at, command in asked), *((at, None) for at in range(TICK, 7 * SECOND, TICK))],
        key=lambda each: each[0],
    )
    number = 0
    for at, order in moments:
        if order is not None:
            events += engine.obey([order], START + at)
            continue
        while number * 60 * MS <= at and number * PACKET < UNITS:
            engine.receive(packets(legs, number))
            number += 1
        closing = (
            [Close(call_id(n), START + SECONDS * SECOND) for n in range(CALLS)]
            if at == SECONDS * SECOND
            else []
        )
        written, told = engine.tick(START + at, None, closing)
        writes += written
        events += told
    answers = [event for event in events if isinstance(event, Answered)]
    assert len(answers) == len(asked)
    assert {answer.outcome for answer in answers} <= {Outcome.APPLIED, Outcome.UNCHANGED}
    assert not [event for event in events if isinstance(event, LateRedaction)]
    assert len([event for event in events if isinstance(event, Finished)]) == CALLS
    parts: dict[str, bytearray] = defaultdict(bytearray)
    for write in writes:
        parts[write.recording_id] += write.data
    for one in [*gone, *random.sample(range(CALLS), 50)]:
        for stored in kept(bytes(parts[call_id(CALLS + one)]), one, legs).values():
            assert (stored[: number * PACKET] == ~gone[one][: number * PACKET]).all()
