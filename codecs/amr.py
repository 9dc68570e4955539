"""AMR and AMR-WB in RTP (RFC 4867): one channel, octet-aligned or bandwidth-efficient, any number of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import RTP, Codec, Decoder, Ints, Octets, Samples

ALIGNED = "octet-align=1"
MAX_FRAMES = 12  # of a payload: 240 ms
HEADS = 1 + MAX_FRAMES
CMR_BITS, ENTRY_BITS = 4, 6  # of a bandwidth-efficient payload: mode request; follows, frame type, quality
# RFC 4867 tables 2 and 1a of 3GPP TS 26.101 and 26.201: bits of speech by frame type; those not named have none.
NARROW_BITS = (95, 103, 118, 134, 148, 159, 204, 244, 39)
WIDE_BITS = (132, 177, 253, 285, 317, 365, 397, 461, 477, 40)
NO_DATA = bytes((15 << 3 | 4,))


@dataclass(frozen=True, slots=True)
class Mode:
    """What tells the two codecs apart."""

    name: str
    rate: int
    bits: tuple[int, ...]
    library: str

    @property
    def samples(self) -> int:
        """Of a frame, which lasts 20 ms."""
        return self.rate // 50


NARROW = Mode("AMR", 8000, NARROW_BITS, "libopencore_amrnb")
WIDE = Mode("AMR-WB", 16_000, WIDE_BITS, "libopencore_amrwb")


def _codec(mode: Mode, aligned: bool) -> Codec:
    parameters = ALIGNED if aligned else ""
    following = _aligned_follows if aligned else _packed_follows

    def durations(sizes: Ints, heads: Octets) -> Ints:
        follows = following(heads)
        frames = np.argmin(follows, axis=1) + 1
        contents = 1 + frames if aligned else (CMR_BITS + ENTRY_BITS * frames + 7) // 8
        return np.where(follows.all(axis=1) | (sizes < contents), 0, frames * mode.samples)

    def decoder() -> Decoder:
        return AmrDecoder(mode, aligned)

    return Codec(
        name=mode.name,
        clock_rate=mode.rate,
        matroska_id=RTP,
        private=f"{mode.name}/{mode.rate}/1 {parameters}".rstrip().encode(),
        durations=durations,
        decoder=decoder,
        sample_rate=mode.rate,
        speech=True,
        heads=HEADS,
        parameters=parameters,
    )


def _aligned_follows(heads: Octets) -> Octets:
    """Whether another entry follows each of the table of contents."""
    return heads[:, 1:] & np.uint8(0x80)


def _packed_follows(heads: Octets) -> Octets:
    return np.unpackbits(heads, axis=1)[:, CMR_BITS : CMR_BITS + MAX_FRAMES * ENTRY_BITS : ENTRY_BITS]


class AmrDecoder:
    """The reference decoder's arithmetic, by OpenCORE, with its comfort noise and its concealment."""

    def __init__(self, mode: Mode, aligned: bool) -> None:
        from gateway.codecs.lavc import Lavc

        self._mode, self._aligned = mode, aligned
        self._lavc = Lavc(mode.library, mode.rate)

    def decode(self, payload: bytes) -> Samples:
        return self._decoded(list(frames(payload, self._mode.bits, self._aligned)))

    def conceal(self, count: int) -> Samples:
        return self._decoded([NO_DATA] * (count // self._mode.samples))

    def _decoded(self, stored: list[bytes]) -> Samples:
        silence = np.zeros(self._mode.samples, np.int16)
        pieces = [self._lavc.decode(frame) for frame in stored]
        return np.concatenate([silence[:0], *(piece if piece.size else silence for piece in pieces)])


def frames(payload: bytes, sizes: tuple[int, ...], aligned: bool) -> Iterator[bytes]:
    """The frames of a payload, each as the storage format has it (RFC 4867 section 5.3).

    A frame that is damaged, cut, or of no known type is given as one without data; of a payload whose table of
    contents is cut nothing is.
    """
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    lead, width, step = (8, 8, 8) if aligned else (CMR_BITS, ENTRY_BITS, 1)
    entries: list[tuple[int, int]] = []
    at = lead
    while at + ENTRY_BITS <= bits.size and len(entries) < MAX_FRAMES:
        entry = int("".join(map(str, bits[at : at + ENTRY_BITS])), 2)
        entries.append((entry >> 1 & 15, entry & 1))
        at += width
        if not entry & 0x20:
            break
    else:
        return
    for kind, good in entries:
        size = sizes[kind] if kind < len(sizes) else 0
        speech = bits[at : at + size]
        at += -(-size // step) * step
        usable = good and size and speech.size == size
        yield bytes((kind << 3 | 4,)) + np.packbits(speech).tobytes() if usable else NO_DATA


CODECS = tuple(_codec(mode, aligned) for mode in (NARROW, WIDE) for aligned in (False, True))
