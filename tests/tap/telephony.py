"""Calls as frames of a capture: SIP and RTP of two telephones, by nothing of the gateway."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.tap.building import IPV6, ethernet, ipv4, ipv6, tcp, udp
from tests.tap.captures import Frame

SECOND = 1_000_000_000
PACKET_NS = 20_000_000
SAMPLES = 160  # of one packet
CALLER, CALLEE = "10.0.0.1", "10.0.0.2"
START = 1_767_600_000 * SECOND
ALAW = 8


@dataclass
class Telephones:
    """A call; what it does is added to `frames`, in order, at `now` (ns)."""

    name: str = "one"
    numbers: tuple[str, str] = ("+15551230001", "231")
    ports: tuple[int, int] = (40_000, 41_000)
    now: int = START
    over_tcp: bool = False
    profile: str = "RTP/AVP"
    encoding: str = "utf-8"  # of signalling
    addresses: tuple[str, str] = (CALLER, CALLEE)
    largest: int = 1480  # octets of an IP packet's payload; what is longer comes in fragments
    frames: list[Frame] = field(default_factory=list)
    sent: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))

    def __post_init__(self) -> None:
        self._random = Random(self.name)
        self._ssrc = [self._random.getrandbits(32) for _ in range(2)]
        self._packets = [0, 0]
        self._cseq = self._identification = 0
        self._stream = [1000, 2000]

    def description(self, side: int, direction: str = "sendrecv", extra: str = "") -> str:
        address = self.addresses[side]
        kind = "IP6" if ":" in address else "IP4"
        return (
            f"v=0\r\no=- 1 1 IN {kind} {address}\r\ns=-\r\nc=IN {kind} {address}\r\nt=0 0\r\n"
            f"m=audio {self.ports[side]} {self.profile} 8 101\r\na=rtpmap:8 PCMA/8000\r\n"
            f"a=rtpmap:101 telephone-event/8000\r\na={direction}\r\n{extra}"
        )

    def invite(self, body: str | None = None, fields: str = "") -> None:
        self._cseq += 1
        self.say(0, "INVITE", self.description(0) if body is None else body, fields=fields)

    def answer(self, status: str = "200 OK", body: str | None = None, method: str = "INVITE") -> None:
        described = status[:3] in ("200", "183") and method == "INVITE"
        text = (self.description(1) if described else "") if body is None else body
        self.say(1, f"SIP/2.0 {status}", text, method)

    def establish(self) -> None:
        self.invite()
        self.answer("180 Ringing")
        self.now += SECOND
        self.answer()
        self.say(0, "ACK")

    def hang_up(self, side: int = 0) -> None:
        self._cseq += 1
        self.say(side, "BYE")
        self.say(1 - side, "SIP/2.0 200 OK", "", "BYE")

    def say(self, side: int, start: str, body: str = "", method: str = "", fields: str = "") -> None:
        caller, callee = self.numbers
        method = method or start
        request = not start.startswith("SIP/2.0")
        line = f"{start} sip:{callee}@{CALLEE} SIP/2.0" if request else start
        tag = "" if self._cseq == 1 and start in ("INVITE", "SIP/2.0 100 Trying") else ";tag=callee"
        ends = f"From: <sip:{caller}@{CALLER}>;tag=caller\r\nTo: <sip:{callee}@{CALLEE}>{tag}"
        if side == 1 and request:
            ends = f"From: <sip:{callee}@{CALLEE}>;tag=callee\r\nTo: <sip:{caller}@{CALLER}>;tag=caller"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        text = (
            f"{line}\r\nVia: SIP/2.0/UDP {CALLER};branch=z9hG4bK{self.name}{method}{self._cseq}\r\n"
            f"{ends}\r\nCall-ID: {self.name}\r\nCSeq: {self._cseq} {method}\r\n"
            f"Contact: <sip:{(CALLER, CALLEE)[side]}>\r\n{fields}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self.now += 1_000_000
        self._send(side, *self._wrapped(side, text.encode(self.encoding)))

    def _send(self, side: int, packet: bytes, protocol: int = 17) -> None:
        ends = self.addresses if side == 0 else self.addresses[::-1]
        if ":" in ends[0]:
            frames = [ethernet(ipv6(packet, *ends, following=protocol), IPV6)]
        else:
            self._identification += 1
            starts = range(0, len(packet), self.largest)
            frames = [
                ethernet(
                    ipv4(
                        packet[start : start + self.largest], *ends, protocol=protocol, offset=start,
                        more=start != starts[-1], identification=self._identification & 0xFFFF,
                    )
                )
                for start in starts
            ]  # fmt: skip
        self.frames += [(self.now, frame) for frame in frames]

    def _wrapped(self, side: int, data: bytes) -> tuple[bytes, int]:
        if not self.over_tcp:
            return udp(data), 17
        ports = (33_000, 5060) if side == 0 else (5060, 33_000)
        segment = tcp(data, self._stream[side], 0x18, *ports)
        self._stream[side] += len(data)
        return segment, 6

    def talk(self, seconds: float, sides: Sequence[int] = (0, 1)) -> None:
        for _ in range(round(seconds * SECOND / PACKET_NS)):
            for side in sides:
                payload = self._random.randbytes(SAMPLES)
                self.sent[side].extend(payload)
                self.packet(side, payload)
            self.now += PACKET_NS

    def press(self, side: int, digit: int, milliseconds: int = 100) -> None:
        """A key by RFC 4733; the other side is silent meanwhile."""
        timestamp = SAMPLES * self._packets[side]
        packets = milliseconds // 20
        for number in range(packets + 2):
            last = number >= packets - 1
            event = struct.pack(">BBH", digit, last << 7 | 10, min(number + 1, packets) * SAMPLES)
            self._rtp(side, event, 101, timestamp, marker=number == 0)
            self.now += PACKET_NS

    def packet(self, side: int, payload: bytes) -> None:
        self._rtp(side, payload, ALAW, SAMPLES * self._packets[side])

    def _rtp(self, side: int, payload: bytes, kind: int, timestamp: int, marker: bool = False) -> None:
        number = self._packets[side]
        self._packets[side] += 1
        head = struct.pack(">BBHII", 0x80, marker << 7 | kind, number & 0xFFFF, timestamp, self._ssrc[side])
        self._send(side, udp(head + payload, self.ports[side], self.ports[1 - side]))


def in_order(calls: Iterable[Telephones]) -> list[Frame]:
    """All their frames by time."""
    return sorted((frame for call in calls for frame in call.frames), key=lambda frame: frame[0])


def whole_call(seconds: float = 3.0, **fields: object) -> Telephones:
    """From INVITE to BYE."""
    call = Telephones(**fields)  # type: ignore[arg-type]
    call.establish()
    call.talk(seconds)
    call.hang_up()
    return call
