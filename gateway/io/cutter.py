"""Writes the parts of one call anew without what is cut, in a process of its own that yields to everything else.

What to do comes as JSON on standard input, what was done goes to standard output. Audio is decrypted piece by piece,
in memory that is kept to itself, and reaches the disk only sealed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import asdict, replace

from gateway.io.jobs import Cutter
from gateway.io.log import begin_childs_log
from gateway.io.secrecy import lock_memory, refuse_dumps
from gateway.storage import canonical
from gateway.storage.cutting import PartToCut, cut_part

LEAST_PRIORITY = 19


def main() -> None:
    """Do it, and say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal signals all; the control process decides
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_childs_log()
    os.nice(LEAST_PRIORITY)
    refuse_dumps()
    lock_memory()
    done = _cut(sys.stdin.buffer.read())
    print(json.dumps(asdict(replace(done, cpu_ns=time.process_time_ns()))), flush=True)


def _cut(asked: bytes) -> Cutter:
    try:
        parts = [canonical.build(PartToCut, row) for row in json.loads(asked)]
        return Cutter(tuple(map(cut_part, parts)), "")
    except Exception as error:  # noqa: BLE001 the control process is told
        return Cutter((), f"{type(error).__name__} while it was read and written")


if __name__ == "__main__":
    main()
