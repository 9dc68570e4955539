"""What a caller hears of the endpoint: the notice, made playable once at the start, and the tones of a telephone."""

from __future__ import annotations

import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.error import FFmpegError
from numpy.typing import NDArray

from gateway.config.endpoint import EndpointSettings

RATE = 16_000  # Hz, of the endpoint's conference bridge
MAX_SECONDS = 240.0  # a notice that callers would not hear to its end
LEAST_SECONDS = 0.5  # what is shorter is a file that was cut off
SPEAKER = "espeak-ng"
SPEAKING_SECONDS = 60.0
TONE_HZ, TONE_LEVEL = 425, 0.1  # ITU-T E.180: the tone of most of Europe
RINGING = (1.0, 4.0)  # seconds on, off
BUSY = (0.48, 0.48)

Samples = NDArray[np.int16]


class NoticeFault(Exception):
    """There is no notice to play; the text is one sentence that says why."""


def make_tones(folder: Path) -> tuple[Path, Path]:
    """Ringing and busy, as files."""
    paths = folder / "ringing.wav", folder / "busy.wav"
    for path, cadence in zip(paths, (RINGING, BUSY), strict=True):
        _write(path, _tone(*cadence))
    return paths


def make_notice(settings: EndpointSettings, folder: Path) -> tuple[Path | None, float]:
    """The practice's own notice, 16 bit and mono, and how many seconds it lasts. Raises NoticeFault."""
    source = settings.notice
    if settings.notice_text is not None:
        source = folder / "spoken.wav"
        _speak(settings.notice_text, settings.notice_language, source)
    if source is None:
        return None, 0.0
    samples = _read(source)
    seconds = len(samples) / RATE
    if not seconds:
        raise NoticeFault(f"{source}: holds no audio")
    if seconds < LEAST_SECONDS:
        raise NoticeFault(f"{source}: lasts {seconds:.2f} seconds: that is no notice")
    if seconds > MAX_SECONDS:
        raise NoticeFault(f"{source}: lasts longer than {MAX_SECONDS:.0f} seconds")
    if not samples.any():
        raise NoticeFault(f"{source}: is silent from beginning to end")
    path = folder / "notice.wav"
    _write(path, samples)
    return path, seconds


def can_speak() -> bool:
    """Whether text can be spoken here."""
    return shutil.which(SPEAKER) is not None


def _speak(text: str, language: str, path: Path) -> None:
    if not can_speak():
        raise NoticeFault(
            f"notice_text cannot be spoken: {SPEAKER} is not installed (Debian, Ubuntu: apt-get install {SPEAKER}); "
            "install it, or set notice to an audio file"
        )
    try:
        done = subprocess.run(  # noqa: S603 the text is not among the words
            [SPEAKER, "-v", language, "-w", str(path), "--stdin"],
            input=text.encode(),
            capture_output=True,
            timeout=SPEAKING_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoticeFault(
            f"notice_text cannot be spoken: {SPEAKER} failed: {type(error).__name__}"
        ) from error
    if done.returncode or not path.exists():
        raise NoticeFault(f"notice_text cannot be spoken: {SPEAKER} has no voice {language!r}, or failed")


def _read(path: Path) -> Samples:
    """Any audio file, as samples of the bridge's rate. Raises NoticeFault."""
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    pieces: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                pieces += _samples(resampler.resample(frame))
                if sum(map(len, pieces)) > MAX_SECONDS * RATE:
                    break
            pieces += _samples(resampler.resample(None))
    except (FFmpegError, OSError, IndexError, ValueError) as error:
        raise NoticeFault(f"{path}: cannot be read as audio: {type(error).__name__}") from error
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)


def _samples(frames: Sequence[av.AudioFrame]) -> list[Samples]:
    return [frame.to_ndarray().reshape(-1).astype(np.int16) for frame in frames]


def _tone(on: float, off: float) -> Samples:
    at = np.arange(round(on * RATE)) / RATE
    sound = TONE_LEVEL * np.sin(2 * np.pi * TONE_HZ * at)
    return (np.concatenate([sound, np.zeros(round(off * RATE))]) * 32767).astype(np.int16)


def _write(path: Path, samples: Samples) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
