"""Reads the notices that calls are searched for, as WAV or FLAC files hold them."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.config.notice import NoticeSettings
from gateway.io.jobs import Notice, Notices
from gateway.recording.model import UNITS_PER_SECOND, Direction
from gateway.recording.notice import LONGEST_SECONDS, RATE, NoticeError, Reference

MOST_SAMPLES = int((LONGEST_SECONDS + 1) * RATE)  # of a file; what is longer is refused without reading on

Samples = npt.NDArray[np.int16]


class ReferenceFault(Exception):
    """A notice cannot be used; the text is one sentence that names its file."""


def read_notices(settings: NoticeSettings) -> Notices:
    """What calls are searched for; nothing where no file is named. Raises ReferenceFault."""
    return Notices(
        references=tuple(
            Notice(name, base64.b64encode(_checked(name, path).astype("<i2").tobytes()).decode("ascii"))
            for name, path in settings.references.items()
        ),
        share_percent=settings.share_percent,
        within_units=round(settings.within_seconds * UNITS_PER_SECOND),
        directions=tuple(map(Direction, settings.directions)),
    )


def read_reference(name: str, path: Path) -> Reference:
    """Raises ReferenceFault."""
    return Reference(name, _checked(name, path))


def _checked(name: str, path: Path) -> Samples:
    samples = _read(name, path)
    try:
        Reference(name, samples)
    except NoticeError as error:
        raise ReferenceFault(f"{path}: notice {name!r} cannot be recognised: {error}") from error
    return samples


def _read(name: str, path: Path) -> Samples:
    """The file's audio at 8 kHz, one channel."""
    import av  # not needed where there is no notice, and takes long to load
    from av.error import FFmpegError

    pieces: list[Samples] = []
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ReferenceFault(f"{path}: notice {name!r} cannot be read: there is no audio in the file")
            resampler = av.AudioResampler("s16", "mono", RATE)
            for frame in container.decode(audio=0):
                pieces += [each.to_ndarray()[0] for each in resampler.resample(frame)]
                if sum(map(len, pieces)) > MOST_SAMPLES:
                    break
            else:
                pieces += [each.to_ndarray()[0] for each in resampler.resample(None)]
    except (FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise ReferenceFault(f"{path}: notice {name!r} cannot be read: {why}") from error
    return np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
