"""Writes the parts of one call anew without what is cut, in a process of its own that yields to everything else.

What to do comes as JSON on standard input, what was done goes to standard output. Audio is decrypted piece by piece,
in memory that is kept to itself, and reaches the disk only sealed.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, replace

from gateway.io.background import begin_in_background
from gateway.io.jobs import Cutter
from gateway.storage import canonical
from gateway.storage.cutting import PartToCut, cut_part


def main() -> None:
    """Do it, and say so."""
    begin_in_background()
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
