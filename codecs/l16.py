"""L16 (RFC 3551 section 4.5.11): 16-bit samples as they are, big-endian, channels interleaved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import PCM, Codec, Samples

RATES = (8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


@dataclass(frozen=True, slots=True)
class Linear:
    channels: int

    def decode(self, payload: bytes) -> Samples:
        whole = len(payload) // (2 * self.channels) * self.channels
        samples = np.frombuffer(payload, ">i2", whole).reshape(-1, self.channels)
        if self.channels == 1:
            return samples[:, 0].astype(np.int16)
        mixed: Samples = np.rint(samples.mean(axis=1)).astype(np.int16)
        return mixed

    def conceal(self, count: int) -> Samples:
        return np.zeros(0, np.int16)


def codec(rate: int, channels: int) -> Codec:
    octets = 2 * channels
    return Codec(
        name="L16",
        clock_rate=rate,
        matroska_id=PCM,
        private=b"",
        durations=lambda sizes, heads: sizes // octets,
        decoder=lambda: Linear(channels),
        sample_rate=rate,
        channels=channels,
        bits=16,
        frames=((octets, 1),),
    )


CODECS = tuple(codec(rate, channels) for rate in RATES for channels in (1, 2))
