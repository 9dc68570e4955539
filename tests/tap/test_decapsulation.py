"""Every way in which a datagram may be wrapped gives the datagram, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.decapsulation import MAX_LAYERS, decapsulate
from gateway.tap.frames import Datagrams
from tests.tap.building import (
    COOKED,
    COOKED_2,
    ETHERNET,
    IPV6,
    LOOP,
    NULL,
    RAW,
    batch,
    cooked,
    cooked_2,
    erspan_2,
    erspan_3,
    ethernet,
    extension,
    fragment_header,
    gre,
    ipv4,
    ipv6,
    pppoe,
    tcp,
    udp,
    vxlan,
)

PAYLOAD = b"INVITE sip:b SIP/2.0\r\n\r\n"
DATAGRAM = udp(PAYLOAD, 6000, 7000)
OLD = ipv4(DATAGRAM)
NEW = ipv6(DATAGRAM)
INNER = ethernet(OLD)

WAYS = {
    "plain": (ETHERNET, ethernet(OLD)),
    "padded": (ETHERNET, ethernet(OLD) + bytes(9)),
    "one tag": (ETHERNET, ethernet(OLD, tags=[0x8100])),
    "two tags": (ETHERNET, ethernet(OLD, tags=[0x88A8, 0x8100])),
    "two tags of one kind": (ETHERNET, ethernet(OLD, tags=[0x8100, 0x8100])),
    "options": (ETHERNET, ethernet(ipv4(DATAGRAM, options=b"\x94\x04\0\0" * 3))),
    "ipv6": (ETHERNET, ethernet(NEW, IPV6)),
    "ipv6, tagged and padded": (ETHERNET, ethernet(NEW, IPV6, [0x8100]) + b"\xff" * 7),
    "ipv6 with options": (
        ETHERNET,
        ethernet(ipv6(extension(extension(DATAGRAM, 17, 2), 60), following=0), IPV6),
    ),
    "ipv6 with a fragment that is whole": (
        ETHERNET,
        ethernet(ipv6(fragment_header(DATAGRAM, 0, more=False), following=44), IPV6),
    ),
    "authentication header": (
        ETHERNET,
        ethernet(ipv4(bytes([17, 4]) + bytes(22) + DATAGRAM, protocol=51)),
    ),
    "cooked": (COOKED, cooked(OLD)),
    "cooked with a tag": (COOKED, cooked(b"\0\x07\x08\0" + OLD, 0x8100)),
    "cooked, ipv6": (COOKED, cooked(NEW, IPV6)),
    "cooked 2": (COOKED_2, cooked_2(OLD)),
    "cooked 2, ipv6": (COOKED_2, cooked_2(NEW, IPV6)),
    "null": (NULL, b"\x02\0\0\0" + OLD),
    "null of another order": (NULL, b"\0\0\0\x1e" + NEW),
    "loop": (LOOP, b"\0\0\0\x02" + OLD),
    "raw": (RAW, OLD),
    "raw, ipv6": (RAW, NEW),
    "raw as some name it": (12, OLD),
    "raw as others name it": (14, NEW),
    "ipv4 alone": (228, OLD),
    "ipv6 alone": (229, NEW),
    "pppoe": (ETHERNET, ethernet(pppoe(OLD), 0x8864)),
    "pppoe, ipv6, tagged and padded": (ETHERNET, ethernet(pppoe(NEW, 0x57), 0x8864, [0x8100]) + bytes(4)),
    "ip in ip": (ETHERNET, ethernet(ipv4(OLD, protocol=4))),
    "ipv6 in ip": (ETHERNET, ethernet(ipv4(NEW, protocol=41))),
    "vxlan": (ETHERNET, ethernet(ipv4(vxlan(INNER)))),
    "vxlan as linux had it": (ETHERNET, ethernet(ipv4(vxlan(INNER, 8472)))),
    "vxlan over ipv6, tagged inside": (
        ETHERNET,
        ethernet(ipv6(vxlan(ethernet(OLD, tags=[0x8100]))), IPV6),
    ),
    "gre": (ETHERNET, ethernet(ipv4(gre(OLD, 0x0800), protocol=47))),
    "gre with everything": (
        ETHERNET,
        ethernet(ipv4(gre(NEW, IPV6, checksum=True, key=True, sequence=True), protocol=47)),
    ),
    "gre with ethernet": (ETHERNET, ethernet(ipv4(gre(INNER, 0x6558, key=True), protocol=47))),
    "erspan 1": (ETHERNET, ethernet(ipv4(gre(INNER, 0x88BE), protocol=47))),
    "erspan 2": (ETHERNET, ethernet(ipv4(erspan_2(INNER), protocol=47))),
    "erspan 3": (ETHERNET, ethernet(ipv4(erspan_3(INNER), protocol=47))),
    "erspan 3 with more": (ETHERNET, ethernet(ipv6(erspan_3(INNER, platform=True), following=47), IPV6)),
}


def payloads(datagrams: Datagrams) -> list[bytes]:
    return [datagrams.payload(row) for row in range(len(datagrams))]


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_wrap_a_datagram(way: str) -> None:
    link_type, frame = WAYS[way]
    found, fragments, refused = decapsulate(batch([frame], link_type, gap=3))
    assert payloads(found) == [PAYLOAD]
    assert (found.source_ports[0], found.destination_ports[0], found.protocols[0]) == (6000, 7000, 17)
    assert (len(fragments), refused) == (0, {})
    assert found.headers[0] == found.offsets[0] - 8


@pytest.mark.parametrize("way", WAYS)
def test_cut_anywhere_it_is_refused(way: str) -> None:
    link_type, frame = WAYS[way]
    pieces = [frame[:size] for size in range(len(frame) - 10)]
    found, fragments, refused = decapsulate(batch(pieces, link_type, gap=40))
    assert (len(found), len(fragments)) == (0, 0)
    assert refused.total() == len(pieces)


def test_all_ways_in_one_batch_keep_their_order() -> None:
    ways = [WAYS["plain"], *WAYS.values(), WAYS["plain"]]
    frames = [frame for _, frame in ways]
    found, _, _ = decapsulate(batch(frames, [link_type for link_type, _ in ways]))
    assert payloads(found) == [PAYLOAD] * len(ways)
    assert found.rows.tolist() == list(range(len(ways)))
    assert found.numbers.tolist() == list(range(1, len(ways) + 1))


def test_addresses() -> None:
    frames = [ethernet(OLD), ethernet(NEW, IPV6), ethernet(OLD, tags=[0x8100])]
    found, _, _ = decapsulate(batch(frames))
    sources = [IPv6Address(source.tobytes()) for source in found.sources]
    destinations = [IPv6Address(destination.tobytes()) for destination in found.destinations]
    old, new = IPv6Address("::ffff:192.0.2.1"), IPv6Address("2001:db8::1")
    assert sources == [old, new, old]
    assert destinations == [each + 1 for each in sources]


def test_tcp_has_its_payload_behind_the_options() -> None:
    segment = tcp(PAYLOAD, 1, options=bytes(12))
    found, _, _ = decapsulate(batch([ethernet(ipv4(segment, protocol=6)) + bytes(6)]))
    assert payloads(found) == [PAYLOAD]
    assert (found.protocols[0], found.offsets[0] - found.headers[0]) == (6, 32)


def test_a_datagram_on_the_port_of_a_tunnel_may_be_none() -> None:
    found, _, _ = decapsulate(batch([ethernet(ipv4(udp(b"\x80" + bytes(171), 4000, 8472)))]))
    assert found.sizes.tolist() == [172]


def test_pieces_are_told_apart() -> None:
    pieces = [
        ethernet(ipv4(DATAGRAM[:16], more=True)),
        ethernet(ipv4(DATAGRAM[16:], offset=16)),
        ethernet(ipv6(fragment_header(DATAGRAM[:16], 0, more=True), following=44), IPV6),
    ]
    found, fragments, refused = decapsulate(batch(pieces))
    assert (len(found), refused) == (0, {})
    assert fragments.numbers.tolist() == [1, 2, 3]
    assert (fragments.ends - fragments.at).tolist() == [16, len(DATAGRAM) - 16, 8 + 16]


@pytest.mark.parametrize(
    ("link_type", "frame", "kind"),
    [
        (147, OLD, "link_type"),
        (-1, OLD, "link_type"),
        (1 << 20, OLD, "link_type"),
        (ETHERNET, ethernet(bytes(28), 0x0806), "not_ip"),
        (NULL, b"\x07\0\0\0" + OLD, "not_ip"),
        (RAW, b"\x55" + bytes(40), "bad_ip"),
        (ETHERNET, ethernet(b"\x44" + OLD[1:]), "bad_ip"),
        (ETHERNET, ethernet(NEW), "bad_ip"),
        (ETHERNET, ethernet(ipv4(bytes(8), protocol=1)), "protocol"),
        (ETHERNET, ethernet(ipv6(bytes(8), following=59), IPV6), "protocol"),
        (ETHERNET, ethernet(ipv4(b"\0\x01\0\x02\0\x07\0\0")), "bad_udp"),
        (ETHERNET, ethernet(ipv4(b"\0\x01\0\x02\0\xff\0\0")), "bad_udp"),
        (ETHERNET, ethernet(ipv4(tcp(b"", 1)[:12] + b"\x40" + bytes(7), protocol=6)), "bad_tcp"),
        (ETHERNET, ethernet(ipv4(b"\x30\x01\x88\x0b" + bytes(20), protocol=47)), "tunnel"),
        (ETHERNET, ethernet(b"\x12\0\0\0\0\x02\0\x21", 0x8864), "tunnel"),
        (ETHERNET, ethernet(OLD, tags=[0x8100] * MAX_LAYERS), "depth"),
        (ETHERNET, b"", "short"),
    ],
)
def test_what_is_refused_is_counted(link_type: int, frame: bytes, kind: str) -> None:
    found, _, refused = decapsulate(batch([frame, ethernet(OLD)], [link_type, ETHERNET]))
    assert refused == {kind: 1}
    assert found.rows.tolist() == [1]


def test_frames_that_the_capture_cut_are_told_apart() -> None:
    frames = batch([ethernet(OLD)[:-1]])
    assert decapsulate(frames)[2] == {"short": 1}
    assert decapsulate(replace(frames, lengths=frames.sizes + 1))[2] == {"cut": 1}


def test_no_frames_at_all() -> None:
    found, fragments, refused = decapsulate(batch([]))
    assert (len(found), len(fragments), refused) == (0, 0, {})


LAYER = st.sampled_from(("tag", "vxlan", "gre", "erspan 2", "erspan 3"))


@given(st.lists(LAYER, max_size=4), st.binary(max_size=60), st.integers(1, 4000), st.booleans())
def test_any_pile_of_layers(layers: list[str], payload: bytes, port: int, new: bool) -> None:
    packet = (ipv6 if new else ipv4)(udp(payload, port, port + 1))
    kind = IPV6 if new else 0x0800
    frame = ethernet(packet, kind)
    for layer in layers:
        match layer:
            case "tag":
                frame = ethernet(frame[14:], int.from_bytes(frame[12:14]), [0x8100])
            case "vxlan":
                frame = ethernet(ipv4(vxlan(frame)))
            case "gre":
                frame = ethernet(ipv6(gre(frame, 0x6558), following=47), IPV6)
            case "erspan 2":
                frame = ethernet(ipv4(erspan_2(frame), protocol=47))
            case "erspan 3":
                frame = ethernet(ipv4(erspan_3(frame), protocol=47))
    found, _, refused = decapsulate(batch([frame, ethernet(OLD)]))
    assert refused == {}
    assert payloads(found) == [payload, PAYLOAD]
    assert found.source_ports.tolist() == [port, 6000]


@given(
    st.lists(st.binary(max_size=120), max_size=8), st.sampled_from((ETHERNET, COOKED, COOKED_2, NULL, RAW))
)
def test_noise_is_refused_or_lies_within_its_frame(frames: list[bytes], link_type: int) -> None:
    noise = batch(frames, link_type)
    found, fragments, refused = decapsulate(noise)
    assert len(found) + len(fragments) + refused.total() == len(frames)
    ends = noise.offsets + noise.sizes
    assert (found.offsets + found.sizes <= ends[found.rows]).all()
    assert (found.sizes >= 0).all()
