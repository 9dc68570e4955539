"""The load generator's process: sends what the traffic has due, by sendmmsg, on a clock.

`python -m bench.sender LOAD CAPACITY`, with the load as JSON. It takes one JSON object a line: {"add": [[leg, port], ...]},
{"remove": [leg, ...]}, {"play": true}, {"report": true}, which is answered by a line; it ends with its input.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import sys
import time
from contextlib import suppress

import numpy as np

from bench.load import Load
from bench.ports import HOST
from bench.traffic import HEADER_BYTES, SLICE_MS, Batch, Traffic

SLICE_NS = SLICE_MS * 1_000_000
MOST = 1024  # messages of one sendmmsg (UIO_MAXIOV)
SEND_BYTES = 4 << 20
PRIORITY = -10
READ_BYTES = 1 << 16

# <bits/socket.h>, <bits/types/struct_iovec.h>, <netinet/in.h>, 64-bit: struct mmsghdr, iovec, sockaddr_in.
MMSGHDR = np.dtype(
    {
        "names": ["name", "namelen", "iov", "iovlen", "length"],
        "formats": ["u8", "u4", "u8", "u8", "u4"],
        "offsets": [0, 8, 16, 24, 56],
        "itemsize": 64,
    }
)
IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
SOCKADDR = np.dtype([("family", "u2"), ("port", ">u2"), ("address", "u1", 4), ("zero", "u1", 8)])

_libc = ctypes.CDLL(None, use_errno=True)
_libc.sendmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
_libc.sendmmsg.restype = ctypes.c_int


class Wire:
    """One socket that sends to the ports of all legs, and the arrays by which the kernel is told what."""

    def __init__(self, capacity: int) -> None:
        self.failed = 0
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._addresses = np.zeros(capacity, SOCKADDR)
        self._addresses["family"] = socket.AF_INET
        self._addresses["address"] = np.frombuffer(socket.inet_aton(HOST), np.uint8)
        self._resize(capacity)

    def aim(self, leg: int, port: int) -> None:
        self._addresses["port"][leg] = port

    def send(self, batch: Batch) -> None:
        count = len(batch)
        if count > len(self._messages):
            self._resize(2 * count)
        size = batch.headers.shape[1]
        if size:
            self._headers[:count] = batch.headers
        self._vectors["length"][:count, 0] = size
        self._vectors["base"][:count, 1] = batch.payloads
        self._vectors["length"][:count, 1] = batch.lengths
        self._messages["name"][:count] = self._addresses.ctypes.data + batch.legs * SOCKADDR.itemsize
        first = 0
        while first < count:
            address = self._messages.ctypes.data + first * MMSGHDR.itemsize
            sent = _libc.sendmmsg(self._socket.fileno(), address, min(MOST, count - first), 0)
            self.failed += sent < 0
            first += sent if sent > 0 else 1

    def _resize(self, rows: int) -> None:
        """Room for so many packets at once; with jitter a slice may have more of them than there are legs."""
        order = np.arange(rows, dtype=np.uint64)
        self._headers = np.zeros((rows, HEADER_BYTES), np.uint8)
        self._vectors = np.zeros((rows, 2), IOVEC)
        self._messages = np.zeros(rows, MMSGHDR)
        self._vectors["base"][:, 0] = self._headers.ctypes.data + order * HEADER_BYTES
        self._messages["namelen"] = SOCKADDR.itemsize
        self._messages["iov"] = self._vectors.ctypes.data + order * (2 * IOVEC.itemsize)
        self._messages["iovlen"] = 2


class Sender:
    """The loop. Commands take effect where all legs have sent equally often."""

    def __init__(self, load: Load, capacity: int) -> None:
        self._traffic = Traffic(load, capacity)
        self._wire = Wire(capacity)
        self._playing = False
        self._wanted = False
        self._late_ns: list[int] = []  # of each slice, since the last report
        self._input = b""

    def run(self) -> None:
        poll = select.poll()
        poll.register(0, select.POLLIN)
        began, number = time.monotonic_ns(), 0
        while True:
            due = began + number * SLICE_NS
            while (left := due - time.monotonic_ns()) > 0:
                if poll.poll(left / 1e6) and not self._hear():
                    return
            self._late_ns.append(time.monotonic_ns() - due)
            if number % self._traffic.phases == 0:
                self._playing = self._wanted
            if batch := self._traffic.slice(number, self._playing):
                self._wire.send(batch)
            number += 1

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
    Sender(Load.of_json(json.loads(sys.argv[1])), int(sys.argv[2])).run()
