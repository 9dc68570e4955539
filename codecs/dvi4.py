"""DVI4 (RFC 3551 section 4.5.1): the ADPCM of the Interactive Multimedia Association, each packet with the state it begins in."""

from __future__ import annotations

import struct

import numpy as np

from gateway.codecs.codec import RTP, Codec, Decoder, Ints, Octets, Samples

RATES = (8000, 11_025, 16_000, 22_050)
HEADER = struct.Struct(">hBx")  # what the first sample is predicted to be; index of the step


def _steps() -> tuple[int, ...]:
    """The IMA's table, from 7 to 32767, each about a tenth above the one before it."""
    return (
        7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80, 88, 97, 107, 118,
        130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598, 658, 724, 796, 876, 963, 1060,
        1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327, 3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132,
        7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289, 16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
    )  # fmt: skip


STEPS = _steps()
MOVES = (-1, -1, -1, -1, 2, 4, 6, 8)  # of the index, by the three bits of a code that tell how far


def _difference(step: int, code: int) -> int:
    far = (step >> 3) + sum(step >> at for at in range(3) if code & 4 >> at)
    return -far if code & 8 else far


# What a code adds to the sample before it, and which index follows, by index and code.
_DIFFERENCES = [[_difference(step, code) for code in range(16)] for step in STEPS]
_NEXT = [
    [min(max(at + MOVES[code & 7], 0), len(STEPS) - 1) for code in range(16)] for at in range(len(STEPS))
]


class Dvi4Decoder:
    """Each payload by itself: a loss harms none but what is lost."""

    def decode(self, payload: bytes) -> Samples:
        if len(payload) <= HEADER.size:
            return np.zeros(0, np.int16)
        value, index = HEADER.unpack_from(payload)
        index = min(index, len(STEPS) - 1)
        samples = []
        for octet in payload[HEADER.size :]:
            for code in (octet >> 4, octet & 15):
                value = min(max(value + _DIFFERENCES[index][code], -32_768), 32_767)
                index = _NEXT[index][code]
                samples.append(value)
        return np.array(samples, np.int16)

    def conceal(self, count: int) -> Samples:
        return np.zeros(0, np.int16)


def durations(sizes: Ints, heads: Octets) -> Ints:
    return np.maximum(sizes - HEADER.size, 0) * 2


def codec(rate: int) -> Codec:
    def decoder() -> Decoder:
        return Dvi4Decoder()

    return Codec(
        name="DVI4",
        clock_rate=rate,
        matroska_id=RTP,
        private=f"DVI4/{rate}/1".encode(),
        durations=durations,
        decoder=decoder,
        sample_rate=rate,
        linked=True,  # the header tells the last sample of the packet before
    )


CODECS = tuple(map(codec, RATES))
