"""Ports of this machine that nobody has."""

from __future__ import annotations

import random
import socket
from itertools import pairwise

from gateway.demo.gateway_process import is_free

HOST = "127.0.0.1"
LOWEST, HIGHEST = 10_000, 32_000  # below those that the kernel gives out
TRIALS = 10  # before all of them are looked at


class NoPorts(Exception):
    """There is no room for so many calls; the text says where it was looked for."""


def free_port() -> int:
    """One that is free for TCP and UDP alike."""
    while True:
        port = random.randrange(LOWEST, HIGHEST)
        with socket.socket() as stream:
            try:
                stream.bind((HOST, port))
            except OSError:
                continue
        if is_free(port):
            return port


def check_room(count: int) -> None:
    """Raises NoPorts when there are fewer than so many ports in all."""
    if count > HIGHEST - LOWEST:
        raise NoPorts(f"{count:,} UDP ports are needed, between {LOWEST} and {HIGHEST} there are fewer")


def free_range(count: int) -> int:
    """The first, an even one, of so many UDP ports of which none is in use now. Raises NoPorts."""
    check_room(count)
    for _ in range(TRIALS):
        first = random.randrange(LOWEST, HIGHEST + 1 - count, 2)
        if all(map(is_free, range(first, first + count))):
            return first
    taken = [port for port in range(LOWEST, HIGHEST + 1) if not is_free(port)]
    for before, after in pairwise([LOWEST - 1, *taken, HIGHEST + 1]):
        first = before + 1 + (before + 1) % 2
        if after - first >= count:
            return first
    raise NoPorts(f"no {count:,} UDP ports in a row are free between {LOWEST} and {HIGHEST}")
