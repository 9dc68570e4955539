"""ITU-T G.711: A-law and mu-law, each a table of 256 codes to 16-bit samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.codecs.codec import ACM, Codec, wave_format

RATE = 8000

Table = npt.NDArray[np.int16]


def _fields(codes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], ...]:
    """Sign (+1 where the bit is set), segment and step of each code."""
    return np.where(codes & 0x80, 1, -1), codes >> 4 & 7, codes & 0x0F


def _a_law() -> Table:
    """Table 1 of G.711: even bits inverted; 13-bit values, scaled to 16 bits."""
    sign, segment, step = _fields(np.arange(256) ^ 0x55)
    magnitude = np.where(segment == 0, 2 * step + 1, (2 * step + 33) << np.maximum(segment - 1, 0))
    return (sign * magnitude * 8).astype(np.int16)


def _mu_law() -> Table:
    """Table 2 of G.711: every bit but the sign inverted; 14-bit values, scaled to 16 bits."""
    codes = np.arange(256)
    sign, segment, step = _fields(codes & 0x80 | ~codes & 0x7F)
    magnitude = ((2 * step + 33) << segment) - 33
    return (sign * magnitude * 4).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Law:
    """One companding law; a decoder without state."""

    table: Table

    def decode(self, payload: bytes) -> Table:
        """One 16-bit sample a byte, at 8 kHz."""
        return self.table[np.frombuffer(payload, np.uint8)]

    def conceal(self, count: int) -> Table:
        return self.table[:0]


A_LAW = Law(_a_law())
MU_LAW = Law(_mu_law())


def codec(name: str, tag: int, law: Law) -> Codec:
    return Codec(
        name=name,
        clock_rate=RATE,
        matroska_id=ACM,
        private=wave_format(tag, RATE, RATE, 1, 8),
        durations=lambda sizes, heads: sizes,
        decoder=lambda: law,
        bits=8,
        frames=((1, 1),),
    )


CODECS = (codec("PCMA", 0x0006, A_LAW), codec("PCMU", 0x0007, MU_LAW))
