"""Speech activity: how long each party talked, was silent, and talked while the other did.

Frames of 20 ms are judged one leg at a time, by a detector that is handed in. Talk goes on for HANGOVER_MS after
the last frame judged as speech, so that the ends of words and the pauses between them count as talk. A frame of zeros
is redacted or missing audio: it is silence, it ends the hangover, and no detector is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from gateway.recording.model import Role, Speech

FRAME_MS = 20
HANGOVER_MS = 200

Frames = npt.NDArray[np.int16]
Talk = npt.NDArray[np.bool_]
Detector = Callable[[bytes], bool]  # of one frame: 16-bit mono samples in the machine's order


class SpeechMeter:
    """Takes a call's audio in pieces of any length, one column a leg, and holds less than a frame of it."""

    def __init__(self, detectors: Mapping[Role, Detector], rate: int) -> None:
        self._legs = [_Leg(role, detector) for role, detector in detectors.items()]
        self._rate = rate  # samples a second
        self._size = rate * FRAME_MS // 1000
        self._rest: Frames = np.zeros((0, len(self._legs)), np.int16)
        self._samples = 0
        self._overtalk = 0  # frames

    def take(self, samples: Frames) -> None:
        """What follows what was taken before, as an array of (samples, legs)."""
        self._samples += len(samples)
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) // self._size * self._size
        self._judge(joined[:whole])
        self._rest = joined[whole:].copy()

    def result(self) -> tuple[Speech, ...]:
        """The figures of every leg, once all audio is taken; an unfinished frame is filled up with silence."""
        length = self._samples * 1000 // self._rate
        if missing := -len(self._rest) % self._size:
            self.take(np.zeros((missing, len(self._legs)), np.int16))
        overtalk = min(self._overtalk * FRAME_MS, length)
        return tuple(leg.speech(length, overtalk) for leg in self._legs)

    def _judge(self, samples: Frames) -> None:
        frames = samples.reshape(-1, self._size, len(self._legs))
        talks = [leg.judge(frames[:, :, column]) for column, leg in enumerate(self._legs)]
        self._overtalk += int(np.count_nonzero(np.sum(talks, axis=0) > 1))


class _Leg:
    """One leg's detector and what it has found."""

    def __init__(self, role: Role, detector: Detector) -> None:
        self._role = role
        self._detector = detector
        self._hangover = 0  # frames that still count as talk
        self._talk = 0  # frames

    def judge(self, frames: Frames) -> Talk:
        """Which of the frames, an array of (frames, samples), are talk."""
        talk = np.zeros(len(frames), np.bool_)
        audible = np.count_nonzero(frames, axis=1)
        for at in range(len(frames)):
            if not audible[at]:
                self._hangover = 0
            elif self._detector(frames[at].tobytes()):
                self._hangover = HANGOVER_MS // FRAME_MS
                talk[at] = True
            elif self._hangover:
                self._hangover -= 1
                talk[at] = True
        self._talk += int(np.count_nonzero(talk))
        return talk

    def speech(self, length_ms: int, overtalk_ms: int) -> Speech:
        talk = min(self._talk * FRAME_MS, length_ms)
        return Speech(self._role, talk, length_ms - talk, overtalk_ms)
