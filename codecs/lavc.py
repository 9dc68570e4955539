"""Decoders of libavcodec, through PyAV."""

from __future__ import annotations

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from gateway.codecs.codec import Samples

NOTHING: Samples = np.zeros(0, np.int16)
NOTHING.flags.writeable = False


class Lavc:
    """One decoder context. Stereo is mixed down to mono."""

    def __init__(
        self, name: str, rate: int, channels: int = 1, bit_rate: int = 0, header: bytes = b""
    ) -> None:
        context = av.CodecContext.create(name, "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = rate
        context.layout = "mono" if channels == 1 else "stereo"
        if bit_rate:
            context.bit_rate = bit_rate
        if header:
            context.extradata = header
        self._context = context
        self._channels = channels

    def decode(self, packet: bytes) -> Samples:
        """The samples of one packet; none where the decoder refuses it."""
        try:
            frames = self._context.decode(av.Packet(packet))
        except FFmpegError:
            return NOTHING
        samples = joined([frame.to_ndarray().reshape(-1).astype(np.int16, copy=False) for frame in frames])
        return samples if self._channels == 1 else mono(samples.reshape(-1, self._channels))


class Whole:
    """Payloads of any length, each given to the decoder as it is."""

    def __init__(self, lavc: Lavc, samples_a_byte: int) -> None:
        self._lavc, self._samples = lavc, samples_a_byte

    def decode(self, payload: bytes) -> Samples:
        samples = self._lavc.decode(payload)
        return samples if samples.size else silence(len(payload) * self._samples)

    def conceal(self, count: int) -> Samples:
        return NOTHING


class Framed:
    """Payloads of frames that all have one length, each given to the decoder by itself.

    `lost` is the frame that stands for one that did not come, if the codec has such a frame.
    """

    def __init__(self, lavc: Lavc, size: int, samples: int, lost: bytes = b"") -> None:
        self._lavc, self._size, self._samples, self._lost = lavc, size, samples, lost

    def decode(self, payload: bytes) -> Samples:
        whole = range(0, len(payload) - self._size + 1, self._size)
        return joined([self._frame(payload[at : at + self._size]) for at in whole])

    def conceal(self, count: int) -> Samples:
        frames = count // self._samples if self._lost else 0
        return joined([self._frame(self._lost) for _ in range(frames)])

    def _frame(self, frame: bytes) -> Samples:
        samples = self._lavc.decode(frame)
        return samples if samples.size == self._samples else silence(self._samples)


def joined(pieces: list[Samples]) -> Samples:
    return np.concatenate(pieces) if pieces else NOTHING


def silence(count: int) -> Samples:
    return np.zeros(count, np.int16)


def mono(samples: Samples) -> Samples:
    """The mean of (samples, channels)."""
    mixed: Samples = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mixed
