"""Ports of this machine for servers that tests start: no two of a run get the same, even while none of them is bound.

That a port is free now says nothing of a server that has been given it and has not begun. So each process of
a run has a share of its own, and goes through it from a random place on: what was given lately is not given again.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from itertools import count
from threading import Lock

from gateway.demo.gateway_process import is_free

HOST = "127.0.0.1"
SINGLE = range(10_000, 20_000)
RANGES = range(20_000, 32_000)  # below those that the kernel gives out


def free_port() -> int:
    """A port that is free for TCP and UDP alike."""
    with _lock:
        for port in _single:
            with socket.socket() as stream:
                try:
                    stream.bind((HOST, port))
                except OSError:
                    continue
            if is_free(port):
                return port
    raise AssertionError("the ports of a test process never end")


def free_range(ports: int) -> int:
    """The first, an even one, of so many UDP ports in a row that are free."""
    global _next
    assert ports <= len(_ranges), "more than this process's share"
    with _lock:
        while True:
            first = _next if _next + ports <= _ranges.stop else _ranges.start
            _next = first + ports + ports % 2
            if all(map(is_free, range(first, first + ports))):
                return first


def _share(ports: range) -> range:
    """Those of this process of the run."""
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    each = len(ports) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) & ~1
    return range(ports.start + process * each, ports.start + (process + 1) * each)


def _around(ports: range) -> Iterator[int]:
    begin = random.randrange(len(ports))
    return (ports[(begin + step) % len(ports)] for step in count())


_lock = Lock()  # some tests have several threads, each of which starts a client
_single = _around(_share(SINGLE))
_ranges = _share(RANGES)
_next = random.randrange(_ranges.start, _ranges.stop, 2)
