"""Opus (RFC 6716) in RTP (RFC 7587): one packet a payload, of any frames and of either channel count."""

from __future__ import annotations

import struct

import numpy as np

from gateway.codecs.codec import OPUS, Codec, Ints, Octets, Samples

RATE = 48_000
LONGEST = RATE * 120 // 1000  # RFC 6716 section 3.4: a packet lasts at most 120 ms
HEADS = 2
# RFC 7845 section 5.1: version, channels, pre-skip, rate of the input, gain, mapping family. Nothing is skipped:
# the track begins within a stream.
HEADER = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, 0, RATE, 0, 0)


def _frame_ticks() -> Ints:
    """RFC 6716 table 2: how long one frame of each configuration lasts, at 48 kHz."""
    silk, hybrid, celt = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)
    return np.array(silk * 3 + hybrid * 2 + celt * 4)


FRAME_TICKS = _frame_ticks()
_COUNTS = np.array(
    (1, 2, 2, 0)
)  # RFC 6716 section 3.1, by the code in the lowest bits; 0: the next octet tells


def durations(sizes: Ints, heads: Octets) -> Ints:
    first, second = heads[:, 0], heads[:, 1] & 0x3F
    frames = np.where((first & 3 == 3) & (sizes > 1), second, _COUNTS[first & 3])
    ticks = frames * FRAME_TICKS[first >> 3]
    possible: Ints = np.where((sizes > 0) & (ticks <= LONGEST), ticks, 0)
    return possible


class OpusDecoder:
    """libopus; a loss is concealed by libopus too."""

    def __init__(self) -> None:
        from gateway.codecs.lavc import Lavc

        self._lavc = Lavc("libopus", RATE, channels=2, header=HEADER)
        self._configuration = b""

    def decode(self, payload: bytes) -> Samples:
        samples = self._lavc.decode(payload)
        if samples.size:
            self._configuration = bytes((payload[0] & 0xFC,))
            return samples
        head = np.frombuffer(payload[:HEADS].ljust(HEADS, b"\0"), np.uint8)
        return np.zeros(int(durations(np.array([len(payload)]), head[None])[0]), np.int16)

    def conceal(self, count: int) -> Samples:
        """RFC 6716 section 4.4. A packet with an empty frame is a frame that was lost."""
        if not self._configuration:
            return np.zeros(0, np.int16)
        frames = count // int(FRAME_TICKS[self._configuration[0] >> 3])
        lost = [self._lavc.decode(self._configuration) for _ in range(frames)]
        return np.concatenate([np.zeros(0, np.int16), *lost])


# RFC 7587 section 7: the clock is that of 48 kHz and the channels are two, whatever a packet holds.
# RFC 6716 section 4.2.5: a packet may hold a copy of the one before it, at a lower rate.
CODECS = (
    Codec("OPUS", RATE, OPUS, HEADER, durations, OpusDecoder, RATE, channels=2, linked=True, heads=HEADS),
)
