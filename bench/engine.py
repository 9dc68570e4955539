"""Processor time of the engine alone: `python -m bench.engine --calls 300 --seconds 12`.

Two legs a call, 20 ms G.711, nothing lost, fed as fast as it goes. What it prints compares two states of
the code on one machine in one sitting, nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import time

import numpy as np

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import LegPlan, Open, PayloadFormat
from gateway.recording.model import Role
from gateway.rtp.packets import Ints, Octets, PacketBatch

SECOND = 1_000_000_000
TICK = SECOND // 10
PACKETS = 5  # of a leg in a tick
STARTED = 100 * SECOND
SLOT_BYTES = 1600
DATAGRAM_BYTES = 172
PCMA = PayloadFormat(8, "PCMA", 8000)


def plan(number: int) -> Open:
    name = f"01900000-0000-7000-8000-{number:012x}"
    legs = tuple(LegPlan(role, (PCMA,), (101,)) for role in (Role.EXTERNAL, Role.AGENT))
    return Open(name, name, name, bytes(32).hex(), "", STARTED, STARTED, legs)


def fill(slots: Octets, legs: Ints, tick: int) -> PacketBatch:
    """The datagrams of all legs in one tick."""
    index = np.tile(np.arange(PACKETS), len(legs) // PACKETS) + PACKETS * tick
    slots[:, 2:4] = (index & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
    slots[:, 4:8] = (index * 160).astype(">u4").view(np.uint8).reshape(-1, 4)
    arrivals = STARTED + (index + 1) * (SECOND // 50)
    return PacketBatch(slots, np.full(len(legs), DATAGRAM_BYTES), legs, arrivals)


def measure(calls: int, seconds: int) -> dict[str, float]:
    engine = Engine(EngineSettings(2 * calls, 5 * SECOND, 60 * SECOND, TICK), os.urandom)
    plans = [plan(number) for number in range(calls)]
    engine.tick(STARTED, None, plans)
    legs = np.repeat(np.array([leg for each in plans for leg in engine.legs(each.call_id)]), PACKETS)
    slots = np.zeros((len(legs), SLOT_BYTES), np.uint8)
    slots[:, 0], slots[:, 1] = 0x80, PCMA.payload_type
    slots[:, 8:12] = (legs + 1).astype(">u4").view(np.uint8).reshape(-1, 4)
    used = 0
    for tick in range(seconds * 10):
        batch = fill(slots, legs, tick)
        began = time.process_time_ns()
        engine.tick(STARTED + (tick + 1) * TICK, batch)
        used += time.process_time_ns() - began
    return {"calls": calls, "seconds": seconds, "cpu_ms_per_call_second": used / 1e6 / calls / seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--seconds", type=int, default=12)
    options = parser.parse_args()
    print(json.dumps(measure(options.calls, options.seconds)))


if __name__ == "__main__":
    main()
