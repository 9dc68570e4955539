"""Codecs whose frames all have one length: G.722, GSM 06.10, G.729 and iLBC."""

from __future__ import annotations

import numpy as np

from gateway.codecs.codec import (
    ACM,
    QUICKTIME,
    RTP,
    Codec,
    Decoder,
    Ints,
    Octets,
    Samples,
    sound_description,
    wave_format,
)

GSM_BYTES, GSM_SAMPLES = 33, 160
G729_BYTES, G729_SAMPLES, SID_BYTES = 10, 80, 2
# RFC 3952: the frame of each mode, octets and samples; which one a payload holds is told by its length.
ILBC_20, ILBC_30 = (38, 160), (50, 240)


def _g722() -> Codec:
    def decoder() -> Decoder:
        from gateway.codecs.lavc import Lavc, Whole

        return Whole(Lavc("g722", 16_000), bits=4)

    return Codec(
        name="G722",
        clock_rate=8000,  # RFC 3551 section 4.5.2: half of its sample rate
        matroska_id=ACM,
        private=wave_format(0x028F, 16_000, 8000, 1, 4),
        durations=lambda sizes, heads: sizes,
        decoder=decoder,
        sample_rate=16_000,
        bits=4,
        frames=((1, 1),),
    )


def _gsm() -> Codec:
    def decoder() -> Decoder:
        from gateway.codecs.lavc import Framed, Lavc

        return Framed(Lavc("gsm", 8000), GSM_BYTES, GSM_SAMPLES)

    return Codec(
        name="GSM",
        clock_rate=8000,
        matroska_id=QUICKTIME,
        private=sound_description(b"agsm", 8000),
        durations=lambda sizes, heads: sizes // GSM_BYTES * GSM_SAMPLES,
        decoder=decoder,
        frames=((GSM_BYTES, GSM_SAMPLES),),
        speech=True,
    )


def _g729() -> Codec:
    return Codec(
        name="G729",
        clock_rate=8000,
        matroska_id=ACM,
        private=wave_format(0x0083, 8000, 1000, G729_BYTES, 0),
        durations=_g729_durations,
        decoder=_G729Decoder,
        frames=((G729_BYTES, G729_SAMPLES),),
        speech=True,
    )


def _g729_durations(sizes: Ints, heads: Octets) -> Ints:
    """Frames of 10 ms; a comfort noise frame (Annex B) may be the last, or alone."""
    ticks: Ints = (sizes // G729_BYTES + (sizes % G729_BYTES == SID_BYTES)) * G729_SAMPLES
    return ticks


class _G729Decoder:
    """Comfort noise comes out as silence."""

    def __init__(self) -> None:
        from gateway.codecs.lavc import Framed, Lavc

        # A frame of zeros is what libavcodec takes for one that was lost.
        self._speech = Framed(Lavc("g729", 8000), G729_BYTES, G729_SAMPLES, bytes(G729_BYTES))

    def decode(self, payload: bytes) -> Samples:
        samples = self._speech.decode(payload)
        if len(payload) % G729_BYTES == SID_BYTES:
            return np.concatenate((samples, np.zeros(G729_SAMPLES, np.int16)))
        return samples

    def conceal(self, count: int) -> Samples:
        return self._speech.conceal(count)


def _ilbc() -> Codec:
    return Codec(
        name="ILBC",
        clock_rate=8000,
        matroska_id=RTP,
        private=b"ILBC/8000/1",
        durations=_ilbc_durations,
        decoder=_IlbcDecoder,
        frames=(ILBC_20, ILBC_30),
        speech=True,
    )


def _ilbc_durations(sizes: Ints, heads: Octets) -> Ints:
    long, short = sizes % ILBC_30[0] == 0, sizes % ILBC_20[0] == 0
    ticks: Ints = np.where(
        long, sizes // ILBC_30[0] * ILBC_30[1], np.where(short, sizes // ILBC_20[0] * ILBC_20[1], 0)
    )
    return ticks


class _IlbcDecoder:
    """A decoder for each mode; the sender may change it."""

    def __init__(self) -> None:
        from gateway.codecs.lavc import Framed, Lavc

        # libavcodec tells the modes by their bit rates; a frame of zeros is not valid, and thus taken for lost.
        self._modes = {
            size: Framed(Lavc("ilbc", 8000, bit_rate=size * 8 * 8000 // samples), size, samples, bytes(size))
            for size, samples in (ILBC_30, ILBC_20)
        }
        self._last = self._modes[ILBC_30[0]]

    def decode(self, payload: bytes) -> Samples:
        for size, mode in self._modes.items():
            if len(payload) % size == 0:
                self._last = mode
                return mode.decode(payload)
        return np.zeros(0, np.int16)

    def conceal(self, count: int) -> Samples:
        return self._last.conceal(count)


CODECS = (_g722(), _gsm(), _g729(), _ilbc())
