"""What the kernel lets through, judged by the kernel itself: a datagram socket runs the same machine."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from gateway.tap.kernel_filter import kernel_filter, media_filter

SO_ATTACH_FILTER = 26
SIP, IGNORED = (5060, 5080), (53, 443)
MACS = bytes(12)
UDP, TCP = 17, 6


def ports(source: int, destination: int) -> bytes:
    return struct.pack(">HH", source, destination) + bytes(16)


def ipv4(protocol: int, payload: bytes, fragment: int = 0, options: int = 0) -> bytes:
    head = struct.pack(">BBHHHBBH", 0x45 + options, 0, 20 + len(payload), 1, fragment, 64, protocol, 0)
    return head + bytes(8 + 4 * options) + payload


def ipv6(protocol: int, payload: bytes) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + bytes(32) + payload


def ethernet(kind: int, payload: bytes, *tags: int) -> bytes:
    return MACS + b"".join(struct.pack(">HH", tag, 7) for tag in tags) + struct.pack(">H", kind) + payload


@pytest.fixture(scope="module", params=[True, False], ids=["ethernet", "bare"])
def passes(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], bool]]:
    """Whether a packet with that link layer comes through, whole."""
    yield from _passing(kernel_filter(SIP, IGNORED, ethernet=request.param), request.param)


@pytest.fixture(scope="module", params=[True, False], ids=["ethernet", "bare"])
def heard(request: pytest.FixtureRequest) -> Iterator[Callable[[bytes], bool]]:
    """The same of the filter for an endpoint with the ports 12000 to 12031."""
    yield from _passing(media_filter(12_000, 12_031, ethernet=request.param), request.param)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (ipv4(UDP, ports(1, 12_000)), True),
        (ipv4(UDP, ports(12_000, 12_031), options=3), True),
        (ipv4(UDP, ports(12_000, 11_999)), False),
        (ipv4(UDP, ports(12_000, 12_032)), False),
        (ipv4(UDP, ports(12_000, 12_000), fragment=1), False),
        (ipv4(TCP, ports(12_000, 12_000)), False),
        (ipv6(UDP, ports(12_000, 12_000)), False),
    ],
)
def test_of_an_endpoint_only_its_audio_is_heard(
    heard: Callable[[bytes], bool], packet: bytes, expected: bool
) -> None:
    assert heard(packet) is expected


def _passing(program: bytes, link: bool) -> Iterator[Callable[[bytes], bool]]:
    memory = ctypes.create_string_buffer(program)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    told = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
    theirs.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
    theirs.setblocking(False)

    def passes(packet: bytes) -> bool:
        kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        frame = ethernet(kind, packet) if link else packet
        ours.send(frame)
        try:
            return theirs.recv(65536) == frame
        except BlockingIOError:
            return False

    with ours, theirs:
        yield passes


@pytest.mark.parametrize("over", [ipv4, ipv6])
@pytest.mark.parametrize(
    ("protocol", "source", "destination", "expected"),
    [
        (UDP, 20000, 30000, True),
        (UDP, 5060, 5060, True),
        (UDP, 20000, 443, False),
        (UDP, 53, 20000, False),
        (TCP, 40000, 5060, True),
        (TCP, 5080, 40000, True),
        (TCP, 40000, 2049, False),
        (TCP, 443, 40000, False),
        (1, 5060, 5060, False),
    ],
)
def test_what_is_telephony_passes(
    passes: Callable[[bytes], bool],
    over: Callable[[int, bytes], bytes],
    protocol: int,
    source: int,
    destination: int,
    expected: bool,
) -> None:
    assert passes(over(protocol, ports(source, destination))) is expected


def test_fragments_and_tunnels_pass_whole(passes: Callable[[bytes], bool]) -> None:
    assert passes(ipv4(UDP, bytes(100), fragment=185))
    assert passes(ipv4(TCP, bytes(100), fragment=185))
    assert passes(ipv6(44, bytes(100)))
    for tunnel in (47, 4, 41, 137, 51):
        assert passes(ipv4(tunnel, bytes(100)))
        assert passes(ipv6(tunnel, bytes(100)))


def test_options_of_ipv4_are_passed_over(passes: Callable[[bytes], bool]) -> None:
    assert passes(ipv4(TCP, ports(40000, 5060), options=3))
    assert not passes(ipv4(TCP, ports(40000, 22), options=3))


def test_tags_are_passed_over() -> None:
    program = kernel_filter(SIP, IGNORED)
    memory = ctypes.create_string_buffer(program)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        told = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
        theirs.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)
        theirs.setblocking(False)
        kept = [
            ethernet(0x0800, ipv4(TCP, ports(1, 5060)), 0x8100),
            ethernet(0x86DD, ipv6(UDP, ports(1, 2)), 0x88A8, 0x8100),
            ethernet(0x8864, bytes(40)),
            ethernet(0x8864, bytes(40), 0x8100),
            ethernet(0x8847, bytes(40)),
            ethernet(0x8848, bytes(40), 0x88A8, 0x8100),
        ]
        left_out = [
            ethernet(0x0800, ipv4(TCP, ports(1, 22)), 0x8100),
            ethernet(0x0800, ipv4(UDP, ports(1, 443)), 0x88A8, 0x8100),
            ethernet(0x0806, bytes(40)),
            b"short",
            b"",
        ]
        for frame in (*kept, *left_out):
            ours.send(frame)
        assert [theirs.recv(65536) for _ in kept] == kept
        with pytest.raises(BlockingIOError):
            theirs.recv(65536)


def test_as_many_ports_as_settings_allow() -> None:
    program = kernel_filter(tuple(range(1, 65)), tuple(range(1000, 1064)))
    assert len(program) % 8 == 0
    memory = ctypes.create_string_buffer(program)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        told = struct.pack("HP", len(program) // 8, ctypes.addressof(memory))
        theirs.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, told)  # the kernel checks every jump
    with pytest.raises(ValueError, match="64"):
        kernel_filter(tuple(range(1, 66)), ())
