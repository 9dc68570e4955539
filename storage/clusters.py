"""Clusters of many recordings at once: the same bytes as `container.cluster` makes of each, by array operations."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gateway.storage.container import (
    BLOCK_FIXED,
    BLOCK_HEAD,
    BLOCK_ID_SIZE,
    CLUSTER_HEAD,
    CLUSTER_SIZE,
    KEYFRAME,
    TIMESTAMP_BYTES,
    Id,
)

Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

# BLOCK_HEAD and CLUSTER_HEAD, as columns.
BLOCK = np.dtype([("id_size", ">u4"), ("track", "u1"), ("time", ">i2"), ("flags", "u1")])
CLUSTER = np.dtype([("id", ">u4"), ("size", ">u8"), ("inner", "u1"), ("length", "u1"), ("start", ">u8")])


class Clusters:
    """Clusters one after the other, all but the payloads, which `put` adds; iterating gives each one's bytes.

    `firsts` are the numbers of the blocks that begin a cluster, the others columns over the blocks, in order of time
    within a cluster. There is at least one, and those of one cluster span at most container.MAX_CLUSTER_UNITS.
    """

    def __init__(self, firsts: Ints, tracks: Ints, times: Ints, sizes: Ints) -> None:
        lengths = sizes + BLOCK_HEAD.size
        ends = np.append(firsts[1:], len(times))
        bodies = np.add.reduceat(lengths, firsts) + TIMESTAMP_BYTES
        leads = np.zeros(len(times), np.int64)
        leads[firsts] = CLUSTER_HEAD.size
        behind = np.cumsum(lengths + leads)
        self.payloads = behind - sizes  # where each block's payload goes
        self._octets = np.empty(int(behind[-1]), np.uint8)
        self._starts = (self.payloads[firsts] - BLOCK_HEAD.size - CLUSTER_HEAD.size).tolist()
        head = np.empty(len(times), BLOCK)
        head["id_size"] = BLOCK_ID_SIZE | sizes + BLOCK_FIXED
        head["track"] = 0x80 | tracks
        head["time"] = times - np.repeat(times[firsts], ends - firsts)
        head["flags"] = KEYFRAME
        self.put(self.payloads - BLOCK_HEAD.size, _octets(head))
        lead = np.empty(len(firsts), CLUSTER)
        lead["id"], lead["inner"], lead["length"] = Id.CLUSTER, Id.TIMESTAMP, 0x88
        lead["size"] = CLUSTER_SIZE | bodies
        lead["start"] = times[firsts]
        self.put(np.array(self._starts), _octets(lead))

    def put(self, places: Ints, rows: Octets) -> None:
        """Octets, a row of the same length for each place."""
        width = rows.shape[1]
        count = len(self._octets) - width + 1
        windows = np.lib.stride_tricks.as_strided(self._octets, (count, width), (1, 1))
        windows[places] = rows

    def __iter__(self) -> Iterator[memoryview]:
        view = self._octets.data
        stops = [*self._starts[1:], len(self._octets)]
        return (view[start:stop] for start, stop in zip(self._starts, stops, strict=True))


def _octets(records: npt.NDArray[np.void]) -> Octets:
    return records.view(np.uint8).reshape(len(records), -1)
