"""Speech with a notice in it, and what telephone networks do to it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.codecs.registry import by_name
from gateway.demo import speech
from gateway.recording.notice import RATE, Heard, Reference, Spectrum, search
from tests.codecs.coded import cut, encoded, ffmpeg

Pcm = npt.NDArray[np.int16]

PACKET = 160
FULL = 32_767


@cache
def spoken(dialogue: str, role: str) -> Pcm:
    """One party's words, the silence before and after them cut off."""
    samples = speech.samples(dialogue, role)
    loud = np.flatnonzero(np.abs(samples) > 50)
    return samples[loud[0] : loud[-1]]


def notice() -> Pcm:
    return spoken("outbound", "agent")


def others() -> list[Pcm]:
    """All other speech there is."""
    names = [(dialogue, role) for dialogue in speech.DIALOGUES for role in ("external", "agent")]
    return [spoken(*name) for name in names if name != ("outbound", "agent")]


def heard(reference: Reference, samples: Pcm, within: float = 60.0) -> Heard | None:
    spectrum = Spectrum()
    spectrum.take(samples)
    return search(reference, spectrum.result(), int(within * RATE))


def silence(seconds: float) -> Pcm:
    return np.zeros(int(seconds * RATE), np.int16)


def music(seconds: float, seed: int = 1) -> Pcm:
    """Four notes a second, each with harmonics that fade."""
    random = np.random.default_rng(seed)
    time = np.arange(RATE // 4) / RATE
    notes = []
    for _ in range(int(seconds * 4)):
        hertz = 220 * 2 ** (random.integers(0, 24) / 12)
        tone = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3))
        notes.append(4000 * tone * np.exp(-3 * time))
    return np.concatenate(notes).astype(np.int16)


def through(*steps: Callable[[Pcm], Pcm]) -> Callable[[Pcm], Pcm]:
    return lambda samples: reduce(lambda done, step: step(done), steps, samples)


def louder(samples: Pcm, decibels: float) -> Pcm:
    return _pcm(samples * 10 ** (decibels / 20))


def _pcm(wave: npt.NDArray[np.floating]) -> Pcm:
    samples: Pcm = np.clip(wave, -FULL, FULL).astype(np.int16)
    return samples


def mixed(samples: Pcm, other: npt.NDArray[Any], decibels: float) -> Pcm:
    """With something else so many decibels above it, as their mean powers go."""
    over = np.resize(other, len(samples)).astype(np.float64)
    factor = np.sqrt((samples.astype(np.float64) ** 2).mean() / (over**2).mean()) * 10 ** (decibels / 20)
    return _pcm(samples + factor * over)


def noise(samples: Pcm, decibels: float) -> Pcm:
    return mixed(samples, np.random.default_rng(3).normal(size=len(samples)) * 1000, decibels)


def lossy(samples: Pcm, share: float, burst: int) -> Pcm:
    """Packets of 20 ms are silent, `burst` after each other."""
    random = np.random.default_rng(4)
    lost = random.random(len(samples) // PACKET // burst + 1) < share
    gone = np.repeat(lost, burst * PACKET)[: len(samples)]
    return np.where(gone, 0, samples).astype(np.int16)


def skewed(samples: Pcm, ppm: float) -> Pcm:
    """As a clock that runs so much too slowly plays it."""
    count = int(len(samples) * (1 + ppm * 1e-6))
    return np.interp(np.arange(count) / (1 + ppm * 1e-6), np.arange(len(samples)), samples).astype(np.int16)


def _decoded(name: str, rate: int, packets: list[bytes], parameters: str = "") -> Pcm:
    decoder = by_name(name, rate, 1, parameters).decoder()
    return np.concatenate([decoder.decode(packet) for packet in packets])


def _raw(samples: Pcm, *output: str) -> bytes:
    return ffmpeg(samples.tobytes(), "-f", "s16le", "-ar", "8000", "-i", "-", *output)


def a_law(samples: Pcm) -> Pcm:
    return _decoded("PCMA", 8000, [speech.encode(samples, "PCMA")])


def mu_law(samples: Pcm) -> Pcm:
    return _decoded("PCMU", 8000, [speech.encode(samples, "PCMU")])


def gsm(samples: Pcm) -> Pcm:
    return _decoded("GSM", 8000, payloads("GSM", samples))


def g722(samples: Pcm) -> Pcm:
    return _narrow(_decoded("G722", 8000, payloads("G722", samples)), 16_000)


def opus(bits: int) -> Callable[[Pcm], Pcm]:
    return lambda samples: _narrow(_decoded("OPUS", 48_000, payloads("OPUS", samples, bits)), 48_000)


def payloads(codec: str, samples: Pcm, bits: int = 24_000) -> list[bytes]:
    """Packets of 20 ms of GSM, G722 or OPUS."""
    match codec:
        case "GSM":
            return cut(_raw(samples, "-f", "gsm"), 33)
        case "G722":
            return cut(_raw(samples, "-ar", "16000", "-f", "g722"), PACKET)
        case _:
            wide = np.frombuffer(_raw(samples, "-ar", "48000", "-f", "s16le"), np.int16)
            return encoded("libopus", wide, 48_000, 960, b=str(bits), application="voip")


def _narrow(samples: Pcm, rate: int) -> Pcm:
    raw = "-f", "s16le"
    data = ffmpeg(samples.tobytes(), *raw, "-ar", str(rate), "-i", "-", "-ar", "8000", *raw)
    return np.frombuffer(data, np.int16)


def amr(bits: int) -> Callable[[Pcm], Pcm]:
    """A linear-predictive codec, as G.729 is, of which there is no free encoder; RFC 4867 section 4.4."""

    def through(samples: Pcm) -> Pcm:
        stored = encoded("libopencore_amrnb", samples, 8000, PACKET, b=str(bits))
        return _decoded("AMR", 8000, [b"\xf0" + frame for frame in stored], "octet-align=1")

    return through
