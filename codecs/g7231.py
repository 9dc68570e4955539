"""G.723.1 in RTP (RFC 3551 section 4.5.3): frames of 30 ms, each of which tells its length in its first octet."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.codecs.codec import ACM, Codec, Ints, Octets, Samples, wave_format

RATE, SAMPLES = 8000, 240
# Octets of a frame by the two low bits of its first one: 6.3 and 5.3 kbit/s, silence (Annex A), not transmitted.
SIZES = np.array((24, 20, 4, 1))
MAX_FRAMES = 8  # of a payload: 240 ms
HEADS = MAX_FRAMES * int(SIZES.max()) + 1
TAG = 0x0042
# A frame at 5.3 kbit/s with a pitch that there is not (Recommendation G.723.1, 2.18): a decoder takes it for one that was damaged.
LOST = (1 | 127 << 26).to_bytes(20, "little")


def durations(sizes: Ints, heads: Octets) -> Ints:
    """Whole frames one after the other; more than MAX_FRAMES are none."""
    rows, width = np.arange(len(sizes)), heads.shape[1]
    at, frames = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    for _ in range(MAX_FRAMES + 1):
        there = (at < sizes) & (at < width)
        if not there.any():
            break
        at = at + np.where(there, SIZES[heads[rows, np.minimum(at, width - 1)] & 3], 0)
        frames += there & (at <= sizes)
    return np.where(frames > MAX_FRAMES, 0, frames * SAMPLES)


def frames(payload: bytes) -> Iterator[bytes]:
    """The frames of a payload, as far as they are whole."""
    at = 0
    while at < len(payload):
        size = int(SIZES[payload[at] & 3])
        if at + size > len(payload):
            return
        yield payload[at : at + size]
        at += size


class G7231Decoder:
    """libavcodec's, with its comfort noise and its concealment."""

    def __init__(self) -> None:
        from gateway.codecs.lavc import Lavc

        self._lavc = Lavc("g723_1", RATE)

    def decode(self, payload: bytes) -> Samples:
        found = list(frames(payload))
        return self._decoded(found if len(found) <= MAX_FRAMES else [])

    def conceal(self, count: int) -> Samples:
        return self._decoded([LOST] * (count // SAMPLES))

    def _decoded(self, found: list[bytes]) -> Samples:
        from gateway.codecs.lavc import fitted, joined

        return joined([fitted(self._lavc.decode(frame), SAMPLES) for frame in found])


CODECS = (
    Codec(
        name="G723",
        clock_rate=RATE,
        matroska_id=ACM,
        private=wave_format(TAG, RATE, 800, 24, 0),
        durations=durations,
        decoder=G7231Decoder,
        speech=True,
        heads=HEADS,
    ),
)
