"""One layer of many frames at once: what it is, where the next begins, what that one is.

Each function moves the rows that stand before its layer on to the next one, or refuses them. Where a layer carries
a length, the end of the row is drawn in to it, so that padding is never taken for payload.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from gateway.rtp.packets import Bools, Ints, Octets

Codes = npt.NDArray[np.int8]


class Layer(IntEnum):
    """What a row stands before; from UDP on its way has come to an end."""

    ETHERNET = 0
    VLAN = 1
    COOKED = 2
    COOKED_2 = 3
    LOOPBACK = 4
    RAW = 5
    PPPOE = 6
    IPV4 = 7
    IPV6 = 8
    EXTENSION = 9
    AUTHENTICATION = 10
    FRAGMENT_HEADER = 11
    GRE = 12
    ERSPAN_2 = 13
    ERSPAN_3 = 14
    UDP_HEADER = 15
    TCP_HEADER = 16
    UDP = 17
    TCP = 18
    FRAGMENT = 19
    SHORT = 20  # from here on: refused, and why
    LINK_TYPE = 21
    NOT_IP = 22
    BAD_IP = 23
    PROTOCOL = 24
    BAD_UDP = 25
    BAD_TCP = 26
    TUNNEL = 27
    DEPTH = 28


REFUSED = Layer.SHORT


def _table(size: int, otherwise: Layer, entries: Mapping[Layer, tuple[int, ...]]) -> Codes:
    table = np.full(size, otherwise, np.int8)
    for layer, values in entries.items():
        table[list(values)] = layer
    return table


LINK_TYPE_ETHERNET, LINK_TYPE_RAW = 1, 101
# https://www.tcpdump.org/linktypes.html; 12 and 14 are what raw IP is called on some systems.
LINK_TYPES = _table(
    65_536,
    Layer.LINK_TYPE,
    {
        Layer.ETHERNET: (LINK_TYPE_ETHERNET,),
        Layer.COOKED: (113,),
        Layer.COOKED_2: (276,),
        Layer.LOOPBACK: (0, 108),
        Layer.RAW: (LINK_TYPE_RAW, 12, 14),
        Layer.IPV4: (228,),
        Layer.IPV6: (229,),
    },
)
_ETHERTYPES = {
    Layer.IPV4: (0x0800,),
    Layer.IPV6: (0x86DD,),
    Layer.VLAN: (0x8100, 0x88A8, 0x9100, 0x9200),
    Layer.PPPOE: (0x8864,),
}
ETHERTYPES = _table(65_536, Layer.NOT_IP, _ETHERTYPES)
# Without a sequence number 0x88BE is ERSPAN type I, which has no header of its own.
ERSPAN_TYPE = 0x88BE
GRE_TYPES = _table(
    65_536,
    Layer.NOT_IP,
    _ETHERTYPES | {Layer.ETHERNET: (0x6558,), Layer.ERSPAN_2: (ERSPAN_TYPE,), Layer.ERSPAN_3: (0x22EB,)},
)
PPP_TYPES = _table(65_536, Layer.NOT_IP, {Layer.IPV4: (0x0021,), Layer.IPV6: (0x0057,)})
_PROTOCOLS = {
    Layer.UDP_HEADER: (17,),
    Layer.TCP_HEADER: (6,),
    Layer.GRE: (47,),
    Layer.IPV4: (4,),
    Layer.IPV6: (41,),
    Layer.AUTHENTICATION: (51,),
}
PROTOCOLS = _table(256, Layer.PROTOCOL, _PROTOCOLS)
# RFC 8200 section 4.1, RFC 6275 section 6.1, RFC 7401 section 5.1, RFC 5533 section 5.1.
NEXT_HEADERS = _table(
    256,
    Layer.PROTOCOL,
    _PROTOCOLS | {Layer.EXTENSION: (0, 43, 60, 135, 139, 140), Layer.FRAGMENT_HEADER: (44,)},
)
FAMILIES = (2, 10, 24, 28, 30)  # AF_INET, and AF_INET6 on the systems that write such frames
VXLAN_PORTS = (4789, 8472)  # RFC 7348 section 5, and what Linux took before it
MORE_OR_OFFSET = 0x3FFF  # RFC 791 section 3.1
GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE, GRE_VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007


class Rows:
    """The frames on their way: one element a frame in every column."""

    def __init__(self, octets: Octets, at: Ints, end: Ints, layer: Codes) -> None:
        self.octets = octets
        self.at = at  # where the layer begins
        self.end = end  # where what was captured, or the layer around, ends
        self.layer = layer
        self.packet = at.copy()  # where the innermost IP header begins
        self.payload = at.copy()  # where the payload begins, once the way is at its end

    def byte(self, at: Ints) -> Ints:
        return self.octets[at].astype(np.int64)

    def word(self, at: Ints) -> Ints:
        return self.byte(at) << 8 | self.octets[at + 1]

    def holding(self, pick: Ints, size: int | Ints) -> Ints:
        """Those of the picked rows that have so many octets left; the others are refused."""
        return self.keeping(pick, self.at[pick] + size <= self.end[pick], Layer.SHORT)

    def keeping(self, pick: Ints, good: Bools, otherwise: Layer) -> Ints:
        if good.all():
            return pick
        self.layer[pick[~good]] = otherwise
        return pick[good]

    def move(self, pick: Ints, layer: Codes | Layer, at: Ints) -> None:
        self.layer[pick] = layer
        self.at[pick] = at


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


def _pppoe(rows: Rows, pick: Ints) -> None:
    """RFC 2516 section 4, with the protocol field of PPP behind it."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    pick = rows.keeping(pick, rows.word(at) == 0x1100, Layer.TUNNEL)
    at = rows.at[pick]
    rows.end[pick] = np.minimum(rows.end[pick], at + 6 + rows.word(at + 4))
    rows.move(pick, PPP_TYPES[rows.word(at + 6)], at + 8)


