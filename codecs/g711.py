"""ITU-T G.711: A-law and mu-law, each a table of 256 codes to 16-bit samples."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    silence: bytes

    def decode(self, payload: bytes) -> Table:
        """One 16-bit sample a byte, at 8 kHz."""
        return self.table[np.frombuffer(payload, np.uint8)]


A_LAW = Law(_a_law(), b"\xd5")
MU_LAW = Law(_mu_law(), b"\xff")


def wave_format(tag: int) -> bytes:
    """WAVEFORMATEX of one narrowband channel: tag, channels, rate, bytes a second, block, bits, extra size."""
    return struct.pack("<HHIIHHH", tag, 1, RATE, RATE, 1, 8, 0)
