"""A recording client that sends the messages it is given, over TCP, and G.711 from sockets of its own."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Self

from tests.ports import HOST

PACKET = 160


@dataclass
class Answer:
    """A final response."""

    status: int
    head: str
    body: str

    @property
    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"^m=audio (\d+)", self.body, re.MULTILINE)]

    def get(self, name: str) -> str:
        found = re.search(rf"^{name}:\s*(.*?)\r?$", self.head, re.MULTILINE | re.IGNORECASE)
        return found[1] if found else ""


@dataclass
class Voice:
    """One stream: noise that no other stream has, every packet kept."""

    seed: int
    target: tuple[str, int] = (HOST, 9)
    sent: bytes = b""
    sequence: int = 100
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)

    def datagram(self) -> bytes:
        payload = self._random.randbytes(PACKET)
        head = (
            b"\x80\x08"
            + self.sequence.to_bytes(2)
            + (PACKET * self.sequence).to_bytes(4)
            + self.seed.to_bytes(4)
        )
        self.sequence += 1
        self.sent += payload
        return head + payload


class Client:
    """One connection and one dialog; a context manager."""

    def __init__(self, server: tuple[str, int], name: str, caller: str = "<sip:src@127.0.0.1>") -> None:
        self._stream = socket.create_connection(server, 10)
        self._media = socket.socket(type=socket.SOCK_DGRAM)
        self._received = b""
        self._name, self._from, self._to = name, f"{caller};tag={name}", "<sip:srs@127.0.0.1>"
        self._cseq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._media.close()

    def request(
        self, method: str, body: bytes = b"", kind: str = "application/sdp", extra: str = ""
    ) -> Answer:
        """Send a request of the dialog, wait for its final response, acknowledge it."""
        if method != "ACK":
            self._cseq += 1
        head = (
            f"{method} sip:srs@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{self._name}{method}{self._cseq}\r\n"
            f"From: {self._from}\r\nTo: {self._to}\r\nCall-ID: {self._name}\r\nCSeq: {self._cseq} {method}\r\n"
            f"Contact: <sip:src@127.0.0.1;transport=tcp>\r\n{extra}"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._stream.sendall(head.encode() + body)
        if method == "ACK":
            return Answer(0, "", "")
        answer = self._final()
        assert answer.status == 200, answer.head
        self._to = answer.get("To")
        return answer

    def invite(
        self, body: bytes = b"", kind: str = "application/sdp", ack: bytes = b"", extra: str = ""
    ) -> Answer:
        answer = self.request("INVITE", body, kind, extra)
        self.request("ACK", ack)
        return answer

    def speak(self, seconds: float, *voices: Voice) -> None:
        """Every voice in real time."""
        began = time.monotonic()
        for number in range(round(seconds * 50)):
            for voice in voices:
                self._media.sendto(voice.datagram(), voice.target)
            time.sleep(max(0.0, began + (number + 1) * 0.02 - time.monotonic()))

    def send(self, voice: Voice, datagram: bytes) -> None:
        """A datagram of one's own making to where a voice goes, 20 ms long."""
        self._media.sendto(datagram, voice.target)
        time.sleep(0.02)

    def _final(self) -> Answer:
        while True:
            head, found, rest = self._received.partition(b"\r\n\r\n")
            length = re.search(rb"Content-Length: *(\d+)", head)
            if found and length and len(rest) >= int(length[1]):
                body, self._received = rest[: int(length[1])], rest[int(length[1]) :]
                status = int(head.split()[1])
                if status >= 200:
                    return Answer(status, head.decode(), body.decode())
                continue
            data = self._stream.recv(65536)
            if not data:
                raise ConnectionResetError("the gateway is gone")
            self._received += data


def sdp(labels: Iterable[str], direction: str = "sendonly", session: str = "", address: str = HOST) -> bytes:
    lines = "".join(
        f"m=audio {4000 + 2 * place} RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na={direction}\r\na=label:{label}\r\n"
        for place, label in enumerate(labels)
    )
    return f"v=0\r\no=- 1 1 IN IP4 {HOST}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{session}{lines}".encode()


def metadata(people: Iterable[tuple[str, str, str]], group: str = "", mode: str = "complete") -> bytes:
    """RFC 7865 of participants: id, number, label of the stream they send."""
    people = list(people)
    parts = [f"<datamode>{mode}</datamode>", f"<group group_id='{group}'/>" if group else ""]
    parts += [
        f"<participant participant_id='{i}'><nameID aor='sip:{n}@example.com'/></participant>"
        for i, n, _ in people
    ]
    parts += [
        f"<stream stream_id='s{label}'><label>{label}</label></stream>" for _, _, label in people if label
    ]
    parts += [
        f"<participantstreamassoc participant_id='{i}'><send>s{label}</send></participantstreamassoc>"
        for i, _, label in people
        if label
    ]
    return f"<recording xmlns='urn:ietf:params:xml:ns:recording:1'>{''.join(parts)}</recording>".encode()


def both(description: bytes, told: bytes) -> tuple[bytes, str]:
    """A body of two parts and its type."""
    body = (
        b"--x\r\nContent-Type: application/sdp\r\n\r\n" + description
        + b"\r\n--x\r\nContent-Type: application/rs-metadata+xml\r\n\r\n" + told + b"\r\n--x--\r\n"
    )  # fmt: skip
    return body, "multipart/mixed;boundary=x"
