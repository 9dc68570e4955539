"""Real datagrams over the loopback."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.io import receive
from gateway.io.receive import SLOT_BYTES, SO_TIMESTAMPNS, Receiver, keep_stamps, media_socket
from gateway.rtp.packets import PacketBatch
from tests.patience import PATIENCE_SECONDS

READ_LATE_SECONDS = 0.02
WAIT_SECONDS = 0.3  # a datagram waits in its socket
NEAR_NS = (
    150_000_000  # told apart from when it was drained, however late a loaded machine lets us read a clock
)


class Lines:
    """Sockets that a receiver drains, and senders to them."""

    def __init__(self, count: int, rows: int) -> None:
        self.receiver = Receiver(rows)
        self.handles: list[int] = []
        self.senders: list[socket.socket] = []
        for leg in range(count):
            opened = media_socket("127.0.0.1", 0)
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.connect(opened.getsockname())
            self.senders.append(sender)
            self.handles.append(opened.detach())
            self.receiver.add(self.handles[-1], leg)

    def close(self) -> None:
        for handle in self.handles:
            self.receiver.remove(handle)
        for sender in self.senders:
            sender.close()


@pytest.fixture(scope="module", autouse=True)
def stamped() -> Iterator[None]:
    """The kernel stamps what comes all through these tests, as it does while a worker lives."""
    with (
        keep_stamps(),
        socket.socket(type=socket.SOCK_DGRAM) as asked,
        socket.socket(type=socket.SOCK_DGRAM) as other,
    ):
        asked.bind(("127.0.0.1", 0))
        asked.settimeout(PATIENCE_SECONDS)
        asked.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        deadline, waited = time.monotonic() + PATIENCE_SECONDS, 0.0
        while waited < READ_LATE_SECONDS / 2:
            assert time.monotonic() < deadline, "the kernel does not stamp what comes"
            other.sendto(b"x", asked.getsockname())
            time.sleep(READ_LATE_SECONDS)
            read = time.time()
            seconds, nanoseconds = struct.unpack("qq", asked.recvmsg(16, 64)[1][0][2])
            waited = read - seconds - nanoseconds / 1e9
        yield


@pytest.fixture
def lines() -> Iterator[Lines]:
    made = Lines(3, rows=600)
    yield made
    made.close()


def rows(batch: PacketBatch) -> list[tuple[int, bytes]]:
    return [
        (int(leg), slot[:size].tobytes())
        for leg, slot, size in zip(batch.legs, batch.slots, batch.sizes, strict=True)
    ]


def test_nothing_waits(lines: Lines) -> None:
    batch, more = lines.receiver.drain()
    assert (len(batch), more) == (0, False)


def test_each_datagram_comes_once_with_its_leg_in_order(lines: Lines) -> None:
    expected = []
    for leg, sender in enumerate(lines.senders):
        for number in range(10 * leg):
            data = bytes([leg, number]) * (number + 1)
            sender.send(data)
            expected.append((leg, data))
    before = time.monotonic_ns()
    batch, more = lines.receiver.drain()
    assert rows(batch) == expected
    assert not more
    assert (np.diff(batch.arrivals[batch.legs == 2]) >= 0).all()
    assert (batch.arrivals <= time.monotonic_ns()).all()
    assert (batch.arrivals > before - 1_000_000_000).all()
    assert len(lines.receiver.drain()[0]) == 0


def test_arrival_is_when_the_kernel_had_it(lines: Lines) -> None:
    before = time.monotonic_ns()
    lines.senders[0].send(b"x")
    after = time.monotonic_ns()
    time.sleep(WAIT_SECONDS)
    batch, _ = lines.receiver.drain()
    assert before - NEAR_NS < batch.arrivals[0] < after + NEAR_NS


def test_what_waited_before_its_socket_was_added_keeps_its_time(lines: Lines) -> None:
    lines.receiver.drain()
    handle = lines.handles[0]
    dup = os.dup(handle)
    lines.receiver.remove(handle)
    before = time.monotonic_ns()
    lines.senders[0].send(b"x")
    after = time.monotonic_ns()
    time.sleep(WAIT_SECONDS)
    lines.receiver.drain()
    lines.handles[0] = dup
    lines.receiver.add(dup, 0)
    batch, _ = lines.receiver.drain()
    assert before - NEAR_NS < batch.arrivals[0] < after + NEAR_NS


def test_sizes_at_the_edges(lines: Lines) -> None:
    sizes = [0, 1, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 9000, 5]
    for size in sizes:
        lines.senders[1].send(bytes([7]) * size)
    batch, _ = lines.receiver.drain()
    assert batch.sizes.tolist() == [0, 1, SLOT_BYTES - 1, SLOT_BYTES, 0, 0, 5]


def test_no_socket_starves_the_others(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "SOCKET_ROWS", 100)
    for number in range(144):
        lines.senders[0].send(number.to_bytes(2))
    for sender in lines.senders[1:]:
        sender.send(b"late")
    first, more = lines.receiver.drain()
    assert more
    assert np.bincount(first.legs).tolist() == [100, 1, 1]
    second, more = lines.receiver.drain()
    assert not more
    assert [data for _, data in rows(second)] == [n.to_bytes(2) for n in range(100, 144)]


def test_an_arena_too_small_for_all(lines: Lines) -> None:
    lines.close()
    small = Lines(5, rows=8)
    for sender in small.senders:
        for number in range(5):
            sender.send(bytes([number]))
    counts, more = np.zeros(5, int), True
    while more:
        batch, more = small.receiver.drain()
        assert len(batch) <= 8
        counts += np.bincount(batch.legs, minlength=5)
    assert counts.tolist() == [5] * 5
    lines.handles, lines.senders = small.handles, small.senders
    lines.receiver = small.receiver


def test_a_removed_socket_is_closed_and_the_rest_goes_on(lines: Lines) -> None:
    gone = lines.handles.pop(0)
    lines.receiver.remove(gone)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(gone)
    lines.senders[1].send(b"still")
    assert rows(lines.receiver.drain()[0]) == [(1, b"still")]


def test_a_handle_that_is_no_socket_is_a_broken_promise() -> None:
    receiver = Receiver(8)
    reader, writer = os.pipe()
    receiver.add(reader, 0)
    with pytest.raises(OSError, match="socket"):
        receiver.drain()
    receiver.remove(reader)
    os.close(writer)


def test_ports_are_bound_and_taken() -> None:
    first = media_socket("127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        media_socket("127.0.0.1", first.getsockname()[1])
    first.close()
    sixth = media_socket("::1", 0)
    assert sixth.family == socket.AF_INET6
    sixth.close()


def test_being_put_aside_between_two_clocks_moves_no_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake clocks, of which one reading of UTC waits for 54 ms."""
    clock, delays = [0], iter([54_000_000, 1_000])
    ahead = 7 * receive.NS

    def utc() -> int:
        clock[0] += next(delays)
        return clock[0] + ahead

    monkeypatch.setattr(time, "monotonic_ns", lambda: clock[0])
    monkeypatch.setattr(time, "time_ns", utc)
    assert abs(receive.monotonic_less_utc() + ahead) <= 1_000
