"""The load generator's process: sends what the traffic has due, by sendmmsg, on a clock.

`python -m bench.sender LOAD CAPACITY [INTERFACE]`, with the load as JSON; on an interface it sends frames, else datagrams to ports of this
machine. It takes one JSON object a line: {"add": [[leg, port], ...]},
{"remove": [leg, ...]}, {"play": true}, {"report": true}, which is answered by a line; it ends with its input.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from contextlib import suppress

import numpy as np

from bench.load import Load
from bench.traffic import SLICE_MS, Traffic
from bench.wires import Mirrored, Ports

SLICE_NS = SLICE_MS * 1_000_000
PRIORITY = -10
READ_BYTES = 1 << 16


class Sender:
    """The loop. Commands take effect where all legs have sent equally often."""

    def __init__(self, load: Load, capacity: int, interface: str = "") -> None:
        self._traffic = Traffic(load, capacity)
        self._wire = Mirrored(capacity, interface) if interface else Ports(capacity)
        self._playing = False
        self._wanted = False
        self._late_ns: list[int] = []  # of each slice, since the last report
        self._input = b""
        self._commands = select.poll()
        self._commands.register(0, select.POLLIN)

    def run(self) -> None:
        began, number = time.monotonic_ns(), 0
        while self._wait(due := began + number * SLICE_NS):
            self._late_ns.append(time.monotonic_ns() - due)
            if number % self._traffic.phases == 0:
                self._playing = self._wanted
            if batch := self._traffic.slice(number, self._playing):
                self._wire.send(batch)
            number += 1

    def _wait(self, due: int) -> bool:
        """Hear commands until a time, and at least what waits; False when there is nobody any more who commands."""
        while True:
            left_ms = max(0.0, (due - time.monotonic_ns()) / 1e6)
            if self._commands.poll(left_ms):
                if not self._hear():
                    return False
            elif not left_ms or time.monotonic_ns() >= due:
                return True

    def _hear(self) -> bool:
        """Obey; False when there is nobody any more who commands."""
        read = os.read(0, READ_BYTES)
        *lines, self._input = (self._input + read).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))
        return bool(read)

    def _obey(self, command: dict[str, object]) -> None:
        match command:
            case {"add": list(legs)}:
                for leg, port in legs:
                    self._wire.aim(leg, port)
                    self._traffic.add(leg)
            case {"remove": list(legs)}:
                self._traffic.remove(legs)
            case {"play": bool(playing)}:
                self._wanted = playing
            case {"report": True}:
                print(json.dumps(self._report()), flush=True)
            case _:
                raise ValueError(f"the sender knows no command with {', '.join(command)}")

    def _report(self) -> dict[str, object]:
        counts = self._traffic.counts
        late = np.array(self._late_ns or [0]) / 1e6
        self._late_ns.clear()
        return {
            "made": counts.made.tolist(),
            "lost": counts.lost.tolist(),
            "failed": self._wire.failed,
            "late_ms": {"p50": float(np.median(late)), "p99": float(np.quantile(late, 0.99)), "max": float(late.max())},
            "cpu_seconds": time.process_time(),
        }  # fmt: skip


def go_first() -> None:
    """Where it is allowed, before what is measured: a network does not wait for its receiver either."""
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)


if __name__ == "__main__":
    go_first()
    Sender(Load.of_json(json.loads(sys.argv[1])), int(sys.argv[2]), *sys.argv[3:]).run()
