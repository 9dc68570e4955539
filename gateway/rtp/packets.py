"""A batch of datagrams seen as RTP columns (RFC 3550 section 5.1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Octets = npt.NDArray[np.uint8]

# RFC 3550 section 5.1: the fixed header, big-endian, twelve octets.
HEADER = np.dtype(
    [("vpxcc", "u1"), ("mpt", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")]
)
VERSION, PADDING, EXTENSION, CSRC_COUNT = 0xC0, 0x20, 0x10, 0x0F
# RFC 5761 section 4: second octets that mean RTCP on a shared port.
RTCP_FIRST, RTCP_LAST = 192, 223
REFUSED = -1  # size of a datagram that was refused, and counted, before it came here


@dataclass(frozen=True, slots=True)
class PacketBatch:
    """One row a datagram; rows of one leg stand together, in the order they came."""

    slots: Octets  # (rows, slot size): the datagrams, each from octet 0 of its slot
    sizes: Ints  # octets received
    legs: Ints  # number of the leg whose socket it came to
    arrivals: Ints  # ns, monotonic

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True, slots=True)
class RtpColumns:
    """The rows of a batch that are RTP, one element a packet in every column."""

    rows: Ints  # row in the batch
    legs: Ints
    arrivals: Ints  # ns
    sequence: Ints
    timestamp: Ints
    ssrc: Ints
    payload_type: Ints
    offset: Ints  # of the payload in its slot, octets
    size: Ints  # of the payload, octets

    def take(self, which: Bools | Ints) -> RtpColumns:
        """The packets a mask or an index picks, in its order."""
        return RtpColumns(*(getattr(self, name)[which] for name in self.__slots__))

    def where(self, mask: Bools) -> RtpColumns:
        """The packets a mask picks; nearly always these are all."""
        return self if mask.all() else self.take(mask)

    def __len__(self) -> int:
        return len(self.rows)


def parse(batch: PacketBatch) -> tuple[RtpColumns, Counter[str]]:
    """The RTP in a batch, and how many datagrams were something else, by kind."""
    header: npt.NDArray[Any] = batch.slots[:, : HEADER.itemsize].view(HEADER)[:, 0]
    flags = header["vpxcc"]
    sized = batch.sizes >= HEADER.itemsize
    versioned = sized & (flags & VERSION == 0x80)
    rtcp = versioned & (header["mpt"] >= RTCP_FIRST) & (header["mpt"] <= RTCP_LAST)
    offset = np.full(len(batch), HEADER.itemsize)
    end = batch.sizes.copy()
    if (flags & (CSRC_COUNT | EXTENSION | PADDING)).any():
        offset += 4 * (flags & CSRC_COUNT).astype(np.int64)
        _pass_extension(batch, versioned & (flags & EXTENSION != 0), offset)
        _drop_padding(batch, versioned & (flags & PADDING != 0), end)
    fits = offset <= end
    good = versioned & ~rtcp & fits
    faults = Counter(
        short=int(np.count_nonzero(~sized & (batch.sizes != REFUSED))),
        version=int(np.count_nonzero(sized & ~versioned)),
        rtcp=int(np.count_nonzero(rtcp)),
        length=int(np.count_nonzero(versioned & ~rtcp & ~fits)),
    )
    columns = RtpColumns(
        rows=np.arange(len(batch)),
        legs=batch.legs,
        arrivals=batch.arrivals,
        sequence=header["sequence"].astype(np.int64),
        timestamp=header["timestamp"].astype(np.int64),
        ssrc=header["ssrc"].astype(np.int64),
        payload_type=(header["mpt"] & 0x7F).astype(np.int64),
        offset=offset,
        size=end - offset,
    )
    return columns.where(good), +faults


def _pass_extension(batch: PacketBatch, which: Bools, offset: Ints) -> None:
    """Move payload offsets past header extensions (section 5.3.1); one cut short ends beyond its slot."""
    rows = np.flatnonzero(which)
    start = offset[rows]
    whole = start + 4 <= batch.sizes[rows]
    at = np.where(whole, start, 0)
    words = batch.slots[rows, at + 2].astype(np.int64) << 8 | batch.slots[rows, at + 3]
    offset[rows] = np.where(whole, start + 4 + 4 * words, batch.slots.shape[1] + 1)


def _drop_padding(batch: PacketBatch, which: Bools, end: Ints) -> None:
    """Move payload ends before padding, whose last octet counts it, itself included."""
    rows = np.flatnonzero(which)
    count = batch.slots[rows, end[rows] - 1].astype(np.int64)
    end[rows] = np.where(count > 0, end[rows] - count, -1)


def by_value(column: Octets | Ints) -> Iterator[tuple[int, slice | Bools]]:
    """Each value of a column, and which elements have it; nearly always there is one."""
    if not len(column):
        return
    if (column == column[0]).all():
        yield int(column[0]), slice(None)
    else:
        yield from ((value, column == value) for value in np.unique(column).tolist())


def first_of_each(column: Ints) -> Ints:
    """Where each run of one value begins."""
    first = np.ones(len(column), np.bool_)
    first[1:] = column[1:] != column[:-1]
    return np.flatnonzero(first)