def _ipv4(rows: Rows, pick: Ints) -> None:
    """RFC 791 section 3.1. A total length of zero is that of a segment that the network card is to cut."""
    pick = rows.holding(pick, 20)
    at = rows.at[pick]
    first, total = rows.byte(at), rows.word(at + 2)
    header = (first & 0x0F) * 4
    total = np.where(total == 0, rows.end[pick] - at, total)
    good = (first >> 4 == 4) & (header >= 20) & (total >= header)
    pick = rows.keeping(pick, good, Layer.BAD_IP)
    at, header, total = at[good], header[good], total[good]
    whole = at + total <= rows.end[pick]
    pick = rows.keeping(pick, whole, Layer.SHORT)
    at, header, total = at[whole], header[whole], total[whole]
    rows.packet[pick] = at
    rows.end[pick] = at + total
    fragment = rows.word(at + 6) & MORE_OR_OFFSET != 0
    layer = np.where(fragment, np.int8(Layer.FRAGMENT), PROTOCOLS[rows.byte(at + 9)])
    rows.move(pick, layer, at + header)


def _ipv6(rows: Rows, pick: Ints) -> None:
    """RFC 8200 section 3."""
    pick = rows.holding(pick, 40)
    pick = rows.keeping(pick, rows.byte(rows.at[pick]) >> 4 == 6, Layer.BAD_IP)
    at = rows.at[pick]
    length = rows.word(at + 4)
    end = np.where(length == 0, rows.end[pick], at + 40 + length)
    good = end <= rows.end[pick]
    pick = rows.keeping(pick, good, Layer.SHORT)
    at = at[good]
    rows.packet[pick] = at
    rows.end[pick] = end[good]
    rows.move(pick, NEXT_HEADERS[rows.byte(at + 6)], at + 40)


