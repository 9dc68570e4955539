"""What the layers of frames are, and the numbers by which each names the next.

Steps move the rows that stand before their layer on to the next one, or refuse them. Where a layer carries a length, the end of
the row is drawn in to it, so that padding is never taken for payload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum, auto

import numpy as np
import numpy.typing as npt

from gateway.rtp.packets import Bools, Ints, Octets

Codes = npt.NDArray[np.int8]


class Layer(IntEnum):
    """What a row stands before; from UDP on its way has come to an end."""

    ETHERNET = 0
    LLC = auto()
    VLAN = auto()
    COOKED = auto()
    COOKED_2 = auto()
    LOOPBACK = auto()
    RAW = auto()
    PPP = auto()
    HDLC = auto()
    PPPOE = auto()
    RADIOTAP = auto()
    WLAN = auto()
    WLAN_PADDED = auto()
    PER_PACKET = auto()
    PKTAP = auto()
    NFLOG = auto()
    NFLOG_FIELD = auto()
    MPLS = auto()
    LABELLED = auto()
    IPV4 = auto()
    IPV6 = auto()
    EXTENSION = auto()
    AUTHENTICATION = auto()
    FRAGMENT_HEADER = auto()
    GRE = auto()
    ERSPAN_2 = auto()
    ERSPAN_3 = auto()
    VXLAN = auto()
    GENEVE = auto()
    TZSP = auto()
    TZSP_ETHERNET = auto()
    TZSP_WLAN = auto()
    GTP = auto()
    GTP_EXTENSION = auto()
    UDP_HEADER = auto()
    TCP_HEADER = auto()
    UDP = auto()
    TCP = auto()
    FRAGMENT = auto()
    SHORT = auto()  # from here on: refused, and why
    LINK_TYPE = auto()
    NOT_IP = auto()
    BAD_IP = auto()
    PROTOCOL = auto()
    BAD_UDP = auto()
    BAD_TCP = auto()
    TUNNEL = auto()
    ENCRYPTED = auto()
    DEPTH = auto()


REFUSED = Layer.SHORT


def _table(size: int, otherwise: Layer, entries: Mapping[Layer, Iterable[int]]) -> Codes:
    table = np.full(size, otherwise, np.int8)
    for layer, values in entries.items():
        table[list(values)] = layer
    return table


LINK_TYPE_ETHERNET, LINK_TYPE_RAW = 1, 101
# https://www.tcpdump.org/linktypes.html; 12 and 14 are what raw IP is called on some systems, 11 what LLC is.
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
        Layer.PPP: (9, 50),
        Layer.PPPOE: (51,),
        Layer.HDLC: (104,),
        Layer.LLC: (100, 11),
        Layer.WLAN: (105,),
        Layer.RADIOTAP: (127,),
        Layer.PER_PACKET: (192,),
        Layer.PKTAP: (258,),
        Layer.NFLOG: (239,),
        Layer.MPLS: (219,),
    },
)
LENGTHS = range(1501)  # IEEE 802.3 section 3.2.6: no type, but how many octets follow
_ETHERTYPES: dict[Layer, Iterable[int]] = {
    Layer.IPV4: (0x0800,),
    Layer.IPV6: (0x86DD,),
    Layer.VLAN: (0x8100, 0x88A8, 0x9100, 0x9200),
    Layer.PPPOE: (0x8864,),
    Layer.MPLS: (0x8847, 0x8848),
}
ETHERTYPES = _table(65_536, Layer.NOT_IP, _ETHERTYPES | {Layer.LLC: LENGTHS})
# Without a sequence number 0x88BE is ERSPAN type I, which has no header of its own.
ERSPAN_TYPE = 0x88BE
BRIDGED: dict[Layer, Iterable[int]] = {Layer.ETHERNET: (0x6558,)}
GRE_TYPES = _table(
    65_536,
    Layer.NOT_IP,
    _ETHERTYPES | BRIDGED | {Layer.ERSPAN_2: (ERSPAN_TYPE,), Layer.ERSPAN_3: (0x22EB,)},
)
GENEVE_TYPES = _table(65_536, Layer.NOT_IP, _ETHERTYPES | BRIDGED)
PPP_TYPES = _table(
    65_536,
    Layer.NOT_IP,
    {Layer.IPV4: (0x0021,), Layer.IPV6: (0x0057,), Layer.MPLS: (0x0281, 0x0283)},
)
_PROTOCOLS: dict[Layer, Iterable[int]] = {
    Layer.UDP_HEADER: (17,),
    Layer.TCP_HEADER: (6,),
    Layer.GRE: (47,),
    Layer.IPV4: (4,),
    Layer.IPV6: (41,),
    Layer.ENCRYPTED: (50,),
    Layer.AUTHENTICATION: (51,),
    Layer.MPLS: (137,),
}
PROTOCOLS = _table(256, Layer.PROTOCOL, _PROTOCOLS)
# RFC 8200 section 4.1, RFC 6275 section 6.1, RFC 7401 section 5.1, RFC 5533 section 5.1.
NEXT_HEADERS = _table(
    256,
    Layer.PROTOCOL,
    _PROTOCOLS | {Layer.EXTENSION: (0, 43, 60, 135, 139, 140), Layer.FRAGMENT_HEADER: (44,)},
)
# RFC 7348 section 5, and what Linux took before it; RFC 8926 section 3.3; TZSP; 3GPP TS 29.281 section 4.4.2.
TUNNEL_PORTS = _table(
    65_536,
    Layer.UDP,
    {Layer.VXLAN: (4789, 8472), Layer.GENEVE: (6081,), Layer.TZSP: (37008,), Layer.GTP: (2152,)},
)
FAMILIES = (2, 10, 24, 28, 30)  # AF_INET, and AF_INET6 on the systems that write such frames
MORE_OR_OFFSET = 0x3FFF  # RFC 791 section 3.1


class Rows:
    """The frames on their way: one element a frame in every column."""

    def __init__(self, octets: Octets, at: Ints, end: Ints, layer: Codes, cut: Bools) -> None:
        self.octets = octets
        self.at = at  # where the layer begins
        self.end = end  # where what was captured, or the layer around, ends
        self.layer = layer
        self.cut = cut  # by the capture: of the frame there was more
        self.wanting = np.zeros(len(at), np.bool_)  # of those, the ones whose packet is not all there
        self.packet = at.copy()  # where the innermost IP header begins
        self.payload = at.copy()  # where the payload begins, once the way is at its end

    def byte(self, at: Ints) -> Ints:
        return self.octets[at].astype(np.int64)

    def word(self, at: Ints) -> Ints:
        return self.byte(at) << 8 | self.octets[at + 1]

    def little_word(self, at: Ints) -> Ints:
        """A word whose lower octet comes first."""
        return self.byte(at + 1) << 8 | self.octets[at]

    def holding(self, pick: Ints, size: int | Ints) -> Ints:
        """Those of the picked rows that have so many octets left; the others are refused."""
        return self.keeping(pick, self.at[pick] + size <= self.end[pick], Layer.SHORT)

    def reaching(self, pick: Ints, end: Ints) -> Bools:
        """Which of the picked rows have a packet that ends there, which is their end then; or the beginning of one that the
        capture cut. The others are refused."""
        beyond = end > self.end[pick]
        self.wanting[pick[beyond]] = True
        good = ~beyond | self.cut[pick]
        self.end[pick] = np.minimum(self.end[pick], end)
        self.keeping(pick, good, Layer.SHORT)
        return good

    def keeping(self, pick: Ints, good: Bools, otherwise: Layer) -> Ints:
        if good.all():
            return pick
        self.layer[pick[~good]] = otherwise
        return pick[good]

    def move(self, pick: Ints, layer: Codes | Layer, at: Ints) -> None:
        self.layer[pick] = layer
        self.at[pick] = at


Steps = dict[Layer, Callable[[Rows, Ints], None]]
