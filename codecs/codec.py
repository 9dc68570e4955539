"""What is known of a payload format: how RTP names it, how Matroska stores it, how it becomes PCM."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]

# Payload sizes and the payloads' first octets, (payloads, heads), to RTP clock ticks; 0 for what cannot be.
Durations = Callable[[Ints, Octets], Ints]

ACM, QUICKTIME, OPUS, PCM = "A_MS/ACM", "A_QUICKTIME", "A_OPUS", "A_PCM/INT/BIG"
# Payload as RTP carries it, of a codec that Matroska has no id for; its CodecPrivate is the rtpmap and the fmtp.
RTP = "A_RTP"


class Decoder(Protocol):
    """Turns the payloads of one leg, in order, into mono PCM; it may keep state between them."""

    def decode(self, payload: bytes) -> Samples:
        """What one payload says; silence where it cannot be understood."""
        ...

    def conceal(self, count: int) -> Samples:
        """What may have been said in a loss of `count` samples: fewer, or none, where the codec cannot tell."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """One payload format; there is one object of each, in the registry."""

    name: str  # RTP encoding name, upper-case
    clock_rate: int  # of RTP timestamps, Hz
    matroska_id: str
    private: bytes  # Matroska CodecPrivate
    durations: Durations = field(repr=False)
    decoder: Callable[[], Decoder] = field(repr=False)
    sample_rate: int = 8000  # of the decoded audio, Hz
    channels: int = 1  # as stored; decoders give mono
    bits: int = 0  # of one coded sample; 0 where there is no such number
    # Octets of a frame and the RTP clock ticks it lasts: a payload may be cut between two. Where there is one kind,
    # payloads of whole frames may stand one after the other; of several a payload holds the last that divides its size.
    frames: tuple[tuple[int, int], ...] = ()
    speech: bool = False  # models a voice, and keeps less of tones than of speech
    linked: bool = (
        False  # a payload may tell something of what the one before it said: it falls with that one
    )
    heads: int = 0  # first octets of a payload that tell how long it lasts
    parameters: str = ""  # of the fmtp, those that change the payload


def wave_format(tag: int, rate: int, byte_rate: int, block: int, bits: int) -> bytes:
    """WAVEFORMATEX of one channel, without extra bytes: the CodecPrivate of A_MS/ACM."""
    return struct.pack("<HHIIHHH", tag, 1, rate, byte_rate, block, bits, 0)


def sound_description(kind: bytes, rate: int) -> bytes:
    """QuickTime's sound sample description, version 0, of one channel: the CodecPrivate of A_QUICKTIME."""
    return struct.pack(">I4s6xHHHIHHHHI", 36, kind, 1, 0, 0, 0, 1, 16, 0, 0, rate << 16)
