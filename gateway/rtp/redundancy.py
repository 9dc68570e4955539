"""Redundant payloads (RFC 2198): packets that bring earlier payloads again before their own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from gateway.rtp.packets import Bools, Ints, Octets, RtpColumns

# Earlier payloads that are read of a packet; a packet with more is refused. RFC 4733 section 2.6 has events sent five times.
MAX_REPEATED = 8
MORE, TYPE = 0x80, 0x7F  # section 3: whether another header follows, and the payload type
HEADER, LAST_HEADER = 4, 1  # octets: of an earlier payload, and of the packet's own


class Redundancy:
    """Which payload types of which legs are redundant payloads."""

    def __init__(self, legs: int) -> None:
        self._types = np.zeros((legs, 128), np.bool_)
        self._any = False

    def clear(self, leg: int) -> None:
        self._types[leg] = False
        self._any = bool(self._types.any())

    def add(self, leg: int, payload_types: frozenset[int]) -> None:
        self._types[leg, list(payload_types)] = True
        self._any |= bool(payload_types)

    def unpack(
        self, packets: RtpColumns, slots: Octets, faults: Counter[str]
    ) -> tuple[RtpColumns, RtpColumns | None]:
        """The packets, each with its own payload, and what some of them bring again, as packets of the same sequence numbers
        with the time and type of then. Those that cannot be read are left out and counted."""
        if not self._any or not (redundant := self._types[packets.legs, packets.payload_type]).any():
            return packets, None
        return _unpacked(packets, redundant, slots, faults)


def _unpacked(
    packets: RtpColumns, redundant: Bools, slots: Octets, faults: Counter[str]
) -> tuple[RtpColumns, RtpColumns]:
    which = np.flatnonzero(redundant)
    some = packets.take(which)
    heads = _heads(some, slots)
    words = heads[:, :-LAST_HEADER].reshape(len(some), MAX_REPEATED, HEADER)
    more = np.column_stack((words[:, :, 0], heads[:, -1])) & MORE != 0
    counts = np.argmin(more, axis=1)
    earlier = np.arange(MAX_REPEATED) < counts[:, None]
    sizes = np.where(earlier, (words[:, :, 2] & 3) << 8 | words[:, :, 3], 0)
    data = some.offset + HEADER * counts + LAST_HEADER
    own = data + sizes.sum(axis=1)
    left = some.offset + some.size - own
    good = ~more.all(axis=1) & (left >= 0)
    faults["length"] += int(np.count_nonzero(~good))
    begins = data[:, None] + sizes.cumsum(axis=1) - sizes
    owners, places = np.nonzero(earlier & good[:, None])
    back = words[owners, places, 1] << 6 | words[owners, places, 2] >> 2
    repeated = replace(
        some.take(owners),
        timestamp=(some.timestamp[owners] - back) & 0xFFFF_FFFF,
        payload_type=words[owners, places, 0] & TYPE,
        offset=begins[owners, places],
        size=sizes[owners, places],
    )
    types, offset, size = packets.payload_type.copy(), packets.offset.copy(), packets.size.copy()
    types[which] = heads[np.arange(len(some)), HEADER * counts] & TYPE
    offset[which], size[which] = own, left
    keep = ~redundant
    keep[which] = good
    return replace(packets, payload_type=types, offset=offset, size=size).take(keep), repeated


def _heads(packets: RtpColumns, slots: Octets) -> Ints:
    """The octets in which all headers lie, zeros beyond each payload's end."""
    at = packets.offset[:, None] + np.arange(HEADER * MAX_REPEATED + LAST_HEADER)
    within = at < (packets.offset + packets.size)[:, None]
    return np.where(within, slots[packets.rows[:, None], np.minimum(at, slots.shape[1] - 1)], 0).astype(
        np.int64
    )
