"""Short tones that cannot be taken for one another, as WAV files in memory."""

from __future__ import annotations

import io
import math
import wave
from array import array

from gateway.hotkey.desk import Tone

RATE = 22_050  # Hz
LEVEL = 0.35  # of full scale
EDGE_SECONDS = 0.008  # faded in and out, so that nothing clicks

# Notes one after the other: Hz, where 0 is silence, and seconds. Up: recording. Down: paused. Low: off.
# A rough stutter, unlike any of them: nobody can say, or it was not done.
NOTES: dict[Tone, tuple[tuple[float, float], ...]] = {
    Tone.RECORDING: ((523.25, 0.12), (783.99, 0.2)),
    Tone.PAUSED: ((783.99, 0.12), (523.25, 0.2)),
    Tone.OFF: ((261.63, 0.5),),
    Tone.FAULT: ((185.0, 0.09), (0, 0.05)) * 4,
    Tone.AGAIN: ((659.26, 0.08), (0, 0.08), (659.26, 0.08)),
}
ROUGH = {Tone.FAULT}


def wav(tone: Tone) -> bytes:
    """One channel, 16 bits."""
    samples = array("h")
    for hertz, seconds in NOTES[tone]:
        samples.extend(_note(hertz, seconds, tone in ROUGH))
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def _note(hertz: float, seconds: float, rough: bool) -> list[int]:
    count = round(RATE * seconds)
    edge = RATE * EDGE_SECONDS

    def sample(index: int) -> int:
        value = math.sin(2 * math.pi * hertz * index / RATE)
        if rough:
            value = math.copysign(0.6, value) if value else 0.0
        return round(32_767 * LEVEL * value * min(1.0, index / edge, (count - index) / edge))

    return [sample(index) for index in range(count)]
