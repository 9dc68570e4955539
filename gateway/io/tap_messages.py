"""What the control process and a media worker tell each other of taps."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Attach:
    """Listen on a tap; the sockets of its rings come with it."""

    tap: int  # its number among the taps
    megabytes: int  # of each ring
    link_types: tuple[int, ...]  # LINKTYPE_ of each
    ports: tuple[int, ...]  # of SIP, TLS included
    early_ns: int
    early_bytes: int


@dataclass(frozen=True, slots=True)
class Passed:
    """A SIP message that went by; its octets are the characters of `data` (ISO 8859-1)."""

    tap: int
    at_ns: int  # monotonic
    number: int  # of the frame
    source: str
    source_port: int
    destination: str
    destination_port: int
    transport: str  # udp, tcp
    data: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unfollowed:
    """Something of telephony that could not be followed, as gateway.tap.effects.Unheard."""

    tap: int
    kind: str
    at_ns: int
    number: int


@dataclass(frozen=True, slots=True)
class AudioAlone:
    """A call of which only audio was seen has ended; times are monotonic."""

    tap: int
    began_ns: int
    ended_ns: int
    one: str  # address of a side
    one_port: int
    other: str
    other_port: int
    both_ways: bool = True


@dataclass(frozen=True, slots=True)
class Refusals:
    """Frames of one kind that could not be read."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class TapReport:
    """What a tap saw since this was last told."""

    tap: int
    packets: int  # that passed the kernel's filter, those dropped included
    dropped: int  # because the ring was full
    octets: int
    sip: int  # messages, those included that are of no call
    media: int  # packets of calls that are recorded
    unheard: int  # SIP messages that the control process was too slow for
    early_dropped: int  # packets that waited for their call and found no room
    refused: tuple[Refusals, ...] = ()


TapMessage = Passed | Unfollowed | AudioAlone | TapReport
