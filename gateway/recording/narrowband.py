"""A leg's packets as one wave at 8 kHz, whatever their codec: what tones are looked for in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gateway.codecs.codec import Codec, Decoder, Samples
from gateway.redaction.holdback import Rings
from gateway.redaction.inband_exact import RATE, Wave
from gateway.rtp.formats import AUDIO
from gateway.rtp.packets import Ints
from gateway.rtp.sequence import LegTable

LONGEST_GAP_NS = 500_000_000  # what comes later begins anew
TAPS = 8  # of the low-pass filter, to either side, in samples of 8 kHz
PASS = 0.88  # of half the rate: the highest tone is at 0.41 of the rate


class Voice:
    """Decodes one stream in the order of its packets."""

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self._decoder: Decoder = codec.decoder()
        self._factor = codec.sample_rate / RATE
        self._kernel = _low_pass(self._factor)
        self._before = np.zeros(len(self._kernel) - 1, np.float32)

    @property
    def coded(self) -> bool:
        """Whether the codec keeps what it takes for speech, not the wave."""
        return self.codec.speech

    @property
    def adaptive(self) -> bool:
        """Whether what a payload says depends on those before it: after a loss it says something else for a while."""
        return self.codec.bits < 8

    def hear(self, payloads: list[bytes]) -> Wave:
        """What some payloads say that follow each other, at 8 kHz."""
        # Payloads of coded samples are one long payload: to decode them at once saves most of the work.
        whole = payloads
        if self.codec.bits and not any(len(payload) % self.codec.frames[0][0] for payload in payloads):
            whole = [b"".join(payloads)]
        heard: Samples = np.concatenate([self._decoder.decode(payload) for payload in whole])
        return self._lowered(np.asarray(heard, np.float32))

    def _lowered(self, heard: Wave) -> Wave:
        if self._factor == 1:
            return heard
        wave = np.concatenate((self._before, heard))
        self._before = wave[len(wave) - len(self._before) :]
        smooth = np.convolve(wave, self._kernel, "valid")
        places = np.arange(round(len(heard) / self._factor)) * self._factor
        if self._factor == int(self._factor):
            return np.asarray(smooth[places.astype(np.int64)], np.float32)
        return np.asarray(np.interp(places, np.arange(len(smooth)), smooth), np.float32)


@dataclass(frozen=True, slots=True)
class Run:
    """Packets without a long break between them, as a wave."""

    media: int  # RTP time of the first sample
    rate: int  # Hz, of RTP time
    wave: Wave  # at 8 kHz; what was lost is zeros
    gaps: tuple[tuple[int, int], ...]  # that which was lost, in samples
    slots: tuple[int, int]  # of its packets: the first, and the one after the last
    voice: Voice  # knows what to go on with

    @property
    def end(self) -> int:
        """RTP time after the last sample."""
        return self.media + len(self.wave) * self.rate // RATE


def _low_pass(factor: float) -> Wave:
    """A windowed sinc of the codec's own rate; of a codec at 8 kHz none."""
    if factor == 1:
        return np.ones(1, np.float32)
    reach = round(TAPS * factor)
    at = np.arange(-reach, reach + 1)
    kernel = np.sinc(at * PASS / factor) * np.hanning(len(at) + 2)[1:-1]
    taps: Wave = (kernel / kernel.sum()).astype(np.float32)
    return taps


def runs(table: LegTable, leg: int, cells: Ints, voice: Voice | None = None) -> Iterator[Run]:
    """The audio in some cells of a leg's ring, in order of their slots; `voice` knows what came before."""
    if not len(cells):
        return
    rings = table.ring(leg)
    audio = cells[rings.kind[cells] >= AUDIO]
    for stretch in _stretches(table, leg, rings, audio):
        codec = table.codec(leg, int(rings.kind[stretch[0]]))
        if voice is None or voice.codec != codec:
            voice = Voice(codec)
        yield _run(rings, stretch, voice)
        voice = None


def _stretches(table: LegTable, leg: int, rings: Rings, cells: Ints) -> Iterator[Ints]:
    """Packets of one codec each, whose time goes on without a long break."""
    if not len(cells):
        return
    kinds, media = rings.kind[cells], rings.media[cells]
    rates = np.array([table.codec(leg, kind).clock_rate for kind in kinds.tolist()])
    steps = np.diff(media)
    broken = (kinds[1:] != kinds[:-1]) | (steps <= 0) | (steps > LONGEST_GAP_NS * rates[1:] // 1_000_000_000)
    yield from np.split(cells, np.flatnonzero(broken) + 1)


def _run(rings: Rings, cells: Ints, voice: Voice) -> Run:
    codec = voice.codec
    media, sizes = rings.media[cells], rings.size[cells].astype(np.int64)
    ticks = codec.durations(sizes, rings.payload[cells, : max(codec.heads, 1)])
    begins = media - media[0]
    # Where a packet does not begin where the one before it ends, something is missing.
    apart = np.flatnonzero(begins[1:] != (begins + ticks)[:-1]) + 1
    wave = np.zeros(int(begins[-1] + ticks[-1]) * RATE // codec.clock_rate + 1, np.float32)
    gaps: list[tuple[int, int]] = []
    end = 0
    for part in np.split(np.arange(len(cells)), apart):
        start = int(begins[part[0]]) * RATE // codec.clock_rate
        if start > end and len(gaps) < len(cells):
            gaps.append((end, start))
        payloads = [
            rings.payload[cell, :size].tobytes() for cell, size in zip(cells[part], sizes[part], strict=True)
        ]
        heard = voice.hear(payloads)[: len(wave) - start]
        wave[start : start + len(heard)] = heard
        end = start + len(heard)
    slots = int(rings.slot[cells[0]]) - 1, int(rings.slot[cells[-1]])
    return Run(int(media[0]), codec.clock_rate, wave[:end], tuple(gaps), slots, voice)
