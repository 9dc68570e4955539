"""Where the audio of an endpoint is heard: a tap on the interface that has its address, which follows no signalling."""

from __future__ import annotations

import fcntl
import socket
import struct

from gateway.config.attach import EndpointTap, TapSettings
from gateway.config.endpoint import EndpointSettings
from gateway.config.settings import Settings
from gateway.io.ring import TapFault

SIOCGIFADDR = 0x8915  # <linux/sockios.h>
# Nothing is awaited there: what the endpoint's calls are, its own processes tell.
NO_SIP = 9
RING_MEGABYTES = 16  # four seconds of two hundred calls, and of nothing else
# From the bridge until the media worker knows of the call; more would hold what was said before.
EARLY_SECONDS = 0.2


def taps_of(settings: Settings) -> tuple[TapSettings, ...]:
    """All taps, numbered by their place: those configured, then those of the endpoints. Raises TapFault."""
    return (*settings.taps(), *map(tap_of, settings.endpoints()))


def tap_of(endpoint: EndpointSettings) -> EndpointTap:
    """Raises TapFault where no interface has the endpoint's address."""
    return EndpointTap(
        kind="tap",
        name=endpoint.name,
        interfaces=(endpoint.interface or interface_of(endpoint.address),),
        sip_ports=(NO_SIP,),
        tls_ports=(),
        rtp_ports=endpoint.rtp_ports(),
        ring_megabytes=RING_MEGABYTES,
        early_seconds=EARLY_SECONDS,
        silence_minutes=0,
    )


def interface_of(address: str) -> str:
    """The network interface that has an IPv4 address. Raises TapFault."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            request = struct.pack("16s240x", name.encode())
            try:
                answer = fcntl.ioctl(asking, SIOCGIFADDR, request)
            except OSError:  # it has none
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    raise TapFault(
        f"no network interface has the endpoint's address {address}: set `interface` in its [[attach]]"
    )
