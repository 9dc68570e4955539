"""Processor time and memory are those of a whole tree."""

from __future__ import annotations

import subprocess
import sys
import time

from bench import processes

BUSY = 0.2  # seconds of processor time
CHILD = "import time; began = time.process_time()\nwhile time.process_time() < began + {busy}: pass\n"
PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', sys.argv[1]])\nprint(1, flush=True); input()"


def test_the_time_of_children_that_ended_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD.format(busy=BUSY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdout.readline()
        assert processes.cpu_seconds(parent.pid) >= BUSY
        assert processes.resident_bytes(parent.pid) > 1 << 20
        parent.stdin.write(b"\n")


def test_the_time_of_one_that_runs_grows() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD.format(busy=60)]) as child:
        try:
            deadline = time.monotonic() + 20
            while processes.cpu_seconds(child.pid) < BUSY:
                assert time.monotonic() < deadline
            assert sum(processes.by_process(child.pid).values()) >= BUSY
        finally:
            child.kill()
    assert processes.cpu_seconds(child.pid) == 0
