"""Two hundred calls at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.gateway import ROOT, Gateway
from tests.ports import HOST

CALLS = 200
SECONDS = 15
PACKETS = SECONDS * 50  # of 20 ms, on each leg


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time of the two processes so far, in seconds."""

    control: float
    worker: float

    @classmethod
    def of(cls, gateway: Gateway) -> Usage:
        return cls(_seconds(gateway.pid), _seconds(gateway.worker_pid()))


def _seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_two_hundred_calls_lose_nothing(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with Gateway(tmp_path, media_ports=4 * CALLS + 100) as gateway:
        before = Usage.of(gateway)
        load = f"-m gateway.demo.client --server {HOST}:{gateway.server[1]} --calls {CALLS} --rate 100"
        ended = subprocess.run(
            [sys.executable, *load.split(), "--seconds", str(SECONDS), "--json"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        used = Usage.of(gateway)
        gateway.wait_idle()
        sent = json.loads(ended.stdout)
        calls = gateway.calls()
        assert (sent["answered"], sent["not_sent"], sent["problems"]) == (CALLS, 0, {})
        assert sent["packets"] == 2 * CALLS * PACKETS
        assert len(calls) == CALLS
        assert {call["state"] for call in calls} == {"recorded"}
        legs = [leg for call in calls for leg in call["legs"]]
        assert {(leg["packets"], leg["lost"], leg["late"], leg["duplicated"]) for leg in legs} == {
            (PACKETS, 0, 0, 0)
        }
        assert {leg["seconds"] for leg in legs} == {SECONDS}
        verdicts = gateway.verify()
        assert len(verdicts) == CALLS
        assert [verdict for verdict in verdicts if not verdict["ok"]] == []
    record_property("control process, CPU s", round(used.control - before.control, 2))
    record_property("media worker, CPU s", round(used.worker - before.worker, 2))
