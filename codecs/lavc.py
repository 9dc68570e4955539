"""Decoders of libavcodec, through PyAV."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError

from gateway.codecs.codec import Samples

NOTHING: Samples = np.zeros(0, np.int16)
NOTHING.flags.writeable = False


class Lavc:
    """One decoder context. Stereo is mixed down to mono. `bits` are of one coded sample."""

    def __init__(
        self, name: str, rate: int, channels: int = 1, bit_rate: int = 0, header: bytes = b"", bits: int = 0
    ) -> None:
        context = av.CodecContext.create(name, "r")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = rate
        context.layout = "mono" if channels == 1 else "stereo"
        if bit_rate:
            context.bit_rate = bit_rate
        if header:
            context.extradata = header
        if bits:
            context.options = {"bits_per_coded_sample": str(bits)}
        self._context = context
        self._channels = channels

    def decode(self, packet: bytes) -> Samples:
        """The samples of one packet; none where the decoder refuses it."""
        try:
            frames = self._context.decode(av.Packet(packet))
        except FFmpegError:
            return NOTHING
        samples = joined([_whole(frame.to_ndarray().reshape(-1)) for frame in frames])
        return samples if self._channels == 1 else mono(samples.reshape(-1, self._channels))


class Whole:
    """Payloads of any length, each given to the decoder as it is. `bits` are of one coded sample."""

    def __init__(self, lavc: Lavc, bits: int) -> None:
        self._lavc, self._bits = lavc, bits

    def decode(self, payload: bytes) -> Samples:
        samples = self._lavc.decode(payload)
        return samples if samples.size else silence(len(payload) * 8 // self._bits)

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


def fitted(samples: Samples, count: int) -> Samples:
    """So many samples, whatever a decoder made of a payload that is damaged."""
    return (
        np.concatenate((samples[:count], silence(count - samples.size)))
        if samples.size < count
        else samples[:count]
    )


def silence(count: int) -> Samples:
    return np.zeros(count, np.int16)


def _whole(samples: npt.NDArray[Any]) -> Samples:
    """As 16-bit samples, what some decoders give as fractions of 1."""
    if samples.dtype.kind == "f":
        samples = np.clip(np.rint(samples * 32_768), -32_768, 32_767)
    whole: Samples = samples.astype(np.int16, copy=False)
    return whole


def mono(samples: Samples) -> Samples:
    """The mean of (samples, channels)."""
    mixed: Samples = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mixed
