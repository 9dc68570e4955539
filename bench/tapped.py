"""Calls between telephones that speak past the gateway: a tap on the loopback interface overhears them."""

from __future__ import annotations

import ctypes
import socket
import struct
from types import TracebackType
from typing import Self

from bench.callers import Standing
from bench.load import Load
from bench.ports import HOST, free_range
from bench.traffic import EVENT_TYPE

SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>
NOTHING = struct.pack("=HBBI", 0x06, 0, 0, 0)  # bpf(4): keep no octet
ATTACH: dict[str, dict[str, object]] = {"[attach]": {"kind": "tap", "interfaces": ["lo"]}}


class TappedCallers:
    """All calls of a run, their signalling sent from one socket to another; like Callers."""

    def __init__(self, load: Load, calls: int) -> None:
        self._load = load
        self._first = free_range(4 * calls)
        self._sinks: dict[int, list[socket.socket]] = {}

    async def __aenter__(self) -> Self:
        self._ends = [_sink(0), _sink(0)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for opened in (*self._ends, *(each for sinks in self._sinks.values() for each in sinks)):
            opened.close()

    async def set_up(self, number: int) -> Standing:
        """The caller's audio goes to the first port, the callee's to the second."""
        ports = self._first + 4 * number, self._first + 4 * number + 2
        self._sinks[number] = [_sink(port) for port in ports]
        self._say(number, 0, "INVITE", ports[1])
        self._say(number, 1, "INVITE", ports[0])
        self._say(number, 0, "ACK")
        return Standing(number, None, ports, 0.0)

    async def tear_down(self, call: Standing) -> None:
        self._say(call.number, 0, "BYE")
        self._say(call.number, 1, "BYE")
        for each in self._sinks.pop(call.number):
            each.close()

    def _say(self, number: int, side: int, method: str, port: int = 0) -> None:
        """A request of the caller's, or the callee's 200 to it."""
        caller, callee = f"+1555{1_000_000 + number}", str(2000 + number)
        body = self._description(port) if port else ""
        start = f"{method} sip:{callee}@{HOST} SIP/2.0" if side == 0 else "SIP/2.0 200 OK"
        tag = "" if (method, side) == ("INVITE", 0) else ";tag=callee"
        sequence = 2 if method == "BYE" else 1
        text = (
            f"{start}\r\nVia: SIP/2.0/UDP {HOST};branch=z9hG4bK{number}{method}\r\n"
            f"From: <sip:{caller}@{HOST}>;tag=caller\r\nTo: <sip:{callee}@{HOST}>{tag}\r\nCall-ID: tapped{number}\r\n"
            f"CSeq: {sequence} {method}\r\nContact: <sip:{HOST}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        self._ends[side].sendto(text.encode(), self._ends[1 - side].getsockname())

    def _description(self, port: int) -> str:
        form = self._load.format
        channels = f"/{form.channels}" if form.channels > 1 else ""
        return (
            f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {HOST}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {form.payload_type} {EVENT_TYPE}\r\n"
            f"a=rtpmap:{form.payload_type} {self._load.codec}/{form.clock_rate}{channels}\r\n"
            f"a=rtpmap:{EVENT_TYPE} telephone-event/8000\r\n"
        )


def _sink(port: int) -> socket.socket:
    """A bound socket in which nothing waits and which answers nothing: the kernel drops what comes."""
    memory = ctypes.create_string_buffer(NOTHING)
    opened = socket.socket(type=socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(memory)))
    opened.bind((HOST, port))
    return opened
