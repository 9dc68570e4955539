"""Every way in which a datagram may be wrapped gives the datagram, and nothing else does."""

from __future__ import annotations

import struct
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
    geneve,
    gre,
    gtp,
    ipv4,
    ipv6,
    labelled,
    pppoe,
    radiotap,
    snap,
    tcp,
    tzsp,
    udp,
    vxlan,
    wlan,
)

PAYLOAD = b"INVITE sip:b SIP/2.0\r\n\r\n"
DATAGRAM = udp(PAYLOAD, 6000, 7000)
OLD = ipv4(DATAGRAM)
NEW = ipv6(DATAGRAM)
INNER = ethernet(OLD)


def nflogged(packet: bytes) -> bytes:
    """The field of a log that has the packet (<linux/netfilter/nfnetlink_log.h>)."""
    return struct.pack("<HH", 4 + len(packet), 9) + packet


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
    "pppoe, a protocol of one octet": (
        ETHERNET,
        ethernet(b"\x11\0\0\x07" + (len(OLD) + 1).to_bytes(2) + b"\x21" + OLD, 0x8864),
    ),
    "pppoe without ethernet": (51, pppoe(OLD)),
    "ppp": (9, b"\0\x21" + OLD),
    "ppp, framed": (50, b"\xff\x03\0\x57" + NEW),
    "ppp, framed and short": (9, b"\xff\x03\x21" + OLD),
    "ppp with labels": (9, b"\x02\x81" + labelled(OLD, 16)),
    "cisco in the place of ppp": (50, b"\x0f\0\x08\0" + OLD),
    "cisco's hdlc": (104, b"\x8f\0\x86\xdd" + NEW),
    "snap": (ETHERNET, ethernet(snap(OLD), 8 + len(OLD))),
    "snap, tagged": (ETHERNET, ethernet(snap(NEW, IPV6), 8 + len(NEW), [0x8100])),
    "snap, cooked": (COOKED, cooked(snap(OLD), 4)),
    "llc alone": (100, snap(OLD)),
    "wireless": (105, wlan(OLD) + bytes(4)),
    "wireless without quality of service": (105, wlan(OLD, 0x02, quality=False)),
    "wireless between access points": (105, wlan(OLD, 0x03)),
    "wireless with ht control": (105, wlan(OLD, 0x81)[:26] + bytes(4) + wlan(OLD)[26:]),
    "wireless, aggregated": (105, wlan(OLD, aggregated=True)),
    "radiotap": (127, radiotap(wlan(OLD))),
    "radiotap with a timer and three words": (127, radiotap(wlan(OLD), 0x10, timed=True, words=3)),
    "radiotap, padded": (127, radiotap(wlan(OLD)[:26] + bytes(2) + wlan(OLD)[26:], 0x20, timed=True)),
    "radiotap in per-packet information": (192, b"\0\0\x0c\0\x7f\0\0\0" + bytes(4) + radiotap(wlan(OLD))),
    "pktap": (258, b"\x6c\0\0\0\x01\0\0\0\x01\0\0\0" + bytes(96) + INNER),
    "nflog": (239, b"\x02\0\0\x05\x08\0\x01\0" + bytes(4) + b"\x05\0\x0a\0x\0\0\0" + nflogged(OLD)),
    "a label": (ETHERNET, ethernet(labelled(OLD, 16), 0x8847)),
    "three labels, tagged": (ETHERNET, ethernet(labelled(NEW, 0x4567, 17, 18), 0x8847, [0x8100])),
    "a label for many": (ETHERNET, ethernet(labelled(OLD, 16), 0x8848)),
    "a pseudowire": (ETHERNET, ethernet(labelled(INNER, 16, 17, control=True), 0x8847)),
    "a pseudowire without a control word": (ETHERNET, ethernet(labelled(INNER, 16, 17), 0x8847)),
    "a pseudowire of a station that looks like ip": (
        ETHERNET,
        ethernet(labelled(b"\x4c\x5e" + INNER[2:], 16), 0x8847),
    ),
    "a pseudowire, tagged inside": (
        ETHERNET,
        ethernet(labelled(ethernet(NEW, IPV6, [0x8100]), 16, control=True), 0x8847),
    ),
    "labels in gre": (ETHERNET, ethernet(ipv4(gre(labelled(OLD, 16), 0x8847), protocol=47))),
    "labels in ip": (ETHERNET, ethernet(ipv4(labelled(OLD, 16), protocol=137))),
    "labels alone": (219, labelled(NEW, 16)),
    "geneve": (ETHERNET, ethernet(ipv4(geneve(INNER)))),
    "geneve with options": (ETHERNET, ethernet(ipv6(geneve(INNER, options=bytes(12))), IPV6)),
    "geneve with ip": (ETHERNET, ethernet(ipv4(geneve(OLD, 0x0800)))),
    "tzsp": (ETHERNET, ethernet(ipv4(tzsp(INNER)))),
    "tzsp with fields": (ETHERNET, ethernet(ipv4(tzsp(INNER, fields=b"\0\x0a\x01\xc8\x0c\x01\x06")))),
    "tzsp of wireless": (ETHERNET, ethernet(ipv4(tzsp(wlan(OLD), 18)))),
    "gtp": (ETHERNET, ethernet(ipv4(gtp(OLD)))),
    "gtp with a sequence number": (ETHERNET, ethernet(ipv4(gtp(NEW, 0x32, bytes(4))))),
    "gtp with extensions": (
        ETHERNET,
        ethernet(ipv4(gtp(OLD, 0x34, b"\0\0\0\x85\x01\x10\x05\xc0\x02" + bytes(7)))),
    ),
    "vxlan with a policy's group": (
        ETHERNET,
        ethernet(ipv4(udp(b"\x88\0\0\x07\0\0\x2a\0" + INNER, 50_000, 4789))),
    ),
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


