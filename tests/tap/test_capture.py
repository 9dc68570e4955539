"""Captures in every format give the frames that were written; faulty ones give those before the fault."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tap.capture import CaptureReader
from gateway.tap.fragments import Decapsulator
from tests.tap import captures
from tests.tap.building import IPV6, RAW, cooked, erspan_2, ethernet, ipv4, ipv6, udp, vxlan
from tests.tap.captures import (
    Frame,
    block,
    interface,
    old_packet,
    option,
    packet,
    pcap,
    section,
    simple_packet,
)

SECOND = 1_000_000_000
FRAMES = st.lists(
    st.tuples(st.integers(0, 2**32 * SECOND - 1), st.binary(max_size=70)), min_size=1, max_size=12
)
ORDERS = st.sampled_from("<>")


def read(data: bytes, step: int | None = None) -> tuple[list[Frame], CaptureReader]:
    reader = CaptureReader()
    found: list[Frame] = []
    step = step or max(1, len(data))
    for start in range(0, len(data), step):
        frames = reader.feed(data[start : start + step])
        assert frames.numbers.tolist() == list(range(len(found) + 1, len(found) + 1 + len(frames)))
        for at, size, arrival in zip(frames.offsets, frames.sizes, frames.arrivals, strict=True):
            found.append((int(arrival), frames.octets[at : at + size].tobytes()))
    reader.finish()
    return found, reader


def micro(frames: list[Frame]) -> list[Frame]:
    return [(at_ns // 1000 * 1000, frame) for at_ns, frame in frames]


@given(FRAMES, ORDERS, st.booleans(), st.booleans(), st.integers(1, 200))
def test_pcap(frames: list[Frame], order: str, nano: bool, patched: bool, step: int) -> None:
    data = pcap(frames, 1, order, nano, patched)
    found, reader = read(data, step)
    assert found == (frames if nano and not patched else micro(frames))
    assert (reader.fault, reader.frames) == (None, len(frames))


@given(FRAMES, ORDERS, st.sampled_from((packet, old_packet)), st.integers(1, 200))
def test_pcapng(frames: list[Frame], order: str, write: object, step: int) -> None:
    assert callable(write)
    blocks = [write(at_ns, frame, order=order) for at_ns, frame in frames]
    data = section(order) + interface(1, order, 9) + b"".join(blocks)
    found, reader = read(data, step)
    assert (found, reader.fault) == (frames, None)


def test_times_in_every_unit() -> None:
    described = [
        interface(),
        interface(resolution=3),
        interface(resolution=0x80 | 20),
        interface(resolution=9, offset_s=1_700_000_000),
        interface(resolution=0),
    ]
    ticks = [1_500_000, 1_500, 3 << 19, 1_500_000_000 - 0, 1]
    blocks = [packet(tick, b"x", place) for place, tick in enumerate(ticks)]
    found, reader = read(section() + b"".join(described + blocks))
    assert reader.fault is None
    half = 1_500_000_000
    assert [at_ns for at_ns, _ in found] == [half, half, half, 1_700_000_000 * SECOND + half, SECOND]


def test_sections_of_both_orders_and_blocks_of_other_kinds() -> None:
    data = (
        section("<")
        + interface(101, "<")
        + block(0x0BAD, b"whatever")
        + packet(7, b"one")
        + section(">")
        + interface(1, ">")
        + interface(113, ">")
        + packet(8, b"two", 1, ">")
        + simple_packet(b"three", ">")
    )
    reader = CaptureReader()
    frames = reader.feed(data)
    reader.finish()
    assert reader.fault is None
    assert frames.link_types.tolist() == [101, 113, 1]
    assert frames.arrivals.tolist() == [7000, 8000, 8000]


def test_a_simple_packet_is_as_long_as_its_interface_lets_it_be() -> None:
    found, reader = read(section() + interface(longest=4) + simple_packet(b"abcd", length=60))
    assert ([frame for _, frame in found], reader.fault) == ([b"abcd"], None)


def test_frames_that_were_cut_say_so() -> None:
    data = bytearray(pcap([(0, b"abc")]))
    data[24 + 12 : 24 + 16] = struct.pack("<I", 99)
    frames = CaptureReader().feed(bytes(data))
    assert (frames.sizes[0], frames.lengths[0]) == (3, 99)


GOOD = pcap([(0, b"one"), (0, b"two")])
GOOD_NG = section() + interface() + packet(0, b"one") + packet(0, b"two")
LARGE = struct.pack("<IIII", 0, 0, 262_145, 262_145)


@pytest.mark.parametrize(
    ("data", "frames", "sentence"),
    [
        (b"", 0, "this is no capture: it is empty"),
        (b"\n\r", 0, "this is no capture: it begins neither as pcap nor as pcapng"),
        (b"<html>" * 9, 0, "this is no capture: it begins neither as pcap nor as pcapng"),
        (GOOD[:4] + b"\x07" + GOOD[5:], 0, "the capture is of version 7.4; 2.4 can be read"),
        (GOOD[:-1], 1, "the capture ends within packet 2"),
        (GOOD + b"x", 2, "the capture ends within packet 3"),
        (GOOD + LARGE, 2, "packet 3 is said to have 262145 octets, more than any frame (262144)"),
        (GOOD_NG[:-1], 1, "the capture ends within packet 2"),
        (GOOD_NG + packet(0, b"", 1), 2, "packet 3 is of interface 1; 1 are described before it"),
        (GOOD_NG + packet(2**64 - 1, b""), 2, "packet 3 is said to be of a time that no clock shows"),
        (GOOD_NG + block(6, b"abcd"), 2, "the block of packet 3 is cut short"),
        (
            GOOD_NG + block(6, struct.pack("<IIIII", 0, 0, 0, 50, 50) + bytes(8)),
            2,
            "packet 3 is said to have 50 octets; its block holds 8",
        ),
        (GOOD_NG + struct.pack("<III", 6, 8, 8), 2, "the block of packet 3 is said to have 8 octets"),
        (GOOD_NG + struct.pack("<III", 6, 14, 14), 2, "the block of packet 3 is said to have 14 octets"),
        (GOOD_NG + b"\xff" * 12, 2, "the block of packet 3 is said to have 4294967295 octets"),
        (GOOD_NG + struct.pack("<III", 9, 12, 16), 2, "the block of packet 3 tells two different lengths"),
        (GOOD_NG + block(1, b"abcd"), 2, "the description of an interface before packet 3 is cut short"),
        (
            GOOD_NG + block(0x0A0D0D0A, b"\x01\x02\x03\x04" + bytes(12)),
            2,
            "the section of packet 3 begins with a byte order that there is not",
        ),
        (
            GOOD_NG + block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 0, -1)),
            2,
            "the section of packet 3 is of version 2.0; 1.0 can be read",
        ),
        (
            GOOD_NG + block(0x0A0D0D0A, struct.pack("<II", 0x1A2B3C4D, 1)),
            2,
            "the section of packet 3 is cut short",
        ),
        (section() + packet(0, b""), 0, "packet 1 is of interface 0; 0 are described before it"),
        (section() + interface() * 4097, 0, "there are more than 4096 interfaces before packet 1"),
    ],
)
def test_what_is_good_before_a_fault_is_kept(data: bytes, frames: int, sentence: str) -> None:
    for step in (None, 7):
        found, reader = read(data, step)
        assert len(found) == frames
        assert reader.fault == sentence


def test_options_that_are_cut_short_end_their_list() -> None:
    body = struct.pack("<HHI", 1, 0, 0) + option(9, b"\x09")[:-3] + b"\0\0\0"
    found, reader = read(section() + block(1, body + struct.pack("<HH", 14, 800)) + packet(5, b"x"))
    assert (found, reader.fault) == ([(5, b"x")], None)


@given(st.binary(max_size=300), st.sampled_from((b"", GOOD[:24], GOOD, GOOD_NG, section() + interface())))
@settings(max_examples=300)
def test_noise_is_a_fault_or_frames(noise: bytes, before: bytes) -> None:
    data = before + noise
    found, reader = read(data)
    in_steps, other = read(data, 13)
    assert (found, reader.fault) == (in_steps, other.fault)


@given(st.data())
def test_a_flipped_octet_leaves_all_frames_before_it(data: st.DataObject) -> None:
    frames = [(place * SECOND, bytes([place]) * 20) for place in range(6)]
    whole = data.draw(
        st.sampled_from(
            (pcap(frames), section() + interface() + b"".join(packet(at // 1000, f) for at, f in frames))
        )
    )
    at = data.draw(st.integers(120, len(whole) - 1))
    found, _ = read(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
    before = sum(1 for _ in read(whole[:at])[0])
    assert found[:before] == frames[:before]


MIXED = [
    (1, ethernet(ipv4(udp(b"plain" * 9, 4000, 5000)))),
    (2, ethernet(ipv6(udp(b"six" * 9, 4001, 5001)), IPV6, [0x8100, 0x8100])),
    (3, ethernet(ipv4(vxlan(ethernet(ipv4(udp(b"in vxlan" * 9, 4002, 5002))))))),
    (4, ethernet(ipv4(erspan_2(ethernet(ipv4(udp(b"in erspan" * 9, 4003, 5003)))), protocol=47))),
    (5, ethernet(ipv4(udp(b"f" * 72, 4004, 5004)[:40], more=True, identification=5))),
    (6, ethernet(ipv4(udp(b"f" * 72, 4004, 5004)[40:], offset=40, identification=5))),
]


def seen_by_tshark(path: Path) -> list[tuple[str, str, str, str]]:
    """Of each innermost datagram the frame, the ports and the payload."""
    fields = ("frame.number", "udp.srcport", "udp.dstport", "udp.payload")
    command = ["tshark", "-r", str(path), "-Y", "udp", "-T", "fields", "-E", "occurrence=l"]
    for port in range(5000, 5008):
        command += ["-d", f"udp.port=={port},data"]
    for name in fields:
        command += ["-e", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    number, source, destination, payload = zip(
        *(line.split("\t") for line in output.splitlines()), strict=True
    )
    return list(zip(number, source, destination, payload, strict=True))


def seen_here(path: Path) -> list[tuple[str, str, str, str]]:
    reader, taking = CaptureReader(), Decapsulator()
    found = []
    for each in taking.feed(reader.feed(path.read_bytes())):
        for row in range(len(each)):
            ends = str(each.source_ports[row]), str(each.destination_ports[row])
            found.append((str(each.numbers[row]), *ends, each.payload(row).hex()))
    reader.finish()
    assert reader.fault is None
    return sorted(found)


@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng", "nseclibpcap", "modpcap"])
def test_tshark_sees_the_same(kind: str, tmp_path: Path) -> None:
    """In each format that editcap writes; and merged from captures of other link types."""
    assert shutil.which("tshark"), "tshark is not installed; run scripts/bootstrap test"
    first, second, third = (tmp_path / name for name in ("a.pcap", "b.pcap", "c.pcap"))
    base = 1_700_000_000 * SECOND
    first.write_bytes(pcap([(base + at * SECOND, frame) for at, frame in MIXED]))
    second.write_bytes(pcap([(base + 7 * SECOND, ipv4(udp(b"raw" * 9, 4005, 5005)))], RAW, ">", nano=True))
    third.write_bytes(pcap([(base, cooked(ipv4(udp(b"cooked" * 9, 4006, 5006))))], 113))
    merged = tmp_path / "merged"
    command = ["mergecap", "-F", "pcapng", "-w", str(merged), str(first), str(second), str(third)]
    if kind != "pcapng":
        command = ["editcap", "-F", kind, str(first), str(merged)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert seen_here(merged) == seen_by_tshark(merged)
    assert len(seen_here(merged)) == (7 if kind == "pcapng" else 5)


def test_writers_agree_with_capinfos(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(GOOD_NG)
    command = ["capinfos", "-c", "-M", str(path)]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert output.split()[-1] == "2"
    assert captures.pcap([]) == GOOD[:24]
