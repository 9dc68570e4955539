"""Draining UDP sockets in batches: one recvmmsg a socket into one arena, with kernel arrival times."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from gateway.rtp.packets import PacketBatch

# Datagrams an arena takes: half a second of 200 calls at 20 ms. What is left in the sockets comes with the next batch.
ROWS = 10_240
SLOT_BYTES = 1600  # an Ethernet frame's worth; a longer datagram is cut and refused
SOCKET_ROWS = 256  # most datagrams of one socket in one batch: no socket starves the others
CONTROL_BYTES = 64
SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>; also the type of its control message
# Of a media socket: a minute of 20 ms G.711, while a worker is replaced or behind. Empty buffers cost nothing.
RECEIVE_BYTES = 1 << 20
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>: past net.core.rmem_max, for those who may
MSG_DONTWAIT, MSG_TRUNC = 0x40, 0x20
NS = 1_000_000_000
CLOCK_NS = 20_000  # two clocks read within this time are taken to be read at once
CLOCK_READINGS = 8  # at most
WAITED_NS = 60 * NS  # longest that datagrams may have waited in a socket when it is added

# <bits/socket.h> and <bits/types/struct_iovec.h>, 64-bit: struct mmsghdr, struct iovec, struct cmsghdr + timespec.
MMSGHDR = np.dtype(
    {
        "names": ["iov", "iovlen", "control", "controllen", "flags", "length"],
        "formats": ["u8", "u8", "u8", "u8", "i4", "u4"],
        "offsets": [16, 24, 32, 40, 48, 56],
        "itemsize": 64,
    }
)
IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
TIMESTAMP = np.dtype(
    {
        "names": ["length", "level", "type", "seconds", "nanoseconds"],
        "formats": ["u8", "i4", "i4", "i8", "i8"],
        "offsets": [0, 8, 12, 16, 24],
        "itemsize": CONTROL_BYTES,
    }
)

# PyDLL keeps the interpreter lock: with MSG_DONTWAIT the call never blocks.
_libc = ctypes.PyDLL(None, use_errno=True)
_libc.recvmmsg.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
_libc.recvmmsg.restype = ctypes.c_int


@dataclass(slots=True)
class _Group:
    """Sockets that are drained together."""

    legs: dict[int, int] = field(default_factory=dict)  # by file descriptor
    drained_ns: int = field(default_factory=time.monotonic_ns)


class Receiver:
    """The sockets of all legs, and the arena that their datagrams are read into."""

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        self._arena = np.full(
            (rows, SLOT_BYTES), 0, np.uint8
        )  # all of it there from the start, not call by call
        self._control = np.zeros(rows, TIMESTAMP)
        self._iovecs = np.zeros(rows, IOVEC)
        self._headers = np.zeros(rows, MMSGHDR)
        order = np.arange(rows, dtype=np.uint64)
        self._iovecs["base"] = self._arena.ctypes.data + order * SLOT_BYTES
        self._iovecs["length"] = SLOT_BYTES
        self._headers["iov"] = self._iovecs.ctypes.data + order * IOVEC.itemsize
        self._headers["iovlen"] = 1
        self._headers["control"] = self._control.ctypes.data + order * CONTROL_BYTES
        self._headers["controllen"] = CONTROL_BYTES
        self._groups: defaultdict[int, _Group] = defaultdict(_Group)
        self._group_of: dict[int, _Group] = {}  # by file descriptor

    def add(self, handle: int, leg: int, group: int = 0) -> None:
        """Drain a socket with others from now on; the receiver closes it when it is removed."""
        self._group_of[handle] = mine = self._groups[group]
        mine.legs[handle] = leg
        mine.drained_ns = min(mine.drained_ns, time.monotonic_ns() - WAITED_NS)

    def remove(self, handle: int) -> None:
        del self._group_of.pop(handle).legs[handle]
        os.close(handle)

    def drain(self, group: int = 0) -> tuple[PacketBatch, bool]:
        """All that waits in the sockets of a group, as one batch, and whether the arena was too small to take it all.

        The batch is a view, good until the next drain. Arrival is on the monotonic clock.
        """
        began, mine = time.monotonic_ns(), self._groups[group]
        batch, left = self._drain(mine.legs.items(), mine.drained_ns)
        if not left:
            mine.drained_ns = began
        return batch, left

    def drain_these(self, handles: Iterable[int]) -> PacketBatch:
        """As much as the arena takes of what waits in some sockets, whatever their groups."""
        mine = [(handle, self._group_of[handle]) for handle in handles]
        since = min((group.drained_ns for _, group in mine), default=0)
        return self._drain([(handle, group.legs[handle]) for handle, group in mine], since)[0]

    def _drain(self, sockets: Iterable[tuple[int, int]], since_ns: int) -> tuple[PacketBatch, bool]:
        legs: list[int] = []
        counts: list[int] = []
        row, left, address = 0, False, self._headers.ctypes.data
        for handle, leg in sockets:
            room = min(SOCKET_ROWS, self._rows - row)
            count = (
                _libc.recvmmsg(handle, address + row * MMSGHDR.itemsize, room, MSG_DONTWAIT, None)
                if room
                else 0
            )
            if count <= 0:
                left |= not room
                _check(count)
                continue
            left |= count == room
            legs.append(leg)
            counts.append(count)
            row += count
        return self._batch(row, np.repeat(np.array(legs, np.int64), counts), since_ns), left

    def _batch(self, rows: int, legs: np.typing.NDArray[np.int64], since_ns: int) -> PacketBatch:
        headers = self._headers[:rows]
        sizes = headers["length"].astype(np.int64)
        sizes[headers["flags"] & MSG_TRUNC != 0] = 0
        return PacketBatch(self._arena[:rows], sizes, legs, self._arrivals(rows, since_ns))

    def _arrivals(self, rows: int, since_ns: int) -> np.typing.NDArray[np.int64]:
        """Kernel arrival times, which are UTC, on the monotonic clock.

        A step of the system clock since the last drain (ns) would move them; they are kept between that drain and now.
        """
        control, headers = self._control[:rows], self._headers[:rows]
        now = time.monotonic_ns()
        arrivals = control["seconds"] * NS + control["nanoseconds"] + monotonic_less_utc()
        stamped = (headers["controllen"] > 0) & (control["type"] == SO_TIMESTAMPNS)
        headers["controllen"] = CONTROL_BYTES  # the kernel has put what it used there
        arrivals[~stamped] = now
        clipped: np.typing.NDArray[np.int64] = np.clip(arrivals, since_ns, now)
        return clipped


def monotonic_less_utc() -> int:
    """The monotonic clock less UTC (ns).

    A process that is put aside between its readings of the two clocks would move every packet of a batch by as much;
    of several readings the one with the least time in it counts.
    """
    readings: list[tuple[int, int]] = []
    while len(readings) < CLOCK_READINGS and (not readings or min(readings)[0] > CLOCK_NS):
        before, utc, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        readings.append((after - before, (before + after) // 2 - utc))
    return min(readings)[1]


def _check(count: int) -> None:
    """A socket's own error (an ICMP message) is its peer's business; anything else is a broken promise."""
    code = ctypes.get_errno() if count < 0 else 0
    if code not in (0, errno.EAGAIN, errno.EINTR, errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
        raise OSError(code, os.strerror(code))


def keep_stamps() -> socket.socket:
    """A socket that makes the kernel stamp what comes, as long as it is open.

    It begins to stamp a while after the first socket asked for it, and ends with the last one; what comes meanwhile is stamped
    when it is read. The first packets of a call that is alone on the machine must not have that time.
    """
    kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    kept.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    return kept


def media_socket(address: str, port: int) -> socket.socket:
    """A bound UDP socket whose datagrams carry the kernel's arrival time. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        _enlarge(opened)
        opened.bind((address, port))
    except OSError:
        opened.close()
        raise
    return opened


def _enlarge(opened: socket.socket) -> None:
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
