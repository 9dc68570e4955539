"""A telephone, or the trunk's side of a call: SIP over UDP and RTP, every message and packet kept."""

from __future__ import annotations

import asyncio
import re
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from tests.endpoint.sounds import decode, similarity

HOST = "127.0.0.1"
PCMA, EVENT = 8, 101
DEADLINE = 30.0  # seconds, for what takes milliseconds on a machine that has time
FRAME = 160
KEYS = "0123456789*#ABCD"

_numbers = count(1)


@dataclass
class Message:
    """A SIP message as it came."""

    start: str
    fields: list[tuple[str, str]]
    body: str

    @classmethod
    def of(cls, data: bytes) -> Message:
        head, _, body = data.decode().partition("\r\n\r\n")
        start, *lines = head.split("\r\n")
        return cls(
            start,
            [(k.strip().lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines)],
            body,
        )

    def get(self, name: str) -> str:
        return next((value for key, value in self.fields if key == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def method(self) -> str:
        return "" if self.start.startswith("SIP/") else self.start.split(" ")[0]

    @property
    def status(self) -> int:
        return int(self.start.split(" ")[1]) if self.start.startswith("SIP/") else 0

    @property
    def cseq(self) -> str:
        return self.get("CSeq").split(" ")[1]

    @property
    def direction(self) -> str:
        found = re.search(r"a=(sendrecv|sendonly|recvonly|inactive)", self.body)
        return found[1] if found else "sendrecv"


@dataclass
class Packet:
    at: float
    payload_type: int
    sequence: int
    payload: bytes


@dataclass
class Phone:
    """`answers`: the status by which it answers INVITEs; 180: rings only. `sound`: what it says, A-law."""

    sound: bytes = b"\xd5" * FRAME
    answers: int = 200
    events: bool = True  # telephone-event is offered and taken
    port: int = 0
    number: str = "caller"
    refer_to: str = ""
    answers_in_ack: bool = False  # its INVITE had no offer
    heard: list[Message] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)

    async def open(self) -> Phone:
        loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Event] = []
        self._sip, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._take), local_addr=(HOST, self.port)
        )
        self._rtp, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._take_rtp), local_addr=(HOST, 0)
        )
        self.port = self._sip.get_extra_info("sockname")[1]
        self.media_port = self._rtp.get_extra_info("sockname")[1]
        self._peer: tuple[str, int] | None = None
        self._media: tuple[str, int] | None = None
        self._tag, self._number, self._cseq = f"t{next(_numbers)}", next(_numbers), 1
        self._dialog: dict[str, str] = {}
        self._branch, self._event = "", EVENT
        self._sequence, self._timestamp = 1000, 0
        self._talk = asyncio.create_task(self._speak())
        return self

    async def close(self) -> None:
        self._talk.cancel()
        self._sip.close()
        self._rtp.close()

    def call(self, server: tuple[str, int], sdp: bool = True) -> str:
        """Send an INVITE; gives its Call-ID."""
        self._peer = server
        call_id = f"{self._tag}-{self._number}@{HOST}"
        self._dialog = {
            "call_id": call_id,
            "local": f"<sip:{self.number}@{HOST}>;tag={self._tag}",
            "remote": f"<sip:practice@{server[0]}>",
            "target": f"sip:practice@{server[0]}:{server[1]}",
        }
        self._request("INVITE", self._sdp("sendrecv") if sdp else "")
        return call_id

    def send_to(self, place: tuple[str, int]) -> None:
        """Speak to there; somebody else does the signalling."""
        self._media = place

    def request(self, method: str, body: str = "", kind: str = "application/sdp") -> None:
        """Within the dialog."""
        self._cseq += 1
        self._request(method, body, kind)

    def reinvite(self, direction: str) -> None:
        self.request("INVITE", self._sdp(direction))

    def info(self, key: str) -> None:
        self.request("INFO", f"Signal={key}\r\nDuration=160\r\n", "application/dtmf-relay")

    def cancel(self) -> None:
        self._send_request("CANCEL", self._branch, "", "")

    def press(self, key: str) -> None:
        """A key of 100 ms by RFC 4733: begin, middle, and the end three times."""
        stamp = self._timestamp
        for place, (duration, end) in enumerate([(160, 0), (480, 0), (800, 128), (800, 128), (800, 128)]):
            event = struct.pack(">BBH", KEYS.index(key), end | 10, duration)
            self._send_rtp(self._event, stamp, event, marker=not place)

    async def until(self, wanted: Callable[[], object], what: str) -> None:
        """Wait until `wanted()` holds."""
        news = asyncio.Event()
        self._waiting.append(news)
        try:
            async with asyncio.timeout(DEADLINE):
                while not wanted():
                    await news.wait()
                    news.clear()
        except TimeoutError:
            raise AssertionError(f"{what}; heard {[m.start for m in self.heard]}") from None
        finally:
            self._waiting.remove(news)

    async def response(self, method: str, least: int = 200) -> Message:
        """The final response to the newest request of a method."""

        def found() -> list[Message]:
            return [
                m for m in self.heard
                if m.status >= least and m.get("CSeq") == f"{self._cseq} {method}" and m.get("Call-ID") == self._dialog["call_id"]
            ]  # fmt: skip

        await self.until(found, f"no response to {method}")
        return found()[0]

    async def requested(self, method: str, number: int = 1) -> Message:
        """The so many-th request of a method that came."""

        def found() -> list[Message]:
            unique = {m.get("Call-ID") + m.get("CSeq"): m for m in self.heard if m.method == method}
            return list(unique.values())[number - 1 :]

        await self.until(found, f"no {method}, the {number}.")
        return found()[0]

    def audio(self) -> NDArray[np.float64]:
        """What arrived, decoded, in the order of the sequence numbers."""
        packets = sorted((p for p in self.packets if p.payload_type == PCMA), key=lambda p: p.sequence)
        return decode(b"".join(p.payload for p in packets))

    def pressed(self) -> list[str]:
        """Keys that arrived by RFC 4733, once each."""
        found: list[str] = []
        ended = True
        for packet in self.packets:
            if packet.payload_type == EVENT:
                end = bool(packet.payload[1] & 128)
                if end and not ended:
                    found.append(KEYS[packet.payload[0]])
                ended = end
        return found

    def _request(self, method: str, body: str, kind: str = "application/sdp") -> None:
        branch = f"z9hG4bK{self._tag}{self._cseq}{method}"
        if method == "INVITE":
            self._branch = branch
        self._send_request(method, branch, body, kind)

    def _send_request(self, method: str, branch: str, body: str, kind: str) -> None:
        assert self._peer
        dialog = self._dialog
        lines = [
            f"{method} {dialog['target']} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch={branch};rport",
            f"From: {dialog['local']}",
            f"To: {dialog['remote']}",
            f"Call-ID: {dialog['call_id']}",
            f"CSeq: {self._cseq} {method}",
            f"Contact: <sip:phone@{HOST}:{self.port}>",
            "Max-Forwards: 70",
            *([f"Refer-To: {self.refer_to}"] if method == "REFER" else []),
            *([f"Content-Type: {kind}"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._peer)

    def _respond(self, request: Message, status: int, body: str = "") -> None:
        tag = "" if "tag=" in request.get("To") or status == 100 else f";tag={self._tag}"
        lines = [
            f"SIP/2.0 {status} Whatever",
            *(f"Via: {via}" for via in request.all("Via")),
            *(f"Record-Route: {route}" for route in request.all("Record-Route")),
            f"From: {request.get('From')}",
            f"To: {request.get('To')}{tag}",
            f"Call-ID: {request.get('Call-ID')}",
            f"CSeq: {request.get('CSeq')}",
            f"Contact: <sip:phone@{HOST}:{self.port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
        ]
        assert self._peer
        self._sip.sendto(("\r\n".join(lines) + "\r\n\r\n" + body).encode(), self._peer)

    def _sdp(self, direction: str) -> str:
        events = ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"] if self.events else []
        lines = [
            "v=0", f"o=- 1 {self._cseq} IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0",
            f"m=audio {self.media_port} RTP/AVP 8{' 101' if self.events else ''}",
            "a=rtpmap:8 PCMA/8000", *events, f"a={direction}",
        ]  # fmt: skip
        return "\r\n".join(lines) + "\r\n"

    def _take(self, data: bytes, peer: tuple[str, int]) -> None:
        self._peer = peer
        message = Message.of(data)
        self.heard.append(message)
        if media := re.search(r"m=audio (\d+)", message.body):
            self._media = (HOST, int(media[1]))
            if event := re.search(r"a=rtpmap:(\d+) telephone-event/8000", message.body):
                self._event = int(event[1])
        if message.status:
            self._take_response(message)
        else:
            self._take_request(message)
        self._wake()

    def _take_response(self, message: Message) -> None:
        if message.cseq != "INVITE" or message.status < 200:
            return
        self._dialog["remote"] = message.get("To")
        if message.status < 300:
            self._dialog["target"] = message.get("Contact").strip("<>")
            answer = self._sdp("sendrecv") if self.answers_in_ack else ""
            self._send_request("ACK", f"z9hG4bK{self._tag}{self._cseq}ACK", answer, "application/sdp")
        else:
            self._send_request("ACK", self._branch, "", "")

    def _take_request(self, message: Message) -> None:
        match message.method:
            case "INVITE":
                self._take_invite(message)
            case "CANCEL":
                self._respond(message, 200)
                invite = next(
                    m
                    for m in self.heard
                    if m.method == "INVITE" and m.get("Call-ID") == message.get("Call-ID")
                )
                self._respond(invite, 487)
            case "ACK":
                pass
            case _:
                self._respond(message, 200)

    def _take_invite(self, message: Message) -> None:
        self._dialog = {
            "call_id": message.get("Call-ID"),
            "local": message.get("To") + ("" if "tag=" in message.get("To") else f";tag={self._tag}"),
            "remote": message.get("From"),
            "target": message.get("Contact").strip("<>"),
        }
        turned = {"sendonly": "recvonly", "recvonly": "sendonly"}
        within = "tag=" in message.get("To")
        status = 200 if within else self.answers
        body = self._sdp(turned.get(message.direction, message.direction)) if 200 <= status < 300 else ""
        self._respond(message, status, body)

    def pick_up(self) -> None:
        """Answer what rings."""
        invite = next(m for m in self.heard if m.method == "INVITE")
        self._respond(invite, 200, self._sdp("sendrecv"))

    def _take_rtp(self, data: bytes, peer: tuple[str, int]) -> None:
        if len(data) < 12 or data[0] >> 6 != 2:
            return
        self.packets.append(
            Packet(time.monotonic(), data[1] & 127, int.from_bytes(data[2:4], "big"), data[12:])
        )
        if data[1] & 127 == EVENT:
            self._wake()

    def _wake(self) -> None:
        for each in self._waiting:
            each.set()

    async def _speak(self) -> None:
        """One frame each 20 ms, round and round, from the first description on."""
        place, due = 0, time.monotonic()
        while True:
            due += 0.02
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if self._media:
                frame = (self.sound + self.sound)[place : place + FRAME]
                place = (place + FRAME) % len(self.sound)
                self._send_rtp(PCMA, self._timestamp, frame)
                self._timestamp += FRAME

    def _send_rtp(self, payload_type: int, stamp: int, payload: bytes, marker: bool = False) -> None:
        self._sequence += 1
        second = payload_type | (128 if marker else 0)
        header = struct.pack(">BBHII", 128, second, self._sequence & 0xFFFF, stamp, 0x1234 + self.port)
        if self._media:
            self._rtp.sendto(header + payload, self._media)


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, take: object) -> None:
        assert callable(take)
        self.datagram_received = take  # type: ignore[method-assign]


def said_by(speaker: Phone, heard: NDArray[np.float64], alike: float = 0.8) -> bool:
    """Whether a fifth of a second of what one says was heard; no more, since a busy machine makes jitter."""
    said = decode(speaker.sound)
    return any(similarity(heard, said[at : at + 1600])[0] > alike for at in range(0, len(said) - 1600, 800))
