"""Steps of IP and what it carries: IPv4, IPv6 and its headers, UDP, TCP."""

from __future__ import annotations

import numpy as np

from gateway.rtp.packets import Ints
from gateway.tap.layers import (
    MORE_OR_OFFSET,
    NEXT_HEADERS,
    PROTOCOLS,
    TUNNEL_PORTS,
    Layer,
    Rows,
    Steps,
)

LEAST_IN_TUNNEL = 24  # octets of UDP; a tunnel's header and the shortest of what it carries are more


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
    there = rows.reaching(pick, at + total)
    pick, at, header = pick[there], at[there], header[there]
    rows.packet[pick] = at
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
    there = rows.reaching(pick, end)
    pick, at = pick[there], at[there]
    rows.packet[pick] = at
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


def _udp(rows: Rows, pick: Ints) -> None:
    """RFC 768; a length of zero is that of a datagram of IPv6 beyond 65,535 octets (RFC 2675 section 4)."""
    pick = rows.holding(pick, 8)
    at = rows.at[pick]
    length = rows.word(at + 4)
    length = np.where(length == 0, rows.end[pick] - at, length)
    good = (length >= 8) & ((at + length <= rows.end[pick]) | rows.wanting[pick])
    pick, at, length = rows.keeping(pick, good, Layer.BAD_UDP), at[good], length[good]
    rows.end[pick] = np.minimum(rows.end[pick], at + length)
    length = rows.end[pick] - at
    rows.payload[pick] = at + 8
    tunnel = TUNNEL_PORTS[rows.word(at + 2)]
    tunnel[length < LEAST_IN_TUNNEL] = Layer.UDP
    rows.move(pick, tunnel, np.where(tunnel == Layer.UDP, at, at + 8))


def _tcp(rows: Rows, pick: Ints) -> None:
    """RFC 9293 section 3.1."""
    pick = rows.holding(pick, 20)
    at = rows.at[pick]
    header = (rows.byte(at + 12) >> 4) * 4
    good = (header >= 20) & (at + header <= rows.end[pick])
    pick = rows.keeping(pick, good, Layer.BAD_TCP)
    rows.payload[pick] = (at + header)[good]
    rows.layer[pick] = Layer.TCP


STEPS: Steps = {
    Layer.IPV4: _ipv4,
    Layer.IPV6: _ipv6,
    Layer.EXTENSION: _extension,
    Layer.AUTHENTICATION: _authentication,
    Layer.FRAGMENT_HEADER: _fragment_header,
    Layer.UDP_HEADER: _udp,
    Layer.TCP_HEADER: _tcp,
}
