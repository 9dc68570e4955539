"""Speex in RTP (RFC 5574): frames of 20 ms one after the other, bit by bit, up to the end of the payload or a terminator.

A frame is a narrowband one, then a layer for each doubling of the sample rate. What a sender leaves out of it is silence: a frame of mode 0
says that nothing was transmitted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gateway.codecs.codec import ACM, Codec, Decoder, Ints, Octets, Samples, wave_format

RATES = (8000, 16_000, 32_000)
TAG = 0xA109
MAX_FRAMES = 12  # of a payload: 240 ms
HEADS = 1504  # all of it: the place of a frame is told by those before it
_STEPS = 4 * MAX_FRAMES  # frames, their layers and messages to the receiver that are read of a payload
_HEAD = 5  # bits of a frame that tell its mode, and all bits of a terminator
_NEVER = 1 << 30
# The Speex codec manual: bits by mode, the head among them. Modes that are left out stand for messages, or for nothing.
FRAME_BITS = np.array((5, 43, 119, 160, 220, 300, 364, 492, 79, *(_NEVER,) * 7))
LAYER_BITS = np.array((4, 36, 112, 192, 352, *(_NEVER,) * 3))
_USER, _IN_BAND = 13, 14  # modes of messages, whose kind or size follows in four bits
# The same manual: bits that follow the kind of a message in the band.
IN_BAND_BITS = np.array((1, 1, *(4,) * 6, *(8,) * 2, *(16,) * 2, *(32,) * 2, *(64,) * 2))

_Bits = npt.NDArray[np.int64]


def frames(sizes: Ints, heads: Octets) -> Ints:
    """How many frames payloads hold, as far as they are whole; 0 where there are more than MAX_FRAMES."""
    limit = np.minimum(sizes, heads.shape[1]) * 8
    bits = np.pad(np.unpackbits(heads, axis=1), ((0, 0), (0, 16))).astype(np.int64)
    at, count = np.zeros(len(sizes), np.int64), np.zeros(len(sizes), np.int64)
    for _ in range(_STEPS):
        there = at + _HEAD <= limit
        if not there.any():
            break
        at = np.minimum(at, limit)
        mode = _read(bits, at + 1, 4)
        layered = bits[np.arange(len(at)), at] == 1
        size = np.where(layered, LAYER_BITS[mode >> 1], FRAME_BITS[mode])
        kind = _read(bits, at + _HEAD, 4)
        size = np.where(~layered & (mode == _USER), _HEAD + 4 + 5 + 8 * kind, size)
        size = np.where(~layered & (mode == _IN_BAND), _HEAD + 4 + IN_BAND_BITS[kind], size)
        at = np.where(there, at + size, at)
        count += there & ~layered & (mode < _USER) & (at <= limit)
    return np.where(count > MAX_FRAMES, 0, count)


def _read(bits: _Bits, at: Ints, width: int) -> Ints:
    """A number of so many bits of each row."""
    rows = np.arange(len(at))
    value = np.zeros(len(at), np.int64)
    for bit in range(width):
        value = value << 1 | bits[rows, at + bit]
    return value


class SpeexDecoder:
    """libavcodec's."""

    def __init__(self, rate: int) -> None:
        from gateway.codecs.lavc import Lavc

        self._lavc = Lavc("speex", rate)
        self._samples = rate // 50

    def decode(self, payload: bytes) -> Samples:
        from gateway.codecs.lavc import fitted

        octets = np.frombuffer(payload, np.uint8)[None]
        count = int(frames(np.array([len(payload)]), octets)[0]) * self._samples
        return fitted(self._lavc.decode(payload), count) if count else np.zeros(0, np.int16)

    def conceal(self, count: int) -> Samples:
        return np.zeros(0, np.int16)


def codec(rate: int) -> Codec:
    def durations(sizes: Ints, heads: Octets) -> Ints:
        return frames(sizes, heads) * (rate // 50)

    def decoder() -> Decoder:
        return SpeexDecoder(rate)

    return Codec(
        name="SPEEX",
        clock_rate=rate,
        matroska_id=ACM,
        private=wave_format(TAG, rate, 0, 0, 0),
        durations=durations,
        decoder=decoder,
        sample_rate=rate,
        speech=True,
        heads=HEADS,
    )


CODECS = tuple(map(codec, RATES))
