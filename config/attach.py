"""What the gateway attaches to besides recording clients: `[[attach]]`, once for each, told apart by `kind`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.config.endpoint import EndpointSettings
from gateway.config.section import Port, Section

INTERFACE_CHARACTERS = 15  # <linux/if.h>: IFNAMSIZ less the end


def _interface(name: str) -> str:
    if not 0 < len(name) <= INTERFACE_CHARACTERS or re.search(r"[\s/]", name):
        raise ValueError(f"{name!r} is not the name of a network interface")
    return name


class TapSettings(Section):
    """Listens on interfaces of this machine: a mirrored port of a switch, a cloud's mirror, or the telephone system's own.

    Needs the capability CAP_NET_RAW.
    """

    kind: Literal["tap"] = Field(description="`tap`.")
    name: str = Field(
        "tap",
        pattern=r"^[\w.-]{1,32}$",
        description="What metrics and log call it; each attachment has its own.",
    )
    interfaces: tuple[Annotated[str, AfterValidator(_interface)], ...] = Field(
        min_length=1, description="Network interfaces to listen on, such as `eth1`."
    )
    sip_ports: tuple[Port, ...] = Field(
        (5060, 5080), min_length=1, max_length=32, description="Ports of SIP, UDP and TCP."
    )
    tls_ports: tuple[Port, ...] = Field(
        (5061,),
        max_length=32,
        description="Ports of SIP over TLS, which is seen and reported and cannot be read.",
    )
    ignored_ports: tuple[Port, ...] = Field(
        (53, 123, 443, 2049),
        max_length=64,
        description="UDP ports that are not looked at, to or from: what carries no telephony need not be copied.",
    )
    ring_megabytes: int = Field(
        64,
        ge=2,
        le=2048,
        description="Memory of the kernel for frames of each interface that wait to be read: 64 hold two seconds of 1,000 calls.",
    )
    early_seconds: float = Field(
        2.0,
        ge=0,
        le=10,
        description="A call has its audio from so long before its media was agreed on; until its call is known, audio waits in memory.",
    )
    early_megabytes: int = Field(
        64,
        ge=1,
        le=1024,
        description="Most memory for such audio: 64 hold that of 1,000 calls that begin at once. That of calls that are not recorded fills it, too.",
    )
    silence_minutes: int = Field(
        60,
        ge=0,
        description="Alarm when no SIP has been seen for so long in `metrics.office_hours`; 0: none.",
    )


class EndpointTap(TapSettings):
    """What hears the audio that comes to an endpoint: made of its settings, never written down."""

    rtp_ports: tuple[int, int]  # the first and the last


Attachment = Annotated[TapSettings | EndpointSettings, Field(discriminator="kind")]
