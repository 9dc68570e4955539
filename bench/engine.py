"""Processor time of the engine alone: `python -m bench.engine --calls 300 --seconds 12`.

Two legs a call, G.711, fed as fast as it goes; what is measured begins when every call has begun to be written.
What it prints compares two states of the code on one machine in one sitting, nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from pylibsrtp import Policy, Session

from bench.suite import SRTP
from bench.traffic import SUITES
from gateway.io.heap import keep_heap
from gateway.recording import engine as engine_module
from gateway.recording import together
from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.live import LiveCall
from gateway.recording.messages import LegPlan, Open, Pause, PayloadFormat, SrtpKey
from gateway.recording.model import Cause, Role
from gateway.redaction.rules import Rules
from gateway.rtp import sequence
from gateway.rtp.opening import Openers
from gateway.rtp.packets import Ints, Octets, PacketBatch
from gateway.storage.sealing import Sealer

SECOND = 1_000_000_000
TICK = SECOND // 10
HOLD_BACK = 5 * SECOND
WARM_TICKS = 65  # the hold-back and a slice or two
STARTED = 100 * SECOND
SLOT_BYTES = 1600
PCMA = PayloadFormat(8, "PCMA", 8000)
SECRET = bytes(range(30))  # of SRTP, for every leg: each has an SSRC of its own
# What of the engine's time is told apart; the time of a step is without that of the steps in it.
STEPS: tuple[tuple[str, object, str], ...] = (
    ("open SRTP", Openers, "open"),
    ("parse", sequence, "parse"),
    ("put away", sequence.LegTable, "receive"),
    ("find what is due", together, "stretches"),
    ("gather and contain", together.Share, "_clusters"),
    ("seal", Sealer, "write"),
    ("call by call", LiveCall, "commit"),
    ("listen", engine_module.Engine, "_listen"),
    ("commit", engine_module.Engine, "_commit"),
    ("report", engine_module.Engine, "_report"),
)


class Watch:
    """Time (ns) by step, each without the steps that it calls."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = [0]

    def timed(self, step: str, function: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **named: object) -> object:
            self._inner.append(0)
            began = time.perf_counter_ns()
            answer = function(*arguments, **named)
            if isinstance(answer, Iterator):
                answer = list(answer)
            lasted = time.perf_counter_ns() - began
            self.spent[step] += lasted - self._inner.pop()
            self._inner[-1] += lasted
            return answer

        return run

    @contextmanager
    def on(self) -> Iterator[None]:
        """Watch the steps; by itself this costs a few percent."""
        whole = [(place, name, getattr(place, name)) for _, place, name in STEPS]
        for (step, place, name), (_, _, function) in zip(STEPS, whole, strict=True):
            setattr(place, name, self.timed(step, function))
        yield
        for place, name, function in whole:
            setattr(place, name, function)


