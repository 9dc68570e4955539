"""Makes the speech files of this folder: `python -m gateway.demo.make_speech`, with espeak-ng and ffmpeg installed.

The dialogues are written for this project and spoken by espeak-ng; nobody's voice is in them. Each party has a file of
its own (8 kHz, one channel, FLAC) on the dialogue's common timeline, so that the two are heard in turn.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE = 8000
PAUSE_SECONDS = 0.3  # between turns

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Voice:
    name: str  # of espeak-ng
    pitch: int
    words_a_minute: int
    level_db: float  # of the loudest sample, below full scale


@dataclass(frozen=True, slots=True)
class Dialogue:
    external: Voice
    agent: Voice
    turns: Sequence[tuple[str, str]]  # who, what


DIALOGUES = {
    "inbound": Dialogue(
        Voice("en-gb+f3", 55, 165, -9.0),
        Voice("en-us+m3", 40, 170, -3.0),
        (
            ("agent", "Good morning, parts and repairs, how can I help?"),
            ("external", "Hello, my kettle lights up, but it does not boil."),
            ("agent", "I am sorry. Steel or glass?"),
            ("external", "Glass, three weeks old."),
        ),
    ),
    "outbound": Dialogue(
        Voice("en-us+m7", 30, 160, -14.0),
        Voice("en-gb+f2", 60, 170, -4.0),
        (
            ("external", "Harbour bakery, good afternoon."),
            ("agent", "Hello, this is the dispatch desk. Your flour arrives tomorrow at nine."),
            ("external", "Could you make it eight?"),
            ("agent", "Eight it is. I have changed the order."),
        ),
    ),
    "rough": Dialogue(
        Voice("en-gb-scotland+m2", 35, 165, -6.0),
        Voice("en-us+f4", 65, 165, -6.0),
        (
            ("agent", "Service line, I can hear you, barely."),
            ("external", "I am on a train. Please move my visit to Thursday."),
            ("agent", "Thursday, ten to twelve."),
            ("external", "Ten to twelve, yes."),
        ),
    ),
}


def spoken(text: str, voice: Voice) -> Samples:
    """One turn at telephone rate, full scale."""
    command = [
        "espeak-ng",
        "-v",
        voice.name,
        "-p",
        str(voice.pitch),
        "-s",
        str(voice.words_a_minute),
        "--stdout",
        text,
    ]
    wave = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
    narrow = ["ffmpeg", "-v", "error", "-i", "-", "-af", "highpass=300,lowpass=3400"]
    out = subprocess.run(  # noqa: S603
        [*narrow, "-ar", str(RATE), "-ac", "1", "-f", "s16le", "-"],
        input=wave,
        check=True,
        capture_output=True,
    )
    return np.frombuffer(out.stdout, np.int16)


def tracks(dialogue: Dialogue) -> dict[str, Samples]:
    """Both parties on one timeline, each at its level."""
    voices = {"external": dialogue.external, "agent": dialogue.agent}
    pause = np.zeros(int(PAUSE_SECONDS * RATE), np.int16)
    parts: dict[str, list[Samples]] = {who: [pause] for who in voices}
    for who, text in dialogue.turns:
        said = spoken(text, voices[who])
        for other, track in parts.items():
            track += [said if other == who else np.zeros_like(said), pause]
    return {who: _at_level(np.concatenate(track), voices[who].level_db) for who, track in parts.items()}


def _at_level(samples: Samples, level_db: float) -> Samples:
    peak = np.abs(samples.astype(np.float64)).max()
    scaled: Samples = np.rint(samples * (32767 * 10 ** (level_db / 20) / peak)).astype(np.int16)
    return scaled


def main() -> None:
    folder = Path(__file__).parent
    for name, dialogue in DIALOGUES.items():
        for who, samples in tracks(dialogue).items():
            target = folder / f"{name}.{who}.flac"
            raw = ["ffmpeg", "-v", "error", "-y", "-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "-"]
            subprocess.run(  # noqa: S603
                [*raw, "-compression_level", "12", "-bitexact", str(target)],
                input=samples.tobytes(),
                check=True,
            )


if __name__ == "__main__":
    main()
