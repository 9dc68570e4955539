"""Two network namespaces joined by a wire, telephones in them, and a gateway that listens at one end."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.end_to_end.client import Voice
from tests.end_to_end.gateway import Gateway

CLONE_NEWNET = 0x40000000  # <linux/sched.h>
NEAR, FAR = "10.99.0.1", "10.99.0.2"
SIP = 5060
PACKET_SECONDS = 0.02
PATIENCE = 20.0
HIDDEN = "192.168.77.5", 40000  # behind a NAT

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = count(1)


class Wire:
    """A context manager. The near end is where the gateway listens, at the interface `near`."""

    def __init__(self) -> None:
        self._name = f"hush{os.getpid()}x{next(_numbers)}"
        self.spaces = {NEAR: f"{self._name}n", FAR: f"{self._name}f"}

    def __enter__(self) -> Self:
        near, far = self.spaces[NEAR], self.spaces[FAR]
        for space in (near, far):
            _ip("netns", "add", space)
            _ip("-n", space, "link", "set", "lo", "up")
        for address in self.spaces:  # whose own messages are nobody's test
            with self.at(address):
                Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1", encoding="ascii")
                Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1", encoding="ascii")
        self.join()
        return self

    def cut(self) -> None:
        """Take the wire away."""
        _ip("-n", self.spaces[NEAR], "link", "delete", "near")

    def join(self) -> None:
        """Lay the wire."""
        near, far = self.spaces[NEAR], self.spaces[FAR]
        _ip("-n", near, "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", far)
        for space, end, address in ((near, "near", NEAR), (far, "far", FAR)):
            _ip("-n", space, "address", "add", f"{address}/24", "dev", end)
            _ip("-n", space, "link", "set", end, "up")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for space in self.spaces.values():
            _ip("netns", "delete", space)

    @contextmanager
    def at(self, address: str) -> Iterator[None]:
        """What this thread opens meanwhile is in the namespace of an end."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.spaces[address]}") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def socket(self, address: str, port: int = 0) -> socket.socket:
        """A bound UDP socket."""
        with self.at(address):
            opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((address, port))
        opened.settimeout(PATIENCE)
        return opened

    def program(self, address: str, *words: str) -> list[str]:
        """A command that runs in the namespace of an end."""
        return ["ip", "netns", "exec", self.spaces[address], *words]


class TappingGateway(Gateway):
    """A gateway in the namespace of the near end, with a tap on the wire."""

    def __init__(
        self,
        folder: Path,
        wire: Wire,
        tap: Mapping[str, object] | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        attach = {"kind": "tap", "interfaces": ["near"], "ring_megabytes": 32} | dict(tap or {})
        program = wire.program(NEAR, sys.executable, "-m", "gateway")
        super().__init__(folder, {"[attach]": attach, **(settings or {})}, program=program)
        self._wire = wire

    def metric(self, name: str, **labels: str) -> float:
        with self._wire.at(NEAR):
            return super().metric(name, **labels)


class Telephones:
    """A call of two telephones, each at an end of the wire; the caller's is the far one if `inbound`. One that is
    `hidden` describes itself by an address of a network that the wire does not know."""

    def __init__(
        self, wire: Wire, caller: str, callee: str, seed: int = 1, inbound: bool = True, hidden: bool = False
    ) -> None:
        self.ends = (FAR, NEAR) if inbound else (NEAR, FAR)
        self.numbers = (caller, callee)
        self.call_id = f"{caller}-{callee}-{seed}"
        self._sip = [wire.socket(end) for end in self.ends]
        self._media = [wire.socket(end) for end in self.ends]
        self.voices = [
            Voice(2 * seed + side, self.place(1 - side)) for side in (0, 1)
        ]  # the caller's and the callee's
        self._hidden = hidden
        self._cseq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (*self._sip, *self._media):
            each.close()

    def place(self, side: int) -> tuple[str, int]:
        """Where a side takes its audio."""
        address, port = self._media[side].getsockname()
        return str(address), int(port)

    def description(self, side: int, direction: str = "sendrecv", profile: str = "RTP/AVP") -> str:
        address, port = HIDDEN if self._hidden and not side else self.place(side)
        return (
            f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n"
            f"m=audio {port} {profile} 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
            f"a={direction}\r\n"
        )

    def invite(self, body: str | None = None) -> None:
        self._cseq += 1
        self.send(0, "INVITE", self.description(0) if body is None else body)

    def answer(self, status: str = "200 OK", body: str | None = None, method: str = "INVITE") -> None:
        """The callee's response to the last request of the caller."""
        described = status.startswith(("200", "183")) and method == "INVITE"
        self.send(
            1,
            f"SIP/2.0 {status}",
            (self.description(1) if described else "") if body is None else body,
            method,
        )

    def establish(self) -> None:
        """INVITE to ACK."""
        self.invite()
        self.answer("180 Ringing")
        self.answer()
        self.send(0, "ACK")

    def hang_up(self) -> None:
        self._cseq += 1
        self.send(0, "BYE")
        self.answer(method="BYE")

    def send(self, side: int, start: str, body: str = "", method: str = "", extra: str = "") -> None:
        """A message from one side to the other; a request by its method, a response by its status line."""
        caller, callee = self.numbers
        method = method or start
        request = not start.startswith("SIP/2.0")
        line = f"{start} sip:{callee}@{self.ends[1]} SIP/2.0" if request else start
        tag = "" if start == "INVITE" and self._cseq == 1 else ";tag=callee"
        kind = "Content-Type: application/sdp\r\n" if body and "Content-Type" not in extra else ""
        text = (
            f"{line}\r\nVia: SIP/2.0/UDP {self.ends[0]};branch=z9hG4bK{self.call_id}{method}{self._cseq}\r\n"
            f"From: <sip:{caller}@{self.ends[0]}>;tag=caller\r\nTo: <sip:{callee}@{self.ends[1]}>{tag}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {self._cseq} {'INVITE' if method == 'ACK' else method if not request else start}\r\n"
            f"Contact: <sip:{self.ends[side]}>\r\n{extra}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip[side].sendto(text.encode(), (self.ends[1 - side], SIP))

    def talk(self, seconds: float, sides: Sequence[int] = (0, 1)) -> None:
        talk(seconds, [self], sides)

    def packet(self, side: int) -> None:
        """The next 20 ms of a side."""
        voice = self.voices[side]
        self._media[side].sendto(voice.datagram(), voice.target)


def talk(seconds: float, calls: Sequence[Telephones], sides: Sequence[int] = (0, 1)) -> None:
    """Every call in real time."""
    began = time.monotonic()
    for number in range(round(seconds / PACKET_SECONDS)):
        for call in calls:
            for side in sides:
                call.packet(side)
        time.sleep(max(0.0, began + (number + 1) * PACKET_SECONDS - time.monotonic()))


def _ip(*words: str) -> None:
    ended = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"ip {' '.join(words)}: {ended.stderr}"


def _enter(handle: int) -> None:
    if _libc.setns(handle, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "a namespace cannot be entered")