def _extension(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    rows.move(pick, NEXT_HEADERS[rows.byte(at)], at + 8 + 8 * rows.byte(at + 1))


def _authentication(rows: Rows, pick: Ints) -> None:
    """RFC 4302 section 2."""
    pick = rows.holding(pick, 12)
    at = rows.at[pick]
    rows.move(pick, NEXT_HEADERS[rows.byte(at)], at + 8 + 4 * rows.byte(at + 1))


def _fragment_header(rows: Rows, pick: Ints) -> None:
    """RFC 8200 section 4.5. One that is first and last is whole (RFC 6946); of others `at` stays at this header."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    whole = rows.word(at + 2) & 0xFFF9 == 0
    layer = np.where(whole, NEXT_HEADERS[rows.byte(at)], np.int8(Layer.FRAGMENT))
    rows.move(pick, layer, np.where(whole, at + 8, at))


def _gre(rows: Rows, pick: Ints) -> None:
    """RFC 2784 section 2 and RFC 2890 section 2."""
    pick = rows.holding(pick, 4)
    flags = rows.word(rows.at[pick])
    good = flags & (GRE_ROUTING | GRE_VERSION) == 0
    pick, flags = rows.keeping(pick, good, Layer.TUNNEL), flags[good]
    at = rows.at[pick]
    kind = rows.word(at + 2)
    optional = sum((flags & flag != 0).astype(np.int64) for flag in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE))
    bare = (kind == ERSPAN_TYPE) & (flags & GRE_SEQUENCE == 0)
    rows.move(pick, np.where(bare, np.int8(Layer.ETHERNET), GRE_TYPES[kind]), at + 4 + 4 * optional)


def _erspan_2(rows: Rows, pick: Ints) -> None:
    pick = rows.holding(pick, 8)
    rows.move(pick, Layer.ETHERNET, rows.at[pick] + 8)


def _erspan_3(rows: Rows, pick: Ints) -> None:
    """Twelve octets; the last bit tells of eight more that depend on the platform."""
    pick = rows.holding(pick, 12)
    at = rows.at[pick]
    rows.move(pick, Layer.ETHERNET, at + 12 + 8 * (rows.byte(at + 11) & 1))


def _udp(rows: Rows, pick: Ints) -> None:
    """RFC 768; a length of zero is that of a datagram of IPv6 beyond 65,535 octets (RFC 2675 section 4)."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    length = rows.word(at + 4)
    length = np.where(length == 0, rows.end[pick] - at, length)
    good = (length >= 8) & (at + length <= rows.end[pick])
    pick, at, length = rows.keeping(pick, good, Layer.BAD_UDP), at[good], length[good]
    rows.end[pick] = at + length
    rows.payload[pick] = at + 8
    rows.layer[pick] = Layer.UDP
    _vxlan(rows, pick[np.isin(rows.word(at + 2), VXLAN_PORTS) & (length >= 16)])


def _vxlan(rows: Rows, pick: Ints) -> None:
    """RFC 7348 section 5: flags with the I bit, 24 reserved bits. Anything else on its ports is a datagram like others."""
    at = rows.at[pick] + 8
    tunnel = (rows.word(at) == 0x0800) & (rows.word(at + 2) == 0)
    rows.move(pick[tunnel], Layer.ETHERNET, at[tunnel] + 8)


def _tcp(rows: Rows, pick: Ints) -> None:
    """RFC 9293 section 3.1."""
    pick = rows.holding(pick, 20)
    at = rows.at[pick]
    header = (rows.byte(at + 12) >> 4) * 4
    good = (header >= 20) & (at + header <= rows.end[pick])
    pick = rows.keeping(pick, good, Layer.BAD_TCP)
    rows.payload[pick] = (at + header)[good]
    rows.layer[pick] = Layer.TCP


STEPS: dict[Layer, Callable[[Rows, Ints], None]] = {
    Layer.ETHERNET: _ethernet,
    Layer.VLAN: _vlan,
    Layer.COOKED: _cooked,
    Layer.COOKED_2: _cooked_2,
    Layer.LOOPBACK: _loopback,
    Layer.RAW: _raw,
    Layer.PPPOE: _pppoe,
    Layer.IPV4: _ipv4,
    Layer.IPV6: _ipv6,
    Layer.EXTENSION: _extension,
    Layer.AUTHENTICATION: _authentication,
    Layer.FRAGMENT_HEADER: _fragment_header,
    Layer.GRE: _gre,
    Layer.ERSPAN_2: _erspan_2,
    Layer.ERSPAN_3: _erspan_3,
    Layer.UDP_HEADER: _udp,
    Layer.TCP_HEADER: _tcp,
}
