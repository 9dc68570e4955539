"""From frames to datagrams: all layers taken off, over a whole batch at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.rtp.packets import Bools, Ints, Octets
from gateway.tap import links, network, tunnels
from gateway.tap.frames import Datagrams, FrameBatch
from gateway.tap.layers import (
    LINK_TYPE_ETHERNET,
    LINK_TYPES,
    MORE_OR_OFFSET,
    REFUSED,
    TUNNEL_PORTS,
    Layer,
    Rows,
)

STEPS = links.STEPS | network.STEPS | tunnels.STEPS
MAX_LAYERS = 24  # two tags, a tunnel and all that is in it need a dozen; a frame of nothing but tags must end
UDP, TCP = 17, 6

# What nearly every frame is: Ethernet, IPv4 without options (RFC 791 section 3.1), UDP (RFC 768).
PLAIN = np.dtype(
    [
        ("addresses", "V12"),
        ("ethertype", ">u2"),
        ("version", "u1"),
        ("service", "u1"),
        ("total", ">u2"),
        ("identification", ">u2"),
        ("fragment", ">u2"),
        ("hops", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("source", "u1", 4),
        ("destination", "u1", 4),
        ("source_port", ">u2"),
        ("destination_port", ">u2"),
        ("length", ">u2"),
        ("udp_checksum", ">u2"),
    ]
)
_IP, _UDP = 14, 34  # where in it the headers begin


@dataclass(frozen=True, slots=True)
class Fragments:
    """The rows whose IP packet came in pieces, one element a piece in every column."""

    octets: Octets
    packets: Ints  # where the IP header begins
    at: Ints  # of IPv4, where the payload begins; of IPv6, the fragment header
    ends: Ints
    arrivals: Ints  # ns
    numbers: Ints  # of the frame

    def __len__(self) -> int:
        return len(self.packets)


def decapsulate(frames: FrameBatch) -> tuple[Datagrams, Fragments, Counter[str]]:
    """The datagrams in the frames, in their order; pieces of others; how many were refused, by kind.

    The kinds are the names of the refusing layers in lower case, and `cut`: frames that the capture cut. Of these a datagram of
    text is given all the same, as much of it as there is.
    """
    header, plain = _plain(frames)
    if plain.all():
        none = np.zeros(0, np.int64)
        empty = Fragments(frames.octets, none, none, none, none, none)
        return _from_plain(frames, np.arange(len(frames)), header), empty, Counter()
    rest = np.flatnonzero(~plain)
    rows = _stepped(frames, rest)
    datagrams = _from_rows(frames, rest, rows)
    if plain.any():
        some = _from_plain(frames, np.flatnonzero(plain), header[plain])
        datagrams = some.and_also(datagrams)
    return datagrams, _fragments(frames, rest, rows), _refused(frames, rest, rows)


def _plain(frames: FrameBatch) -> tuple[npt.NDArray[Any], Bools]:
    """The headers of all rows, read as those of plain frames, and of which rows that is right."""
    size = PLAIN.itemsize
    room = frames.octets.size - size
    if room < 0:
        return np.zeros(len(frames), PLAIN), np.zeros(len(frames), np.bool_)
    windows = np.ndarray((room + 1,), PLAIN, frames.octets, strides=(1,))
    header = windows[np.minimum(frames.offsets, room)]
    total = header["total"].astype(np.int64)
    length = header["length"].astype(np.int64)
    port = header["destination_port"].astype(np.int64)
    plain = (
        (frames.link_types == LINK_TYPE_ETHERNET)
        & (frames.offsets <= room)
        & (header["ethertype"] == 0x0800)
        & (header["version"] == 0x45)
        & (header["protocol"] == UDP)
        & (header["fragment"] & MORE_OR_OFFSET == 0)
        & (total + _IP <= frames.sizes)
        & (length + 20 <= total)
        & (length >= 8)
        & (TUNNEL_PORTS[port] == Layer.UDP)
    )
    return header, plain


def _from_plain(frames: FrameBatch, rows: Ints, header: npt.NDArray[Any]) -> Datagrams:
    whole = len(rows) == len(frames)
    offsets, arrivals, numbers = (
        column if whole else column[rows] for column in (frames.offsets, frames.arrivals, frames.numbers)
    )
    return Datagrams(
        rows=rows,
        octets=frames.octets,
        offsets=offsets + PLAIN.itemsize,
        sizes=header["length"].astype(np.int64) - 8,
        protocols=np.full(len(rows), UDP),
        sources=_mapped(header["source"]),
        destinations=_mapped(header["destination"]),
        source_ports=header["source_port"].astype(np.int64),
        destination_ports=header["destination_port"].astype(np.int64),
        arrivals=arrivals,
        numbers=numbers,
        headers=offsets + _UDP,
    )


def _mapped(addresses: Octets) -> Octets:
    """IPv4 addresses as IPv6 addresses (RFC 4291 section 2.5.5.2)."""
    mapped = np.zeros((len(addresses), 16), np.uint8)
    mapped[:, 10:12] = 0xFF
    mapped[:, 12:] = addresses
    return mapped


def _stepped(frames: FrameBatch, which: Ints) -> Rows:
    """All layers of these frames taken off."""
    at = frames.offsets[which]
    known = np.where(
        (frames.link_types >= 0) & (frames.link_types < len(LINK_TYPES)), frames.link_types, 0xFFFF
    )
    cut = frames.sizes[which] < frames.lengths[which]
    rows = Rows(frames.octets, at, at + frames.sizes[which], LINK_TYPES[known[which]], cut)
    for _ in range(MAX_LAYERS):
        present = np.flatnonzero(np.bincount(rows.layer, minlength=Layer.UDP)[: Layer.UDP])
        if not len(present):
            break
        for layer in present.tolist():
            STEPS[Layer(layer)](rows, np.flatnonzero(rows.layer == layer))
    rows.layer[rows.layer < Layer.UDP] = Layer.DEPTH
    if rows.wanting.any():
        rows.layer[rows.wanting & (rows.layer < REFUSED) & ~_text(rows)] = Layer.SHORT
    return rows


def _text(rows: Rows) -> Bools:
    """Datagrams that begin with a letter: of text the beginning is worth something, of audio it is not."""
    letter = rows.octets[np.minimum(rows.payload, rows.octets.size - 1)] | 0x20
    inside = (rows.layer == Layer.UDP) & (rows.payload < rows.end)
    found: Bools = inside & (letter >= ord("a")) & (letter <= ord("z"))
    return found


def _from_rows(frames: FrameBatch, which: Ints, rows: Rows) -> Datagrams:
    done = np.flatnonzero((rows.layer == Layer.UDP) | (rows.layer == Layer.TCP))
    header, packet, payload, of = rows.at[done], rows.packet[done], rows.payload[done], which[done]
    sources, destinations = _addresses(rows, packet)
    return Datagrams(
        rows=of,
        octets=frames.octets,
        offsets=payload,
        sizes=rows.end[done] - payload,
        protocols=np.where(rows.layer[done] == Layer.UDP, UDP, TCP),
        sources=sources,
        destinations=destinations,
        source_ports=rows.word(header),
        destination_ports=rows.word(header + 2),
        arrivals=frames.arrivals[of],
        numbers=frames.numbers[of],
        headers=header,
    )


def _addresses(rows: Rows, packet: Ints) -> tuple[Octets, Octets]:
    sources = np.zeros((len(packet), 16), np.uint8)
    destinations = sources.copy()
    old = rows.octets[packet] >> 4 == 4
    for columns, in_4, in_6 in ((sources, 12, 8), (destinations, 16, 24)):
        columns[old] = _mapped(rows.octets[packet[old][:, None] + np.arange(in_4, in_4 + 4)])
        columns[~old] = rows.octets[packet[~old][:, None] + np.arange(in_6, in_6 + 16)]
    return sources, destinations


def _fragments(frames: FrameBatch, which: Ints, rows: Rows) -> Fragments:
    pieces = np.flatnonzero(rows.layer == Layer.FRAGMENT)
    of = which[pieces]
    return Fragments(
        octets=frames.octets,
        packets=rows.packet[pieces],
        at=rows.at[pieces],
        ends=rows.end[pieces],
        arrivals=frames.arrivals[of],
        numbers=frames.numbers[of],
    )


def _refused(frames: FrameBatch, which: Ints, rows: Rows) -> Counter[str]:
    refused = rows.layer >= REFUSED
    cut = rows.wanting & ~refused | rows.cut & (rows.layer == Layer.SHORT)
    if not (refused | cut).any():
        return Counter()
    kinds = np.bincount(rows.layer[refused & ~cut], minlength=max(Layer) + 1)
    counts = Counter({layer.name.lower(): int(kinds[layer]) for layer in Layer if layer >= REFUSED})
    counts["cut"] = int(np.count_nonzero(cut))
    return +counts
