"""The load generator as its master sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import Load

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Sent:
    """What has left so far."""

    made: Sequence[int]  # packets, by leg
    lost: Sequence[int]  # of these, on purpose
    failed: int  # that the kernel did not take
    late_ms: dict[str, float]  # how late slices were since the last report: p50, p99, max
    cpu_seconds: float


class Sending:
    """A sender process from entry to exit; on an interface, where one is named, else to ports of this machine."""

    def __init__(self, load: Load, capacity: int, interface: str = "") -> None:
        self._command = [
            sys.executable,
            "-m",
            "bench.sender",
            json.dumps(load.as_json()),
            str(max(2, capacity)),
            *([interface] if interface else []),
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        self.report()  # it is there
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, legs: Sequence[tuple[int, int]]) -> None:
        """Legs and the ports they are sent to."""
        self._tell({"add": legs})

    def remove(self, legs: Sequence[int]) -> None:
        self._tell({"remove": legs})

    def play(self, playing: bool) -> None:
        self._tell({"play": playing})

    def report(self) -> Sent:
        self._tell({"report": True})
        assert self._process.stdout is not None
        return Sent(**json.loads(self._process.stdout.readline()))

    def _tell(self, command: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
