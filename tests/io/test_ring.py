"""The kernel's ring: every frame once, in order, with its time, and whoever maps it goes on where the last one was."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gateway.config.attach import TapSettings
from gateway.io import ring as rings
from gateway.io.ring import Ring, TapFault, is_up, link_type, open_ring, revive
from tests.end_to_end.wire import FAR, NEAR, Wire

MEGABYTES = 2
PATIENCE = 20.0
PORT = 40_000


@pytest.fixture
def wire() -> Iterator[Wire]:
    with Wire() as wire:
        yield wire


def opened(wire: Wire, interface: str = "near") -> socket.socket:
    with wire.at(NEAR):
        return open_ring(
            interface, TapSettings(kind="tap", interfaces=(interface,), ring_megabytes=MEGABYTES)
        )


def mapped(opened: socket.socket) -> Ring:
    return Ring(os.dup(opened.fileno()), MEGABYTES, link_type(opened))


def payloads(ring: Ring, count: int) -> tuple[list[int], list[int]]:
    """The numbers in so many frames, and their arrivals."""
    numbers: list[int] = []
    arrivals: list[int] = []
    until = time.monotonic() + PATIENCE
    while len(numbers) < count:
        assert time.monotonic() < until, f"{len(numbers)} of {count} frames came"
        batch, _ = ring.drain()
        for at, size, arrival in zip(
            batch.offsets.tolist(), batch.sizes.tolist(), batch.arrivals.tolist(), strict=True
        ):
            numbers.append(int.from_bytes(batch.octets[at + size - 4 : at + size].tobytes()))
            arrivals.append(arrival)
    return numbers, arrivals


def test_every_frame_of_both_directions_comes_once_and_in_order(wire: Wire) -> None:
    with opened(wire) as tap, wire.socket(NEAR, PORT) as near, wire.socket(FAR, PORT) as far:
        ring = mapped(tap)
        began = time.monotonic_ns()
        for number in range(0, 2000, 2):
            near.sendto(bytes(number % 700) + number.to_bytes(4), (FAR, PORT))
            far.sendto(bytes(number % 900) + (number + 1).to_bytes(4), (NEAR, PORT))
        numbers, arrivals = payloads(ring, 2000)
        assert numbers == list(range(2000))
        assert arrivals == sorted(arrivals)
        assert began <= arrivals[0] <= arrivals[-1] <= time.monotonic_ns()
        assert ring.counts().dropped == 0
        ring.close()


def test_on_the_loopback_interface_each_packet_comes_once(wire: Wire) -> None:
    with opened(wire, "lo") as tap, wire.at(NEAR), socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", PORT))
        ring = mapped(tap)
        for number in range(50):
            sender.sendto(number.to_bytes(4), ("127.0.0.1", PORT))
        assert payloads(ring, 50)[0] == list(range(50))
        assert len(ring.drain()[0]) == 0
        ring.close()


def test_another_reader_goes_on_where_the_last_one_was(wire: Wire) -> None:
    with opened(wire) as tap, wire.socket(NEAR, PORT) as near, wire.socket(FAR, PORT):
        numbers: list[int] = []
        for reader in range(3):
            ring = mapped(tap)
            for number in range(100 * reader, 100 * reader + 100):
                near.sendto(number.to_bytes(4), (FAR, PORT))
            numbers += payloads(ring, 100)[0]
            ring.close()
        assert numbers == list(range(300))


def test_a_full_ring_drops_and_counts_and_goes_on(wire: Wire) -> None:
    with opened(wire) as tap, wire.socket(NEAR, PORT) as near, wire.socket(FAR, PORT):
        ring = mapped(tap)
        for number in range(4000):
            near.sendto(bytes(1000) + number.to_bytes(4), (FAR, PORT))
        counts = ring.counts()
        assert counts.packets == 4000
        assert counts.dropped > 0
        found = payloads(ring, 4000 - counts.dropped)[0]
        assert found == sorted(found)
        near.sendto((9999).to_bytes(4), (FAR, PORT))
        assert payloads(ring, 1)[0] == [9999]
        ring.close()


def test_what_cannot_be_listened_on_is_a_sentence(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TapFault, match="no such interface"):
        opened(wire, "missing")

    def refuse(*_: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(TapFault, match="CAP_NET_RAW"):
        open_ring("lo", TapSettings(kind="tap", interfaces=("lo",)))


def test_an_interface_that_comes_back_is_heard_again(wire: Wire) -> None:
    with opened(wire) as tap, wire.at(NEAR):
        ring = mapped(tap)
        assert is_up("near", tap)
        wire.cut()
        assert not is_up("near", tap)
        revive("near", tap)
        assert not is_up("near", tap)
        wire.join()
        revive("near", tap)
        assert is_up("near", tap)
        with wire.socket(NEAR, PORT) as near, wire.socket(FAR, PORT):
            near.sendto((5).to_bytes(4), (FAR, PORT))
            assert payloads(ring, 1)[0] == [5]
        ring.close()


def test_a_frame_whose_time_cannot_be_is_counted(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(wire) as tap, wire.socket(NEAR, PORT) as near, wire.socket(FAR, PORT):
        ring = mapped(tap)
        monkeypatch.setattr(rings, "monotonic_less_utc", lambda: 0)
        near.sendto((1).to_bytes(4), (FAR, PORT))
        arrivals = payloads(ring, 1)[1]
        assert ring.astray == 1
        assert np.abs(arrivals[0] - time.monotonic_ns()) < PATIENCE * 1e9
        ring.close()
