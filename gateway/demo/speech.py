"""The speech files as payload."""

from __future__ import annotations

from importlib.resources import as_file, files

import av
import numpy as np

from gateway.codecs.registry import by_name

DIALOGUES = ("inbound", "outbound", "rough")


def load(dialogue: str, role: str, codec: str) -> bytes:
    """One party (external or agent) of a dialogue as G.711 payload of codec PCMA or PCMU."""
    with as_file(files("gateway.demo") / f"{dialogue}.{role}.flac") as path, av.open(path) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    table = by_name(codec, 8000).decoder().decode(bytes(range(256)))
    order = np.argsort(table, kind="stable")
    levels = table[order].astype(np.int32)
    borders = (levels[1:] + levels[:-1]) // 2
    return bytes(order[np.searchsorted(borders, np.concatenate(frames))].astype(np.uint8))