class Traffic:
    """What all legs send, tick by tick."""

    def __init__(self, legs: Ints, ptime: int, loss: float, secured: bool) -> None:
        policy = Policy(SECRET, Policy.SSRC_ANY_OUTBOUND, srtp_profile=SUITES[SRTP])
        self._sessions = [Session(policy) for _ in legs] if secured else []
        self._legs, self._loss, self._random = legs, loss, np.random.default_rng(1)
        self._units, self._packet_ns = ptime * 8, ptime * SECOND // 1000
        self._sent = 0
        most = len(legs) * (-(-TICK // self._packet_ns) + 1)
        self._slots: Octets = np.zeros((most, SLOT_BYTES), np.uint8)
        self._slots[:, 0], self._slots[:, 1] = 0x80, PCMA.payload_type

    def tick(self, number: int) -> PacketBatch:
        count = (number + 1) * TICK // self._packet_ns - self._sent
        index = np.tile(np.arange(self._sent, self._sent + count), len(self._legs))
        self._sent += count
        legs = np.repeat(self._legs, count)
        if self._loss:
            kept = self._random.random(len(legs)) >= self._loss
            index, legs = index[kept], legs[kept]
        slots = self._slots[: len(legs)]
        slots[:, 2:4] = (index & 0xFFFF).astype(">u2").view(np.uint8).reshape(-1, 2)
        slots[:, 4:8] = (index * self._units).astype(">u4").view(np.uint8).reshape(-1, 4)
        slots[:, 8:12] = (legs + 1).astype(">u4").view(np.uint8).reshape(-1, 4)
        arrivals = STARTED + (index + 1) * self._packet_ns
        sizes = np.full(len(legs), 12 + self._units)
        self._seal(slots, sizes, legs)
        return PacketBatch(slots, sizes, legs, arrivals)

    def _seal(self, slots: Octets, sizes: Ints, legs: Ints) -> None:
        session_of = dict(zip(self._legs.tolist(), self._sessions, strict=False))
        for row, leg in enumerate(legs.tolist() if session_of else ()):
            sealed = session_of[leg].protect(slots[row, : sizes[row]].tobytes())
            sizes[row] = len(sealed)
            slots[row, : len(sealed)] = np.frombuffer(sealed, np.uint8)


def plan(number: int, secured: bool) -> Open:
    name = f"01900000-0000-7000-8000-{number:012x}"
    keys = (SrtpKey(SRTP, SECRET.hex()),) if secured else ()
    legs = tuple(LegPlan(role, (PCMA,), (101,), keys=keys) for role in (Role.EXTERNAL, Role.AGENT))
    return Open(name, name, name, bytes(32).hex(), "", STARTED, STARTED, legs)


def measure(options: argparse.Namespace) -> dict[str, object]:
    calls, seconds = options.calls, options.seconds
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    engine = Engine(
        EngineSettings(2 * calls, HOLD_BACK, 60 * SECOND, TICK, Rules(inband=options.inband)), os.urandom
    )
    plans = [plan(number, options.srtp) for number in range(calls)]
    muted = plans[: int(calls * options.muted)]
    engine.tick(STARTED, None, [*plans, *(Pause(p.call_id, (), STARTED, Cause.CARD) for p in muted)])
    legs = np.array([leg for each in plans for leg in engine.legs(each.call_id)])
    traffic, watch = Traffic(legs, options.ptime, options.loss, options.srtp), Watch()

    def run(first: int, last: int) -> Ints:
        """Processor time (ns) of each tick, a row a second."""
        spent = []
        for tick in range(first, last):
            batch = traffic.tick(tick)
            began = time.process_time_ns()
            engine.tick(STARTED + (tick + 1) * TICK, batch)
            spent.append(time.process_time_ns() - began)
        return np.array(spent[: len(spent) // 10 * 10]).reshape(-1, 10)

    stop = WARM_TICKS + 10 * seconds
    run(0, WARM_TICKS)
    used = run(WARM_TICKS, stop)
    with watch.on():
        run(stop, stop + 10 * seconds)
    share = 1e6 * calls * seconds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "calls": calls,
        "cpu_ms_per_call_second": round(int(used.sum()) / share, 4),
        # A second made of the least that each of its ticks took: what others on the machine do matters less.
        "least_ms_per_call_second": round(int(used.min(axis=0).sum()) / 1e6 / calls, 4),
        "steps_ms": {step: round(ns / share, 4) for step, ns in watch.spent.most_common()},
        "memory_kib_per_call": round(memory / calls),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[300])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--ptime", type=int, default=20, help="ms of audio in a packet")
    parser.add_argument("--loss", type=float, default=0.0, help="share of packets that are lost")
    parser.add_argument(
        "--inband", default="never", help="as redaction.inband: where keys in audio are sought"
    )
    parser.add_argument("--srtp", action="store_true", help="every leg carries SRTP")
    parser.add_argument("--muted", type=float, default=0.0, help="share of calls that are paused throughout")
    options = parser.parse_args()
    keep_heap()
    for calls in options.calls:
        print(json.dumps(measure(argparse.Namespace(**{**vars(options), "calls": calls}))), flush=True)


if __name__ == "__main__":
    main()
