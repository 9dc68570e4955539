"""The generator's process: exact counts, on a clock."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack

from bench.load import Load
from bench.ports import HOST
from bench.sending import Sending

LEGS = 6
SECONDS = 1.0
PACKETS = 50  # a second


def waiting(opened: socket.socket) -> list[int]:
    """Sequence numbers of the packets that wait, and of those that come within half a second."""
    found: list[int] = []
    while True:
        try:
            found.append(sequence(opened.recv(2000)))
        except TimeoutError:
            return found


def sequence(datagram: bytes) -> int:
    return int.from_bytes(datagram[2:4])


def test_what_it_says_it_sent_arrives_in_time() -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(LEGS)]
        for opened in sockets:
            opened.bind((HOST, 0))
            opened.settimeout(0.5)
        sending = stack.enter_context(Sending(Load(), LEGS))
        sending.add([(leg, opened.getsockname()[1]) for leg, opened in enumerate(sockets)])
        sending.play(True)
        sockets[0].settimeout(10)
        heard = [sequence(sockets[0].recv(2000))]
        began = time.monotonic()
        while time.monotonic() < began + SECONDS:
            heard.append(sequence(sockets[0].recv(2000)))
        seconds = time.monotonic() - began
        sending.play(False)
        sockets[0].settimeout(0.5)
        heard += waiting(sockets[0])
        others = [waiting(opened) for opened in sockets[1:]]
        report = sending.report()
    assert all(each == list(range(1, len(heard) + 1)) for each in (heard, *others))
    assert report.made == [len(heard)] * LEGS
    assert (sum(report.lost), report.failed) == (0, 0)
    assert 0.5 < len(heard) / (seconds * PACKETS) < 2
