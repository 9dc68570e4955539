"""What became of a call and what was truly sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

RTP_HEADER = 12


class Ending(StrEnum):
    CLIENT = "client"  # the client sent BYE
    SERVER = "server"  # the server sent BYE
    SILENT = "silent"  # as planned, nobody sent BYE
    REFUSED = "refused"  # a final response other than 2xx


class Sent(NamedTuple):
    """One datagram that left the client."""

    at: float  # seconds after the media began
    position: int  # of its first sample, counted from the leg's first; of an event, its start
    media: bool  # audio, as opposed to a telephone event
    datagram: bytes

    @property
    def payload(self) -> bytes:
        return self.datagram[RTP_HEADER:]


@dataclass(frozen=True, slots=True)
class LegSent:
    """One leg's traffic. `datagrams` is empty where the plan did not keep them."""

    label: str
    packets: int  # distinct packets that left
    lost: int  # built, and dropped by the planned network
    duplicated: int
    failed: int  # refused by the local socket
    datagrams: tuple[Sent, ...] = ()

    def audio(self) -> dict[int, bytes]:
        """Payload by position, every packet once, in order of position."""
        return dict(sorted({sent.position: sent.payload for sent in self.datagrams if sent.media}.items()))

    def stretches(self) -> Iterator[tuple[int, bytes]]:
        """The audio as contiguous stretches: position and payload of each."""
        start, parts, end = 0, list[bytes](), 0
        for position, payload in self.audio().items():
            if parts and position != end:
                yield start, b"".join(parts)
                parts = []
            if not parts:
                start = position
            parts.append(payload)
            end = position + len(payload)
        if parts:
            yield start, b"".join(parts)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call went. Legs are in the order of the plan: caller, callee."""

    call_id: str  # of SIP
    ending: Ending
    status: int  # of the answer to the INVITE
    reason: str
    retry_after: int | None
    setup_seconds: float  # from INVITE to its final response
    media_seconds: float
    legs: tuple[LegSent, ...] = ()
    answer: str = ""  # the SDP of the first answer
    refreshes: int = 0  # of the session, by the client
    problems: tuple[str, ...] = ()  # requests within the call that failed
