"""PCM into WAV, MP3 and FLAC files."""

from __future__ import annotations

import wave
from typing import BinaryIO, Protocol, cast

import av
import av.error
from av.audio.stream import AudioStream

from gateway.codecs.rendering import Frames
from gateway.export.errors import ExportError

LAYOUTS = {1: "mono", 2: "stereo"}
ENCODERS = {"mp3": "libmp3lame", "flac": "flac"}
# Transparent for speech. Twice 32,000 is all that MPEG 2.5 has, whose rates are those up to 12 kHz.
MP3_BITS_A_CHANNEL = {8000: 32_000, 11_025: 32_000, 16_000: 48_000, 22_050: 64_000, 24_000: 64_000}
MP3_BITS_ABOVE = 80_000


class SoundFile(Protocol):
    """Takes arrays of (samples, channels), 16 bit, in order."""

    rate: int

    def write(self, frames: Frames) -> None: ...

    def close(self) -> None: ...


def open_sound(form: str, file: BinaryIO, channels: int, rate: int) -> SoundFile:
    """A sound file of format wav, mp3 or flac; closing it completes the file and leaves `file` open."""
    return _Wave(file, channels, rate) if form == "wav" else _Encoded(form, file, channels, rate)


class _Wave:
    def __init__(self, file: BinaryIO, channels: int, rate: int) -> None:
        self.rate = rate
        self._file = wave.open(file, "wb")  # noqa: SIM115 (closed by close)
        self._file.setparams((channels, 2, rate, 0, "NONE", "not compressed"))

    def write(self, frames: Frames) -> None:
        self._file.writeframesraw(frames.astype("<i2").tobytes())

    def close(self) -> None:
        self._file.close()


class _Encoded:
    def __init__(self, form: str, file: BinaryIO, channels: int, rate: int) -> None:
        self.rate = rate
        self._layout = LAYOUTS[channels]
        self._container = av.open(file, "w", format=form)
        stream = self._container.add_stream(ENCODERS[form], rate=rate, layout=self._layout)
        self._stream = cast(AudioStream, stream)
        if form == "mp3":
            self._stream.bit_rate = MP3_BITS_A_CHANNEL.get(rate, MP3_BITS_ABOVE) * channels
        self._written = 0

    def write(self, frames: Frames) -> None:
        frame = av.AudioFrame.from_ndarray(frames.reshape(1, -1), format="s16", layout=self._layout)
        frame.rate, frame.pts = self.rate, self._written
        self._written += len(frames)
        self._encode(frame)

    def close(self) -> None:
        self._encode(None)
        self._container.close()

    def _encode(self, frame: av.AudioFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise ExportError(f"the encoder failed: {error.strerror}") from error
