"""The speech files as payload."""

from __future__ import annotations

from importlib.resources import as_file, files

import av
import numpy as np
import numpy.typing as npt

from gateway.codecs.registry import by_name

DIALOGUES = ("inbound", "outbound", "rough")
RATE = 8000

Samples = npt.NDArray[np.int16]


def load(dialogue: str, role: str, codec: str) -> bytes:
    """One party (external or agent) of a dialogue as G.711 payload of codec PCMA or PCMU."""
    return encode(samples(dialogue, role), codec)


def samples(dialogue: str, role: str) -> Samples:
    """One party of a dialogue at telephone rate."""
    with as_file(files("gateway.demo") / f"{dialogue}.{role}.flac") as path, av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def encode(samples: Samples, codec: str) -> bytes:
    """G.711 payload of codec PCMA or PCMU: of each sample the nearest level."""
    table = by_name(codec, RATE).decoder().decode(bytes(range(256)))
    order = np.argsort(table, kind="stable")
    levels = table[order].astype(np.int32)
    borders = (levels[1:] + levels[:-1]) // 2
    return bytes(order[np.searchsorted(borders, samples)].astype(np.uint8))
