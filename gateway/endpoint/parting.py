"""Takes leave when the control process is gone, and the forwarder with it: what this process still sends goes out by itself.

BYE and CANCEL are all that matters then. They come from another port than the one that the peers know, with our Via; nobody
waits for the answers.
"""

from __future__ import annotations

import socket
from contextlib import suppress

from gateway.endpoint.effects import Hop, ToOutside
from gateway.endpoint.front import Forwarder
from gateway.endpoint.messages import Configure
from gateway.sip.headers import NameAddr, SipUri

CONNECT_SECONDS = 0.3  # for each message over TCP; others wait meanwhile
DEFAULT_PORT = 5060


class Parting:
    """Stands where the forwarder stood."""

    def __init__(self, config: Configure) -> None:
        """Raises OSError where the place is not free: the forwarder is there."""
        host, _, port = config.front.rpartition(":")
        inside = host, int(port)
        contact = SipUri.parse(NameAddr.parse(config.contact).uri)
        transport = dict(contact.params).get("transport") or "udp"
        here = Hop(transport, contact.host.strip("[]"), contact.port)
        self._forwarder = Forwarder(here, inside, lambda: None, "")
        self._bound = config.bound_address
        self._inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._inside.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
        )  # with the other processes, of which any will do
        self._inside.bind(inside)
        self._inside.setblocking(False)
        self._outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._outside.bind((config.bound_address, 0))

    def look(self) -> None:
        """Pass on all that was sent."""
        with suppress(BlockingIOError):
            while True:
                data = self._inside.recv(65_535)
                for effect in self._forwarder.from_inside(data, 0):
                    if isinstance(effect, ToOutside):
                        with suppress(OSError):
                            self._send(effect)

    def _send(self, sent: ToOutside) -> None:
        place = sent.hop.host, sent.hop.port or DEFAULT_PORT
        if sent.hop.transport == "udp":
            self._outside.sendto(sent.data, place)
            return
        with socket.create_connection(place, CONNECT_SECONDS, (self._bound, 0)) as connection:
            connection.sendall(sent.data)
