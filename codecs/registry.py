"""The codecs that can be recorded, by RTP name and by Matroska track."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gateway.codecs import g711

Samples = npt.NDArray[np.int16]
Sizes = npt.NDArray[np.int64]


class CodecError(Exception):
    """A payload format is not one of the registry's; the text names it."""


class Decoder(Protocol):
    """Turns the payloads of one leg, in order, into PCM; it may keep state between them."""

    def decode(self, payload: bytes) -> Samples: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload format: how RTP names it, how Matroska stores it, how it becomes PCM."""

    name: str  # RTP encoding name, upper-case
    clock_rate: int  # of RTP timestamps, Hz
    matroska_id: str
    private: bytes  # Matroska CodecPrivate
    sample_rate: int  # of the decoded audio, Hz
    channels: int
    bits: int  # of one coded sample
    silence: bytes  # the shortest payload that is silence
    durations: Callable[[Sizes], Sizes] = field(repr=False)  # payload bytes to RTP clock ticks
    decoder: Callable[[], Decoder] = field(repr=False)


def _g711(name: str, format_tag: int, law: g711.Law) -> Codec:
    return Codec(
        name=name,
        clock_rate=g711.RATE,
        matroska_id="A_MS/ACM",
        private=g711.wave_format(format_tag),
        sample_rate=g711.RATE,
        channels=1,
        bits=8,
        silence=law.silence,
        durations=_one_tick_a_byte,
        decoder=lambda: law,
    )


def _one_tick_a_byte(sizes: Sizes) -> Sizes:
    return sizes


CODECS = (_g711("PCMA", 0x0006, g711.A_LAW), _g711("PCMU", 0x0007, g711.MU_LAW))

_BY_NAME = {(codec.name, codec.clock_rate): codec for codec in CODECS}
_BY_TRACK = {(codec.matroska_id, codec.private): codec for codec in CODECS}


def supported(name: str, clock_rate: int) -> bool:
    """Whether an RTP encoding name (in any case) at this clock rate can be recorded."""
    return (name.upper(), clock_rate) in _BY_NAME


def by_name(name: str, clock_rate: int) -> Codec:
    """The codec of an `a=rtpmap`. Raises CodecError."""
    codec = _BY_NAME.get((name.upper(), clock_rate))
    if codec is None:
        raise CodecError(f"codec {name}/{clock_rate} is not one of {', '.join(c.name for c in CODECS)}")
    return codec


def by_track(matroska_id: str, private: bytes) -> Codec:
    """The codec of a Matroska track, by its CodecID and CodecPrivate. Raises CodecError."""
    codec = _BY_TRACK.get((matroska_id, private))
    if codec is None:
        raise CodecError(f"a track of codec {matroska_id} with private data {private.hex()} is not known")
    return codec
