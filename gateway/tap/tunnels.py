"""Steps of tunnels: GRE and ERSPAN, MPLS, and those in UDP. What lies on the port of one and is none, is a datagram."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateway.rtp.packets import Bools, Ints
from gateway.tap.layers import (
    ERSPAN_TYPE,
    ETHERTYPES,
    GENEVE_TYPES,
    GRE_TYPES,
    Codes,
    Layer,
    Rows,
    Steps,
)

GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE, GRE_VERSION = 0x8000, 0x4000, 0x2000, 0x1000, 0x0007
LAST_LABEL = 0x01  # RFC 3032 section 2.1, in the third octet of a label
GENEVE_FIXED = 0xC03F  # RFC 8926 section 3.4: version 0, reserved bits 0
TZSP_PADDING, TZSP_END = 0, 1
# 3GPP TS 29.281 section 5.1: version 1 of GTP, not GTP'; a packet of a user; an extension, a sequence number, a number of N-PDU
GTP_FIXED, GTP_VERSION, GTP_PACKET, GTP_OPTIONAL, GTP_EXTENDED = 0xF8, 0x30, 0xFF, 0x07, 0x04


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


def _mpls(rows: Rows, pick: Ints) -> None:
    """RFC 3032 section 2.1, label by label."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    last = rows.byte(at + 2) & LAST_LABEL != 0
    rows.move(pick, np.where(last, np.int8(Layer.LABELLED), np.int8(Layer.MPLS)), at + 4)


def _labelled(rows: Rows, pick: Ints) -> None:
    """No field tells what stands behind labels. IP is known by its version and length (RFC 4928 section 3); Ethernet by a type
    that is known, behind a control word that begins with four zeros (RFC 4448 section 4.6) or behind none."""
    pick = rows.holding(pick, 20)
    at = rows.at[pick]
    room = rows.end[pick] - at
    first = rows.byte(at)
    old = (first >> 4 == 4) & (first & 0x0F >= 5) & (rows.word(at + 2) >= 20) & (rows.word(at + 2) <= room)
    new = (first >> 4 == 6) & (rows.word(at + 4) + 40 <= room)
    word = 4 * ((first >> 4 == 0) & _is_ethernet(rows, at + 4))
    wire = (word > 0) | _is_ethernet(rows, at)
    layer = np.select([old, new, wire], [Layer.IPV4, Layer.IPV6, Layer.ETHERNET], Layer.TUNNEL)
    rows.move(pick, layer.astype(np.int8), at + word)


def _is_ethernet(rows: Rows, at: Ints) -> Bools:
    kind = ETHERTYPES[rows.word(at + 12)]
    found: Bools = (kind != Layer.NOT_IP) & (kind != Layer.LLC)
    return found


def _vxlan(rows: Rows, pick: Ints) -> None:
    """RFC 7348 section 5: the I bit, and a reserved octet; beside it the G bit of a group policy may be set."""
    at = rows.at[pick]
    sure = (rows.byte(at) & 0x7F == 0x08) & (rows.byte(at + 7) == 0)
    _go_on(rows, pick, sure, Layer.ETHERNET, at + 8)


def _geneve(rows: Rows, pick: Ints) -> None:
    """RFC 8926 section 3.4; options are passed over."""
    at = rows.at[pick]
    first, inner = rows.word(at), GENEVE_TYPES[rows.word(at + 2)]
    behind = at + 8 + (first >> 8 & 0x3F) * 4
    sure = (first & GENEVE_FIXED == 0) & (rows.byte(at + 7) == 0) & (inner != Layer.NOT_IP)
    _go_on(rows, pick, sure & (behind <= rows.end[pick]), inner, behind)


def _tzsp(rows: Rows, pick: Ints) -> None:
    """Version 1, a received packet (0) or one to send (1), of Ethernet (1) or IEEE 802.11 (18); then tagged fields."""
    at = rows.at[pick]
    kind, carried = rows.word(at), rows.word(at + 2)
    inner = np.where(carried == 1, np.int8(Layer.TZSP_ETHERNET), np.int8(Layer.TZSP_WLAN))
    sure = np.isin(kind, (0x0100, 0x0101)) & np.isin(carried, (1, 18))
    _go_on(rows, pick, sure, inner, at + 4)


def _tzsp_field(of: Layer, inner: Layer) -> Callable[[Rows, Ints], None]:
    def step(rows: Rows, pick: Ints) -> None:
        pick = rows.holding(pick, 2)
        at = rows.at[pick]
        tag = rows.byte(at)
        size = np.where((tag == TZSP_PADDING) | (tag == TZSP_END), 1, 2 + rows.byte(at + 1))
        rows.move(pick, np.where(tag == TZSP_END, np.int8(inner), np.int8(of)), at + size)

    return step


def _gtp(rows: Rows, pick: Ints) -> None:
    at = rows.at[pick]
    flags = rows.byte(at)
    sure = (flags & GTP_FIXED == GTP_VERSION) & (rows.byte(at + 1) == GTP_PACKET)
    sure &= at + 8 + rows.word(at + 2) <= rows.end[pick]
    extended = (flags & GTP_EXTENDED != 0) & (rows.byte(at + 11) != 0)
    inner = np.where(extended, np.int8(Layer.GTP_EXTENSION), np.int8(Layer.RAW))
    _go_on(rows, pick, sure, inner, at + 8 + 4 * (flags & GTP_OPTIONAL != 0))


def _gtp_extension(rows: Rows, pick: Ints) -> None:
    """3GPP TS 29.281 section 5.2: the first octet counts words, the last names what follows."""
    pick = rows.holding(pick, 4)
    at = rows.at[pick]
    size = 4 * rows.byte(at)
    good = (size > 0) & (at + size <= rows.end[pick])
    pick, behind = rows.keeping(pick, good, Layer.TUNNEL), (at + size)[good]
    further = rows.byte(behind - 1) != 0
    rows.move(pick, np.where(further, np.int8(Layer.GTP_EXTENSION), np.int8(Layer.RAW)), behind)


def _go_on(rows: Rows, pick: Ints, sure: Bools, inner: Codes | Layer, at: Ints) -> None:
    """Into the tunnels that are surely such; what is none is a datagram."""
    rows.move(pick, np.where(sure, inner, Layer.UDP).astype(np.int8), np.where(sure, at, rows.at[pick] - 8))


STEPS: Steps = {
    Layer.GRE: _gre,
    Layer.ERSPAN_2: _erspan_2,
    Layer.ERSPAN_3: _erspan_3,
    Layer.MPLS: _mpls,
    Layer.LABELLED: _labelled,
    Layer.VXLAN: _vxlan,
    Layer.GENEVE: _geneve,
    Layer.TZSP: _tzsp,
    Layer.TZSP_ETHERNET: _tzsp_field(Layer.TZSP_ETHERNET, Layer.ETHERNET),
    Layer.TZSP_WLAN: _tzsp_field(Layer.TZSP_WLAN, Layer.WLAN),
    Layer.GTP: _gtp,
    Layer.GTP_EXTENSION: _gtp_extension,
}
