"""Steps of link layers: Ethernet and its tags, Linux cooked, PPP, wireless LAN, and what capturing programs put around frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateway.rtp.packets import Ints
from gateway.tap.layers import ETHERTYPES, FAMILIES, LINK_TYPES, PPP_TYPES, Layer, Rows, Steps

SNAP = 0xAAAA  # IEEE 802.2: both addresses of an LLC header that a type follows
FRAMED = 0xFF03  # RFC 1662 section 3.1: address and control
CISCO_HDLC = (0x0F00, 0x8F00)  # unicast and broadcast
NFLOG_PAYLOAD = 9  # <linux/netfilter/nfnetlink_log.h>
# IEEE 802.11 section 9.2.4.1: of the first octet version, type and whether there is data; of the second the rest.
DATA, DATA_OR_NOT, QUALITY = 0x08, 0x4F, 0x80
TO_AND_FROM, MORE_FRAGMENTS, PROTECTED, ORDER = 0x03, 0x04, 0x40, 0x80
AGGREGATED = 0x80  # in the first octet of QoS control
TIMER_PRESENT, FLAGS_PRESENT, MORE_PRESENT = 0x01, 0x02, 0x80  # https://www.radiotap.org
PADDED = 0x20  # in the flags of radiotap
MAX_PRESENT = 8  # words that tell what there is; cards have one to four


def _ethernet(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 14)
    at = rows.at[pick]
    rows.move(pick, ETHERTYPES[rows.word(at + 12)], at + 14)


def _vlan(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    rows.move(pick, ETHERTYPES[rows.word(at + 2)], at + 4)


def _cooked(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 16)
    at = rows.at[pick]
    rows.move(pick, ETHERTYPES[rows.word(at + 14)], at + 16)


def _cooked_2(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 20)
    at = rows.at[pick]
    rows.move(pick, ETHERTYPES[rows.word(at)], at + 20)


def _loopback(rows: Rows, pick: Ints) -> None:
    """The family is in the byte order of the machine that captured."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    swapped = rows.byte(at) | rows.byte(at + 1) << 8 | rows.word(at + 2) << 16
    family = np.where(rows.word(at) == 0, rows.word(at + 2), swapped)
    pick = rows.keeping(pick, np.isin(family, FAMILIES), Layer.NOT_IP)
    rows.move(pick, Layer.RAW, rows.at[pick] + 4)


def _raw(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 1)
    version = rows.byte(rows.at[pick]) >> 4
    rows.layer[pick] = np.where(
        version == 4, Layer.IPV4, np.where(version == 6, Layer.IPV6, Layer.BAD_IP)
    ).astype(np.int8)


def _llc(rows: Rows, pick: Ints) -> None:
    """IEEE 802.2 with SNAP (RFC 1042), or of bridges the tunnel of IEEE 802.1H."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    snap = (rows.word(at) == SNAP) & (rows.byte(at + 2) == 3) & (rows.word(at + 3) == 0)
    snap &= np.isin(rows.byte(at + 5), (0, 0xF8))
    rows.move(pick, np.where(snap, ETHERTYPES[rows.word(at + 6)], np.int8(Layer.NOT_IP)), at + 8)


def _pppoe(rows: Rows, pick: Ints) -> None:
    """RFC 2516 section 4."""
    pick = rows.holding(pick, 6)
    at = rows.at[pick]
    pick = rows.keeping(pick, rows.word(at) == 0x1100, Layer.TUNNEL)
    at = rows.at[pick]
    rows.end[pick] = np.minimum(rows.end[pick], at + 6 + rows.word(at + 4))
    rows.move(pick, Layer.PPP, at + 6)


def _ppp(rows: Rows, pick: Ints) -> None:
    """RFC 1661 section 2, a protocol of one octet included; bare, framed (RFC 1662), or in its place what Cisco has."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    first = rows.word(at)
    cisco = np.isin(first, CISCO_HDLC)
    at = at + 2 * (first == FRAMED)
    short = rows.byte(at) & 1 == 1
    kind = PPP_TYPES[np.where(short, rows.byte(at), rows.word(at))]
    rows.move(pick, np.where(cisco, np.int8(Layer.HDLC), kind), np.where(cisco, at, at + 2 - short))


def _hdlc(rows: Rows, pick: Ints) -> None:
    """Cisco's: address, control, and a type as of Ethernet."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    rows.move(pick, ETHERTYPES[rows.word(at + 2)], at + 4)


def _radiotap(rows: Rows, pick: Ints) -> None:
    """Its flags alone are looked at: whether the header behind it is padded to words."""
    pick = _headed(rows, pick)
    at = rows.at[pick]
    size = rows.little_word(at + 2)
    words, more = np.ones(len(pick), np.int64), np.ones(len(pick), np.bool_)
    for word in range(1, MAX_PRESENT):
        more = more & (4 + 4 * word < size)
        more = more & (rows.byte(np.where(more, at + 3 + 4 * word, at)) & MORE_PRESENT != 0)
        words += more
    flags = 4 + 4 * words
    timed = rows.byte(at + 4) & TIMER_PRESENT != 0
    flags = np.where(timed, (flags + 7) // 8 * 8 + 8, flags)
    told = (rows.byte(at + 4) & FLAGS_PRESENT != 0) & (flags < size)
    padded = told & (rows.byte(np.where(told, at + flags, at)) & PADDED != 0)
    rows.move(pick, np.where(padded, np.int8(Layer.WLAN_PADDED), np.int8(Layer.WLAN)), at + size)


def _headed(rows: Rows, pick: Ints) -> Ints:
    """Those with a header of version 0 whose length its second word tells."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    pick = rows.keeping(pick, (rows.byte(at) == 0) & (rows.little_word(at + 2) >= 8), Layer.TUNNEL)
    return rows.holding(pick, rows.little_word(rows.at[pick] + 2))


