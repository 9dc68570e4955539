from __future__ import annotations

import subprocess
import sys

# Page faults of arrays that are made and dropped again and again, after those of the first times.
FAULTS = """
import resource, numpy as np
from gateway.io.heap import keep_heap
{first}
def ticks():
    for _ in range(50):
        held = [np.zeros(300_000, np.uint8) + 1 for _ in range(8)]
ticks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
ticks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(first: str) -> int:
    command = [sys.executable, "-c", FAULTS.format(first=first)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_memory_of_a_tick_serves_the_next_one() -> None:
    assert faults("keep_heap()") * 10 <= faults("") + 100
