"""Clusters of many recordings at once: the same bytes as `container.cluster` makes of each, by array operations."""

from __future__ import annotations

from collections.abc import Sequence

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

# BLOCK_HEAD and CLUSTER_HEAD, as columns.
BLOCK = np.dtype([("id_size", ">u4"), ("track", "u1"), ("time", ">i2"), ("flags", "u1")])
CLUSTER = np.dtype([("id", ">u4"), ("size", ">u8"), ("inner", "u1"), ("length", "u1"), ("start", ">u8")])


def clusters(starts: Ints, tracks: Ints, times: Ints, payloads: Sequence[bytes]) -> list[bytes]:
    """One Cluster from each of `starts`, the first block of each; blocks are in order of time within a cluster.

    There is at least one, and the blocks of each span at most container.MAX_CLUSTER_UNITS.
    """
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads)) + BLOCK_FIXED
    ends = np.append(starts[1:], len(payloads))
    zeros = times[starts]
    head = np.empty(len(payloads), BLOCK)
    head["id_size"] = BLOCK_ID_SIZE | sizes
    head["track"] = 0x80 | tracks
    head["time"] = times - np.repeat(zeros, ends - starts)
    head["flags"] = KEYFRAME
    lead = np.empty(len(starts), CLUSTER)
    lead["id"], lead["inner"], lead["length"] = Id.CLUSTER, Id.TIMESTAMP, 0x88
    lead["size"] = CLUSTER_SIZE | np.add.reduceat(sizes + BLOCK_FIXED, starts) + TIMESTAMP_BYTES
    lead["start"] = zeros
    pieces: list[bytes] = [b""] * (2 * len(payloads))
    pieces[0::2], pieces[1::2] = _rows(head.tobytes(), BLOCK_HEAD.size), payloads
    return [
        b"".join([first, *pieces[2 * start : 2 * end]])
        for first, start, end in zip(
            _rows(lead.tobytes(), CLUSTER_HEAD.size), starts.tolist(), ends.tolist(), strict=True
        )
    ]


def _rows(data: bytes, width: int) -> list[bytes]:
    return [data[at : at + width] for at in range(0, len(data), width)]
