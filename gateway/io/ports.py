"""The RTP ports of this machine, two calls never on one."""

from __future__ import annotations

import socket
from collections import deque

from gateway.config.settings import MediaSettings
from gateway.io.receive import media_socket


class NoPortFree(Exception):
    """Every RTP port of the configured range is in use."""


class MediaPorts:
    """Even ports (RFC 3550 section 11), the one longest unused first: stray packets of an old call die out."""

    def __init__(self, settings: MediaSettings) -> None:
        first = settings.first_port + settings.first_port % 2
        self._free = deque(range(first, settings.last_port + 1, 2))

    @property
    def free(self) -> int:
        """How many are not in use by us."""
        return len(self._free)

    def claim(self, address: str) -> socket.socket:
        """A bound socket. Raises NoPortFree."""
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return media_socket(address, port)
            except OSError:
                self._free.append(port)  # somebody else's; perhaps free again later
        raise NoPortFree

    def release(self, claimed: socket.socket) -> None:
        self._free.append(claimed.getsockname()[1])
        claimed.close()
