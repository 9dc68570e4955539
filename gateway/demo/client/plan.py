"""What a call is to be like."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.demo.client.srtp import Srtp

STATIC_TYPES = {"PCMU": 0, "GSM": 3, "PCMA": 8, "G722": 9, "G729": 18}  # RFC 3551 table 4


@dataclass(frozen=True, slots=True)
class Party:
    """Who speaks, as the metadata names them."""

    number: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Digit:
    """A key pressed: an RFC 4733 event that takes the place of the audio while it lasts."""

    at: float  # seconds of media
    digit: str
    milliseconds: int = 100


@dataclass(frozen=True, slots=True)
class Leg:
    """One party's stream."""

    party: Party
    audio: bytes  # G.711 payload, repeated for as long as the call lasts
    label: str
    packets: tuple[bytes, ...] = ()  # sent in place of audio, each as it is and one ptime long; repeated, too
    skew_ppm: float = 0.0  # how much too fast its sample clock runs
    digits: tuple[Digit, ...] = ()
    ssrc: int | None = None  # None: random, as are the next two
    sequence: int | None = None
    timestamp: int | None = None
    srtp: Srtp | None = None  # None: plain RTP
    ssrc_change_at: float | None = None  # seconds of media: a new SSRC, sequence and timestamp from here on


@dataclass(frozen=True, slots=True)
class Network:
    """What happens to packets between the client and the server, the same for the same seed."""

    loss: float = 0.0  # probability
    duplicate: float = 0.0
    jitter_ms: float = 0.0  # each packet is delayed by up to this; reorders when longer than a packet
    reorder: float = 0.0  # probability that a packet is held up by reorder_ms more
    reorder_ms: float = 60.0
    seed: int | None = None  # None: another one each time


@dataclass(frozen=True, slots=True)
class Plan:
    """One call. The metadata names the caller first."""

    caller: Leg
    callee: Leg
    seconds: float
    codec: str = "PCMA"
    clock_rate: int = 8000
    channels: int = 1
    parameters: str = ""  # of the fmtp
    payload_type: int | None = None  # None: the static one
    event_type: int = 101
    ptime_ms: int = 20
    network: Network = field(default_factory=Network)
    reinvite_at: float | None = None  # SDP only; moves both streams to new ports
    update_at: float | None = None  # metadata only; the caller becomes `updated`
    updated: Party | None = None
    session_seconds: int | None = None  # session timer asked for
    refresher: str = "uac"  # who is to refresh: uac is the client
    quiet_seconds: float = 0.0  # without media, answering what is asked, before the end
    bye: bool = True  # False: the client falls silent without a BYE
    keep: bool = True  # keep what was sent, for comparing; a load test has no use for it

    @property
    def media_type(self) -> int:
        return STATIC_TYPES[self.codec] if self.payload_type is None else self.payload_type
