"""Calls between telephones that speak past the gateway: it overhears them at a mirrored port."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from bench.callers import Standing
from bench.load import Load
from bench.mirror import SIP_PORT, SWITCH, TRUNK, Mirror, frame, place
from bench.traffic import EVENT_TYPE, secret
from gateway.demo.client.srtp import Srtp

MESSAGES = 3  # that set a call up


def attach(mirror: Mirror) -> dict[str, dict[str, object]]:
    """The gateway's settings."""
    return {"[attach]": {"kind": "tap", "interfaces": [mirror.port]}}


class TappedCallers:
    """All calls of a run, their signalling between the trunk and the telephone system; like Callers."""

    def __init__(self, load: Load, mirror: Mirror) -> None:
        self._load, self._mirror = load, mirror

    def __enter__(self) -> Self:
        self._wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._wire.bind((self._mirror.phones, 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wire.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    async def set_up(self, number: int) -> Standing:
        """From the trunk to an agent."""
        self.establish(number)
        return Standing(number, None, (place(number, 1)[1], place(number, 0)[1]), 0.0)

    async def tear_down(self, call: Standing) -> None:
        self._say(call.number, 0, "BYE")
        self._say(call.number, 1, "BYE")

    def establish(self, number: int) -> None:
        """Say what sets a call up."""
        self._say(number, 0, "INVITE", self._description(number, 0))
        self._say(number, 1, "INVITE", self._description(number, 1))
        self._say(number, 0, "ACK")

    def _say(self, number: int, side: int, method: str, body: str = "") -> None:
        """A request of the caller's, or the callee's 200 to it."""
        caller, callee = f"+1555{1_000_000 + number}", str(2000 + number)
        start = f"{method} sip:{callee}@{SWITCH} SIP/2.0" if side == 0 else "SIP/2.0 200 OK"
        tag = "" if (method, side) == ("INVITE", 0) else ";tag=callee"
        sequence = 2 if method == "BYE" else 1
        hosts = TRUNK, SWITCH
        text = (
            f"{start}\r\nVia: SIP/2.0/UDP {TRUNK};branch=z9hG4bK{number}{method}\r\n"
            f"From: <sip:{caller}@{TRUNK}>;tag=caller\r\nTo: <sip:{callee}@{SWITCH}>{tag}\r\nCall-ID: tapped{number}\r\n"
            f"CSeq: {sequence} {method}\r\nContact: <sip:{hosts[side]}>\r\nMax-Forwards: 70\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        places = [(host, SIP_PORT) for host in hosts]
        self._wire.send(frame(places[side], places[1 - side], side, text.encode()))

    def _description(self, number: int, side: int) -> str:
        form = self._load.format
        channels = f"/{form.channels}" if form.channels > 1 else ""
        address, port = place(number, side)
        suite = self._load.suite
        profile = "RTP/SAVP" if suite else "RTP/AVP"
        lines = [
            *("v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0"),
            f"m=audio {port} {profile} {form.payload_type} {EVENT_TYPE}",
            f"a=rtpmap:{form.payload_type} {self._load.codec}/{form.clock_rate}{channels}",
            f"a=rtpmap:{EVENT_TYPE} telephone-event/8000",
            *([Srtp(suite, secret(side)).line()] if suite else []),
        ]
        return "".join(f"{line}\r\n" for line in lines)
