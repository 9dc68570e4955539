"""Sound that can be told from other sound, as G.711, and whether it is in what was heard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _table() -> NDArray[np.float64]:
    """ITU-T G.711 A-law, by the definition."""
    table = np.zeros(256)
    for code in range(256):
        value = code ^ 0x55
        segment, step = (value >> 4) & 7, value & 15
        size = (step << 4) + 8 if segment == 0 else ((step << 4) + 0x108) << (segment - 1)
        table[code] = size if value & 128 else -size
    return table


_ALAW = _table()


def decode(octets: bytes) -> NDArray[np.float64]:
    return _ALAW[np.frombuffer(octets, np.uint8)]


def encode(samples: NDArray[np.float64]) -> bytes:
    """By the nearest value of the table."""
    order = np.argsort(_ALAW)
    sorted_values = _ALAW[order]
    places = np.clip(np.searchsorted(sorted_values, samples), 1, 255)
    nearer = samples - sorted_values[places - 1] < sorted_values[places] - samples
    return order[np.where(nearer, places - 1, places)].astype(np.uint8).tobytes()


def noise(seed: int, seconds: float, level: float = 4000.0) -> bytes:
    """Sound that resembles no other: what is found in it was put there."""
    samples = np.random.default_rng(seed).normal(0, level, int(seconds * 8000))
    smooth = np.convolve(samples, np.ones(4) / 4, "same")
    return encode(smooth)


def similarity(heard: NDArray[np.float64], wanted: NDArray[np.float64]) -> tuple[float, int]:
    """The best normalised cross-correlation of the whole of `wanted` within `heard`, and where it begins."""
    if len(heard) < len(wanted):
        return 0.0, 0
    size = 1 << (len(heard) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    dots = product[: len(heard) - len(wanted) + 1]
    powers = (heard**2).cumsum()
    windows = powers[len(wanted) - 1 :] - np.concatenate([[0.0], powers[: len(heard) - len(wanted)]])
    scores = dots / np.sqrt(np.maximum(windows, 1.0) * (wanted**2).sum())
    place = int(np.argmax(scores))
    return float(scores[place]), place
