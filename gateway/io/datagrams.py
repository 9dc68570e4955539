"""The SIP server's UDP socket: read in batches, so that a flood fills no buffer that others need."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import lru_cache

from gateway.sip.effects import Flow

Address = tuple[str, int]
MAX_DATAGRAM = 65_535  # bytes; UDP's own limit
BATCH = 64  # datagrams read before connections and timers have their turn
RECEIVE_BYTES = 4 << 20  # asked of the kernel, which gives what net.core.rmem_max allows


class Datagrams:
    """Tells `on_message` of each datagram; `on_unreachable` of those whose sender cannot be answered."""

    def __init__(
        self, here: Address, on_message: Callable[[bytes, Flow], None], on_unreachable: Callable[[], None]
    ) -> None:
        """Raises OSError."""
        self._on_message, self._on_unreachable = on_message, on_unreachable
        self._socket = _bound(here)
        self.here: Address = self._socket.getsockname()[:2]
        asyncio.get_running_loop().add_reader(self._socket, self._drain)

    def send(self, data: bytes, peer: Address) -> None:
        try:
            self._socket.sendto(data, peer)
        except OSError:
            return  # lost, as datagrams may be: the transaction's own timers deal with it

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _drain(self) -> None:
        for _ in range(BATCH):
            try:
                data, peer = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP answer to something sent earlier
            self._take(data, peer[:2])

    def _take(self, data: bytes, peer: Address) -> None:
        try:
            here = (_facing(peer[0]), self.here[1]) if _is_any(self.here[0]) else self.here
        except OSError:  # a made-up sender that nothing can be sent to
            self._on_unreachable()
            return
        self._on_message(data, Flow("udp", peer, here))


def _bound(here: Address) -> socket.socket:
    """On `::` it takes IPv6 alone, as TCP does: an answer holds addresses of one family."""
    family = socket.AF_INET6 if ":" in here[0] else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        opened.bind(here)
    except OSError:
        opened.close()
        raise
    return opened


def _is_any(address: str) -> bool:
    return address in ("0.0.0.0", "::")  # noqa: S104 compared, not bound


@lru_cache(maxsize=1024)
def _facing(peer: str) -> str:
    """Our address on the way to a peer; nothing is sent."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((peer, 9))
        address: str = probe.getsockname()[0]
        return address