@pytest.mark.parametrize("port", [4789, 8472, 6081, 37_008, 2152])
def test_a_datagram_on_the_port_of_a_tunnel_may_be_none(port: int) -> None:
    texts = [b"\x80" + bytes(171), b"\x80", b"SIP/2.0 200 OK\r\nTo: b\r\n"]
    found, _, refused = decapsulate(batch([ethernet(ipv4(udp(text, 4000, port))) for text in texts]))
    assert refused == {}
    assert payloads(found) == texts
    assert (found.offsets - found.headers).tolist() == [8, 8, 8]


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
        (ETHERNET, ethernet(b"\x42\x42\x03" + bytes(35), 38), "not_ip"),
        (ETHERNET, ethernet(ipv4(bytes(60), protocol=50)), "encrypted"),
        (ETHERNET, ethernet(labelled(bytes(40), 16), 0x8847), "tunnel"),
        (ETHERNET, ethernet(ipv4(gtp(OLD, 0x34, b"\0\0\0\x85" + bytes(4)))), "tunnel"),
        (105, b"\x80" + wlan(OLD)[1:], "not_ip"),
        (105, b"\xc8" + wlan(OLD)[1:], "not_ip"),
        (105, wlan(OLD, 0x41), "encrypted"),
        (105, wlan(OLD, 0x05), "tunnel"),
        (127, b"\x01" + radiotap(wlan(OLD))[1:], "tunnel"),
        (239, b"\x02\0\0\0\x03\0\x01\0", "tunnel"),
        (258, bytes(40), "tunnel"),
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


def test_of_a_frame_that_the_capture_cut_text_is_given_as_far_as_it_goes() -> None:
    whole = [ethernet(OLD), ethernet(NEW, IPV6), ethernet(ipv4(vxlan(INNER)))]
    audio, lost = ethernet(ipv4(udp(b"\x80" + bytes(171)))), ethernet(ipv4(DATAGRAM, more=True))
    frames = batch(
        [
            *(frame[:-9] for frame in whole),
            audio[:-9],
            lost[:-9],
            ethernet(ipv4(tcp(PAYLOAD, 1), protocol=6))[:-9],
        ]
    )
    found, fragments, refused = decapsulate(replace(frames, lengths=frames.sizes + 9))
    assert payloads(found) == [PAYLOAD[:-9]] * 3
    assert (len(fragments), refused) == (0, {"cut": 6})


def test_no_frames_at_all() -> None:
    found, fragments, refused = decapsulate(batch([]))
    assert (len(found), len(fragments), refused) == (0, 0, {})


LAYER = st.sampled_from(("tag", "vxlan", "gre", "erspan 2", "erspan 3", "labels", "geneve", "tzsp"))


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
            case "labels":
                frame = ethernet(labelled(frame, 16, 17, control=True), 0x8847)
            case "geneve":
                frame = ethernet(ipv4(geneve(frame, options=bytes(8))))
            case "tzsp":
                frame = ethernet(ipv6(tzsp(frame)), IPV6)
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
    st.lists(st.binary(max_size=120), max_size=8),
    st.sampled_from((ETHERNET, COOKED, COOKED_2, NULL, RAW, 9, 51, 100, 104, 105, 127, 192, 219, 239, 258)),
)
def test_noise_is_refused_or_lies_within_its_frame(frames: list[bytes], link_type: int) -> None:
    noise = batch(frames, link_type)
    found, fragments, refused = decapsulate(noise)
    assert len(found) + len(fragments) + refused.total() == len(frames)
    ends = noise.offsets + noise.sizes
    assert (found.offsets + found.sizes <= ends[found.rows]).all()
    assert (found.sizes >= 0).all()
