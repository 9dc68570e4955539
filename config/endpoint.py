"""`[[attach]] kind = "endpoint"`: the user agent on the trunk."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gateway.config.section import Section

CALLS_EACH = 2  # calls of one endpoint process: pjsip as published has four legs
PORTS_EACH = 32  # RTP and RTCP of one process: four legs, and room for those that are being closed
MAX_CALLS = 200

_HOST = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::\d{1,5})?"


def _place(text: str) -> str:
    if not re.fullmatch(_HOST, text):
        raise ValueError(f"{text!r} is not a host, with or without a port, such as sip.example.com:5060")
    return text


def _address(text: str) -> str:
    try:
        found = IPv4Address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv4 address") from error
    if found.is_unspecified:
        raise ValueError(f"{text!r} is no address that a trunk reaches: give this machine's own")
    return text


def _name_server(text: str) -> str:
    try:
        IPv4Address(text.partition(":")[0])
    except ValueError as error:
        raise ValueError(f"{text!r} is not an IPv4 address, with or without a port") from error
    return _place(text)


def _network(text: str) -> str:
    """Raises ValueError."""
    ip_network(text)
    return text


def _destination(text: str) -> str:
    if (
        not re.fullmatch(rf"sips?:\S+|[+\d*#]{{1,32}}|[\w.+*#-]+@{_HOST}", text)
        or "<" in text
        or text.startswith("sips:")
    ):
        raise ValueError(f"{text!r} is neither a number nor a sip URI such as sip:100@192.0.2.20")
    return text


Host = Annotated[str, AfterValidator(_place)]
Address = Annotated[str, AfterValidator(_address)]


class EndpointSettings(Section):
    """Registers on a trunk or a hosted telephone system, takes its calls, plays the notice and connects them to the practice.

    Needs the extra `endpoint`, and CAP_NET_RAW to see the audio that arrives. UDP and TCP; no TLS.
    """

    kind: Literal["endpoint"] = Field(description="`endpoint`.")
    name: str = Field(
        "endpoint",
        pattern=r"^[\w.-]{1,32}$",
        description="What metrics and log call it; each attachment has its own.",
    )
    registrar: Host = Field(
        description="Domain or address of the trunk, with its port where that is not 5060."
    )
    register_here: bool = Field(
        True, description="Register there; a trunk that sends calls to a fixed address needs no registration."
    )
    proxy: Host | None = Field(
        None, description="Where requests to the trunk are sent, when that is another host than `registrar`."
    )
    user: str = Field(
        pattern=r"^[\w.+*!~-]{1,64}$",
        description="User of the SIP address that is registered; calls come to it.",
    )
    auth_user: str | None = Field(None, description="User of digest authentication, where it is another one.")
    password_file: Path | None = Field(
        None,
        description="File that holds the password of digest authentication, mode 0600. Unset: "
        "`HUSHTAP_TRUNK_PASSWORD` in the environment, else none.",
    )
    realm: str = Field("*", description="Realm that the password is for; `*`: any.")
    transport: Literal["udp", "tcp"] = Field("udp", description="Transport to the trunk.")
    expires_seconds: int = Field(300, ge=60, le=7200, description="Registration is renewed within this time.")
    address: Address = Field(description="IPv4 address of this machine that the trunk reaches: SIP and RTP.")
    port: int = Field(5070, ge=1, le=65535, description="SIP port, UDP and TCP; not that of `sip.port`.")
    public_address: Address | None = Field(
        None,
        description="Address written into SIP and SDP where the trunk sees another one than `address` and does not find it "
        "out by itself.",
    )
    interface: str | None = Field(
        None,
        pattern=r"^[^\s/]{1,15}$",
        description="Network interface on which the audio arrives, where the recorder hears it; unset: the one that has `address`.",
    )
    first_rtp_port: int = Field(
        12_000, ge=1024, le=65_000, description=f"First RTP port; each process takes {PORTS_EACH}."
    )
    name_servers: tuple[Annotated[str, AfterValidator(_name_server)], ...] = Field(
        (),
        description="Name servers for the hosts of `registrar`, `proxy` and `destination`, as address or address:port; unset: "
        "those of the system.",
    )
    peers: tuple[Annotated[str, AfterValidator(_network)], ...] = Field(
        (),
        description="Networks that may send SIP besides the hosts of `registrar`, `proxy` and `destination`.",
    )
    destination: Annotated[str, AfterValidator(_destination)] = Field(
        description="The practice's number on the trunk, or the SIP URI of its telephone or telephone system."
    )
    show_caller: Literal["name", "number", "nowhere"] = Field(
        "name",
        description="Where the practice's phone is shown who calls. `name`: the display name of From has the number, and the name "
        "where there is one; the address stays that of `user`. `number`: the address of From has the number, too, as telephone systems "
        "and trunks with CLIP no screening take it. `nowhere`: `user` calls.",
    )
    transfers: bool = Field(
        True,
        description="Whether the practice's telephone may hand on a call (REFER), to others of its telephone system and to hosts of "
        "`peers`. Never where `destination` is on the trunk.",
    )
    calls: int = Field(
        8,
        ge=1,
        le=MAX_CALLS,
        description=f"Calls at once; a further one hears that the line is busy (486). A process for each {CALLS_EACH}.",
    )
    ring_seconds: float = Field(60.0, ge=1, le=600, description="How long the practice's phone rings.")
    busy_seconds: float = Field(
        6.0, ge=0, le=60, description="How long a caller who is answered hears the busy tone before BYE."
    )
    answer: Literal["at_once", "when_connected"] = Field(
        "at_once",
        description="`at_once`: the caller is answered and hears the notice. `when_connected`: the notice and the ringing are "
        "early media, and the caller is answered when the practice's phone is; not every trunk lets early media through.",
    )
    notice: Path | None = Field(None, description="The notice: an audio file of the practice's.")
    notice_text: str | None = Field(
        None, min_length=1, max_length=2000, description="The notice as text, spoken by espeak-ng."
    )
    notice_language: str = Field(
        "de", pattern=r"^[A-Za-z0-9+-]{2,32}$", description="Voice of espeak-ng that speaks it."
    )
    notice_required: bool = Field(
        False,
        description="A call whose notice could not be played to its end is ended. Otherwise it is connected, and marked "
        "`unannounced`: a patient who is not put through may be in danger.",
    )

    @model_validator(mode="after")
    def _one_notice(self) -> EndpointSettings:
        if self.notice and self.notice_text:
            raise ValueError("notice and notice_text are two notices: set one of them")
        if self.notice_required and not (self.notice or self.notice_text):
            raise ValueError("notice_required is set, and there is no notice")
        if (last := self.rtp_ports()[1]) > 65_535:
            raise ValueError(
                f"the RTP ports of {self.processes()} processes reach up to {last:,}: set first_rtp_port lower"
            )
        return self

    def processes(self) -> int:
        """As many as the calls need."""
        return -(-self.calls // CALLS_EACH)

    def rtp_ports(self) -> tuple[int, int]:
        """The first and the last of all processes."""
        return self.first_rtp_port, self.first_rtp_port + self.processes() * PORTS_EACH - 1