def _wlan(padding: int) -> Callable[[Rows, Ints], None]:
    """IEEE 802.11 section 9.3.2: frames with data; of an aggregate the first. `padding`: to how many octets the header is."""

    def step(rows: Rows, pick: Ints) -> None:
        pick = rows.holding(pick, 24)
        pick = rows.keeping(pick, rows.byte(rows.at[pick]) & DATA_OR_NOT == DATA, Layer.NOT_IP)
        pick = rows.keeping(pick, rows.byte(rows.at[pick] + 1) & PROTECTED == 0, Layer.ENCRYPTED)
        at = rows.at[pick]
        alone = (rows.byte(at + 1) & MORE_FRAGMENTS == 0) & (rows.byte(at + 22) & 0x0F == 0)
        pick = rows.keeping(pick, alone, Layer.TUNNEL)
        pick = rows.holding(pick, 26 + _further(rows, pick))
        at = rows.at[pick]
        control = at + 24 + 6 * (rows.byte(at + 1) & TO_AND_FROM == TO_AND_FROM)
        aggregated = (rows.byte(at) & QUALITY != 0) & (rows.byte(control) & AGGREGATED != 0)
        size = (24 + _further(rows, pick) + padding - 1) // padding * padding
        rows.move(pick, Layer.LLC, at + size + 14 * aggregated)

    return step


def _further(rows: Rows, pick: Ints) -> Ints:
    """Octets of the header past the first 24: a fourth address, QoS control, and HT control behind that."""
    kind, flags = rows.byte(rows.at[pick]), rows.byte(rows.at[pick] + 1)
    fourth = flags & TO_AND_FROM == TO_AND_FROM
    quality = kind & QUALITY != 0
    size: Ints = 6 * fourth + 2 * quality + 4 * (quality & (flags & ORDER != 0))
    return size


def _per_packet(rows: Rows, pick: Ints) -> None:
    """PPI: a header with fields, of which none is needed, and the kind of the frame behind it."""
    pick = _headed(rows, pick)
    at = rows.at[pick]
    rows.move(pick, LINK_TYPES[rows.little_word(at + 4)], at + rows.little_word(at + 2))


def _pktap(rows: Rows, pick: Ints) -> None:
    """What macOS puts before frames of any interface: its length, what follows (1: a frame), and of which kind that is."""
    pick = rows.holding(pick, 12)
    at = rows.at[pick]
    size = rows.little_word(at)
    good = (size >= 12) & (rows.little_word(at + 2) == 0) & (rows.little_word(at + 4) == 1)
    pick, at, size = rows.keeping(pick, good, Layer.TUNNEL), at[good], size[good]
    rows.move(pick, LINK_TYPES[rows.little_word(at + 8)], at + size)


def _nflog(rows: Rows, pick: Ints) -> None:
    """What Linux' packet filter logs: family, version 0, a group; then fields, of which one is the packet."""
    pick = rows.holding(pick, 4)
    pick = rows.keeping(pick, rows.byte(rows.at[pick] + 1) == 0, Layer.TUNNEL)
    rows.move(pick, Layer.NFLOG_FIELD, rows.at[pick] + 4)


def _nflog_field(rows: Rows, pick: Ints) -> None:
    """Little-endian, as of nearly all machines that log; of others nothing is found."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    size = rows.little_word(at)
    good = size >= 4
    pick, at, size = rows.keeping(pick, good, Layer.TUNNEL), at[good], size[good]
    packet = rows.little_word(at + 2) == NFLOG_PAYLOAD
    behind = np.where(packet, at + 4, at + (size + 3) // 4 * 4)
    rows.move(pick, np.where(packet, np.int8(Layer.RAW), np.int8(Layer.NFLOG_FIELD)), behind)


STEPS: Steps = {
    Layer.ETHERNET: _ethernet,
    Layer.LLC: _llc,
    Layer.VLAN: _vlan,
    Layer.COOKED: _cooked,
    Layer.COOKED_2: _cooked_2,
    Layer.LOOPBACK: _loopback,
    Layer.RAW: _raw,
    Layer.PPP: _ppp,
    Layer.PPPOE: _pppoe,
    Layer.HDLC: _hdlc,
    Layer.RADIOTAP: _radiotap,
    Layer.WLAN: _wlan(1),
    Layer.WLAN_PADDED: _wlan(4),
    Layer.PER_PACKET: _per_packet,
    Layer.PKTAP: _pktap,
    Layer.NFLOG: _nflog,
    Layer.NFLOG_FIELD: _nflog_field,
}
