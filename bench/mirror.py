"""A mirrored port: a pair of virtual interfaces in a network namespace of its own, and what passes it.

What is sent on one end arrives at the other, from telephones to telephones that this machine knows nothing of.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.load import Ints

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
Heads = npt.NDArray[np.void]

# Ethernet, IPv4 without options (RFC 791 section 3.1), UDP (RFC 768).
HEAD = np.dtype(
    [
        ("to_station", "u1", 6),
        ("from_station", "u1", 6),
        ("ethertype", ">u2"),
        ("version", "u1"),
        ("service", "u1"),
        ("total", ">u2"),
        ("identification", ">u2"),
        ("fragment", ">u2"),
        ("hops", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("source", ">u4"),
        ("destination", ">u4"),
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("length", ">u2"),
        ("no_checksum", ">u2"),
    ]
)
IP_AT, IP_BYTES, UDP_BYTES = 14, 20, 8
IPV4, DONT_FRAGMENT, UDP = 0x0800, 0x4000, 17
STATIONS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")

TRUNK, SWITCH = "10.0.0.1", "10.0.0.2"  # who signal to each other
AGENTS = 0x0A01_0001  # the first of them, each with an address of its own
TRUNK_PORT, AGENT_PORT, SIP_PORT = 10_000, 4_000, 5_060

Place = tuple[str, int]  # an address and a port


class NoMirror(Exception):
    """There can be no mirrored port; the text says why."""


@contextmanager
def own_network() -> Iterator[None]:
    """This thread, and all that it starts meanwhile, see no network but what is made here. Raises NoMirror."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as before:
        if libc.unshare(CLONE_NEWNET) < 0:
            raise NoMirror(
                f"a network namespace cannot be made: {os.strerror(ctypes.get_errno())}; a mirrored port needs root"
            )
        try:
            _ip("link", "set", "lo", "up")
            yield
        finally:
            libc.setns(before.fileno(), CLONE_NEWNET)


class Mirror:
    """What is sent at the one end is seen at the other; both go with their namespace."""

    def __init__(self, number: int) -> None:
        """Raises NoMirror."""
        self.phones, self.port = f"phones{number}", f"mirror{number}"
        _ip("link", "add", self.phones, "type", "veth", "peer", "name", self.port)
        for end in (self.phones, self.port):
            _ip("link", "set", end, "up")


def place(call: int, side: int) -> Place:
    """Where a side of a call takes its audio: 0 is on the trunk, 1 is the agent."""
    if side == 0:
        return TRUNK, TRUNK_PORT + 2 * call
    return socket.inet_ntoa((AGENTS + call).to_bytes(4)), AGENT_PORT


def headers(legs: int) -> Heads:
    """What stands before the packets of so many legs, two a call; the leg of a side is what that side says."""
    heads = np.zeros(legs, HEAD)
    for leg in range(legs):
        call, side = divmod(leg, 2)
        heads[leg] = _head(place(call, side), place(call, 1 - side), side)
    return heads


def with_lengths(heads: Heads, datagrams: Ints) -> Heads:
    """These heads for UDP datagrams of so many octets, their own header included."""
    heads["length"], heads["total"] = datagrams, datagrams + IP_BYTES
    octets = heads.view(np.uint8).reshape(len(heads), -1)[:, IP_AT : IP_AT + IP_BYTES]
    total = np.ascontiguousarray(octets).view(">u2").sum(axis=1, dtype=np.int64)
    for _ in range(2):  # the carry, and that of the carry (RFC 1071)
        total = (total & 0xFFFF) + (total >> 16)
    heads["checksum"] = 0xFFFF - total
    return heads


def frame(source: Place, destination: Place, side: int, payload: bytes) -> bytes:
    """A frame that a side sends."""
    head = np.array([_head(source, destination, side)], HEAD)
    return with_lengths(head, np.array([UDP_BYTES + len(payload)])).tobytes() + payload


def _head(source: Place, destination: Place, side: int) -> tuple[Any, ...]:
    addresses = (int.from_bytes(socket.inet_aton(address)) for address, _ in (source, destination))
    ports = source[1], destination[1]
    stations = (list(STATIONS[1 - side]), list(STATIONS[side]))
    return (*stations, IPV4, 0x45, 0, 0, 0, DONT_FRAGMENT, 64, UDP, 0, *addresses, *ports, 0, 0)


def _ip(*words: str) -> None:
    try:
        ended = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoMirror("a mirrored port needs `ip`: apt-get install iproute2") from error
    if ended.returncode:
        raise NoMirror(f"ip {' '.join(words)}: {ended.stderr.strip()}")
