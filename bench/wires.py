"""How packets of many legs leave together, by sendmmsg: as datagrams to ports, or as frames that a mirrored port shows."""

from __future__ import annotations

import ctypes
import socket

import numpy as np

from bench.load import Octets
from bench.mirror import UDP_BYTES, headers, with_lengths
from bench.ports import HOST
from bench.traffic import HEADER_BYTES, Batch

MOST = 1024  # messages of one sendmmsg (UIO_MAXIOV)
SEND_BYTES = 4 << 20

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
    """One socket that sends for all legs, and the arrays by which the kernel is told what; in front of each packet may stand
    octets of its leg's."""

    def __init__(self, opened: socket.socket, rows: int, lead: int) -> None:
        self.failed = 0
        self._socket = opened
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        self._lead = lead  # octets
        self._resize(rows)

    def aim(self, leg: int, port: int) -> None:
        """Where the packets of a leg go."""
        raise NotImplementedError

    def send(self, batch: Batch) -> None:
        count, lead = len(batch), self._lead
        if count > len(self._messages):
            self._resize(2 * count)
        size = batch.headers.shape[1]
        self._headers[:count, lead : lead + size] = batch.headers
        self._vectors["length"][:count, 0] = lead + size
        self._vectors["base"][:count, 1] = batch.payloads
        self._vectors["length"][:count, 1] = batch.lengths
        self._address(batch)
        first = 0
        while first < count:
            address = self._messages.ctypes.data + first * MMSGHDR.itemsize
            sent = _libc.sendmmsg(self._socket.fileno(), address, min(MOST, count - first), 0)
            self.failed += sent < 0
            first += sent if sent > 0 else 1

    def _address(self, batch: Batch) -> None:
        """Say of each packet where it goes."""
        raise NotImplementedError

    def _resize(self, rows: int) -> None:
        """Room for so many packets at once; with jitter a slice may have more of them than there are legs."""
        order = np.arange(rows, dtype=np.uint64)
        width = self._lead + HEADER_BYTES
        self._headers: Octets = np.zeros((rows, width), np.uint8)
        self._vectors = np.zeros((rows, 2), IOVEC)
        self._messages = np.zeros(rows, MMSGHDR)
        self._vectors["base"][:, 0] = self._headers.ctypes.data + order * width
        self._messages["iov"] = self._vectors.ctypes.data + order * (2 * IOVEC.itemsize)
        self._messages["iovlen"] = 2


class Ports(Wire):
    """Datagrams to ports of this machine."""

    def __init__(self, capacity: int) -> None:
        self._addresses = np.zeros(capacity, SOCKADDR)
        self._addresses["family"] = socket.AF_INET
        self._addresses["address"] = np.frombuffer(socket.inet_aton(HOST), np.uint8)
        super().__init__(socket.socket(type=socket.SOCK_DGRAM), capacity, 0)

    def aim(self, leg: int, port: int) -> None:
        self._addresses["port"][leg] = port

    def _address(self, batch: Batch) -> None:
        self._messages["name"][: len(batch)] = self._addresses.ctypes.data + batch.legs * SOCKADDR.itemsize
        self._messages["namelen"][: len(batch)] = SOCKADDR.itemsize


class Mirrored(Wire):
    """Frames on an interface, between the telephones of each call."""

    def __init__(self, capacity: int, interface: str) -> None:
        self._heads = headers(capacity)
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        opened.bind((interface, 0))
        super().__init__(opened, capacity, self._heads.dtype.itemsize)

    def aim(self, leg: int, port: int) -> None:
        """It follows from the leg."""

    def _address(self, batch: Batch) -> None:
        datagrams = UDP_BYTES + batch.headers.shape[1] + batch.lengths
        heads = with_lengths(self._heads[batch.legs], datagrams)
        self._headers[: len(batch), : self._lead] = heads.view(np.uint8).reshape(len(batch), -1)
