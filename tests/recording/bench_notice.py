"""How surely notices are recognised: `python -m tests.recording.bench_notice [FOLDER]`, with espeak-ng, ffmpeg and libbcg729.

Every condition is each notice in three calls. Of a folder of speech (WAV, 8 kHz, one channel, in folders by speaker)
every notice, and as many of the files as notices again, are searched for in all that is not themselves.
"""

from __future__ import annotations

import ctypes
import random
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from gateway.codecs.registry import by_name
from gateway.recording.notice import RATE, Heard, NoticeError, Reference, Spectrum, search
from tests.codecs.coded import ffmpeg
from tests.recording import noticed
from tests.recording.noticed import Pcm, through

CALLS = 3  # of each notice and condition
CALL_SECONDS = 90  # of speech, in which notices are searched for
CHOSEN = 8  # files of each speaker that are notices, too
ENOUGH = 0.8
NOTICES = (
    ("en-gb+f3", "Welcome to the Harbour Road surgery. This call is recorded so that we can check what was agreed. If you do not wish that, please tell us at once."),
    ("en-gb+f3", "Welcome to the Harbour Road surgery. All our lines are busy. Please hold, or call again after ten o'clock."),
    ("en-us+m3", "Hello, this is the animal clinic. Calls are recorded for the safety of you and your pet."),
    ("en-us+m3", "Please note that this call is recorded."),
    ("de+f2", "Guten Tag, Sie sind mit der Praxis am Markt verbunden. Dieses Gespräch wird aufgezeichnet. Wenn Sie das nicht wünschen, sagen Sie es bitte gleich."),
    ("de+m1", "Hier ist die Stadtverwaltung. Das Gespräch wird zur Qualitätssicherung aufgezeichnet."),
    ("fr+f1", "Bonjour, vous êtes bien à la clinique vétérinaire. Cet appel est enregistré."),
    ("es+m2", "Buenos días. Para su seguridad, esta llamada será grabada y guardada durante noventa días."),
)  # fmt: skip


def spoken(voice: str, text: str) -> Pcm:
    said = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True)
    return np.frombuffer(ffmpeg(said.stdout, "-i", "-", "-ar", "8000", "-f", "s16le"), np.int16)


def g729(samples: Pcm) -> Pcm:
    """As libbcg729 encodes it, two frames a packet."""
    library = ctypes.CDLL("libbcg729.so.0")
    library.initBcg729EncoderChannel.restype = ctypes.c_void_p
    channel = ctypes.c_void_p(library.initBcg729EncoderChannel(ctypes.c_uint8(0)))
    octets, size = (ctypes.c_uint8 * 12)(), ctypes.c_uint8(0)
    frames = []
    for frame in samples[: len(samples) // 80 * 80].reshape(-1, 80):
        library.bcg729Encoder(
            channel, frame.copy().ctypes.data_as(ctypes.c_void_p), octets, ctypes.byref(size)
        )
        frames.append(bytes(octets[: size.value]))
    library.closeBcg729EncoderChannel(channel)
    decoder = by_name("G729", RATE, 1, "").decoder()
    return np.concatenate(
        [decoder.decode(one + two) for one, two in zip(frames[::2], frames[1::2], strict=False)]
    )


def conditions() -> dict[str, Callable[[Pcm], Pcm]]:
    talk = np.concatenate([noticed.notice(), *noticed.others()])

    def lossy(share: float, packets: int) -> Callable[[Pcm], Pcm]:
        return through(noticed.a_law, partial(noticed.lossy, share=share, burst=packets))

    def over(decibels: float) -> Callable[[Pcm], Pcm]:
        return through(partial(noticed.mixed, other=talk, decibels=decibels), noticed.a_law)

    return {
        "G.711 A-law": noticed.a_law,
        "G.711 µ-law": noticed.mu_law,
        "G.722": noticed.g722,
        "GSM": noticed.gsm,
        "Opus at 24 kbit/s": noticed.opus(24_000),
        "Opus at 8 kbit/s": noticed.opus(8_000),
        "G.729": g729,
        "AMR at 12.2 kbit/s": noticed.amr(12_200),
        "AMR at 4.75 kbit/s": noticed.amr(4_750),
        "GSM, then AMR at 4.75 kbit/s": through(noticed.gsm, noticed.amr(4_750)),
        **{
            f"{level:+d} dB": through(partial(noticed.louder, decibels=level), noticed.a_law)
            for level in (-36, -20, -10, 6)
        },
        "5 % of packets lost, one at a time": lossy(0.05, 1),
        "5 % lost, in gaps of 100 ms": lossy(0.05, 5),
        "10 % lost, in gaps of 60 ms": lossy(0.1, 3),
        "20 % lost, in gaps of 80 ms": lossy(0.2, 4),
        **{f"talked over, {-level} dB softer": over(level) for level in (-10, -6, -3)},
        "talked over, as loud": over(0),
        "noise 10 dB softer": through(partial(noticed.noise, decibels=-10), noticed.a_law),
        "noise 5 dB softer": through(partial(noticed.noise, decibels=-5), noticed.a_law),
        "clock 500 ppm slow": partial(noticed.skewed, ppm=500),
        "clock 5,000 ppm slow": partial(noticed.skewed, ppm=5000),
        "clock 5,000 ppm fast": partial(noticed.skewed, ppm=-5000),
        "-15 dB, talked over 10 dB softer, 100 ppm, GSM, 5 % lost": through(
            partial(noticed.skewed, ppm=100),
            partial(noticed.mixed, other=talk, decibels=-10),
            partial(noticed.louder, decibels=-15),
            noticed.gsm,
            partial(noticed.lossy, share=0.05, burst=3),
        ),
    }


def heard_in(reference: Reference, call: Pcm) -> Heard | None:
    return noticed.heard(reference, call, within=600)


def tell_conditions(notices: list[Pcm]) -> None:
    references = [Reference(str(at), samples) for at, samples in enumerate(notices)]
    talk = np.concatenate(noticed.others())
    print("| condition | calls | announced | least heard | begins off by at most |\n|---|---|---|---|---|")
    for name, condition in conditions().items():
        chance = random.Random(name)
        shares, errors = [], []
        for reference, samples in zip(references, notices, strict=True):
            for _ in range(CALLS):
                before = chance.choice((noticed.music(12, chance.randrange(99)), talk))[
                    : chance.randrange(12 * RATE)
                ]
                call = np.concatenate((before, samples, noticed.silence(0.3), talk[: 5 * RATE]))
                changed = condition(call)
                found = heard_in(reference, changed)
                pace = len(changed) / len(call) if "ppm" in name else 1
                shares.append(found.share if found else 0.0)
                errors.append(abs(found.start - len(before) * pace) * 1000 // RATE if found else 0)
        count = sum(share >= ENOUGH for share in shares)
        print(f"| {name} | {len(shares)} | {count} | {min(shares):.0%} | {max(errors):.0f} ms |", flush=True)


def tell_cuts(notices: list[Pcm]) -> None:
    print("\n| played | announced | heard, least and most |\n|---|---|---|")
    for played in (0.3, 0.5, 0.6, 0.7, 0.75, 0.85, 0.9):
        shares = []
        for at, samples in enumerate(notices):
            reference = Reference(str(at), samples)
            cut = samples[: int(played * len(samples))]
            found = heard_in(
                reference, noticed.gsm(np.concatenate((noticed.music(3), cut, noticed.silence(5))))
            )
            shares.append(found.share if found else 0.0)
        count = sum(share >= ENOUGH for share in shares)
        print(
            f"| {played:.0%} | {count} of {len(shares)} | {min(shares):.0%} to {max(shares):.0%} |",
            flush=True,
        )


def read(path: Path) -> Pcm:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def calls_of(folder: Path) -> Iterator[tuple[set[str], Pcm]]:
    """The speaker's files in calls, each with their names."""
    files = sorted(folder.rglob("*.wav"))
    random.Random(1).shuffle(files)
    names: set[str] = set()
    pieces: list[Pcm] = []
    for path in files:
        names.add(path.name)
        pieces.append(read(path))
        if sum(map(len, pieces)) > CALL_SECONDS * RATE:
            yield names, noticed.a_law(np.concatenate(pieces))
            names, pieces = set(), []


def tell_speech(folder: Path, notices: list[Pcm]) -> None:
    searched = [("", Reference(f"notice {at}", samples)) for at, samples in enumerate(notices)]
    speakers = sorted(each for each in folder.iterdir() if each.is_dir())
    for speaker in speakers:
        files = sorted(speaker.rglob("*.wav"))
        random.Random(2).shuffle(files)
        searched += list(_references(files))[:CHOSEN]
    seconds, found = 0.0, []
    for speaker in speakers:
        for names, call in calls_of(speaker):
            spectrum = Spectrum()
            spectrum.take(call)
            sound = spectrum.result()
            seconds += len(call) / RATE
            for name, reference in searched:
                if name not in names and (heard := search(reference, sound, len(call))):
                    found.append((heard.share, reference.seconds, reference.name, speaker.name))
    hours = seconds / 3600
    print(
        f"\n{len(searched)} notices in {hours:.2f} hours of speech, {hours * len(searched):.0f} hours searched:"
    )
    for least in (ENOUGH, 0.6, 0.4, 0.0):
        print(f"  {least:.0%} or more heard: {sum(share >= least for share, *_ in found)}")
    for share, length, name, speaker_name in sorted(found, reverse=True)[:10]:
        print(f"  {share:.0%} of {name} ({length:.1f} s) in {speaker_name}")


def _references(files: list[Path]) -> Iterator[tuple[str, Reference]]:
    for path in files:
        try:
            yield path.name, Reference(path.name, read(path))
        except NoticeError:
            continue


def main() -> None:
    notices = [spoken(voice, text) for voice, text in NOTICES]
    print(", ".join(f"{len(samples) / RATE:.1f} s" for samples in notices))
    tell_conditions(notices)
    tell_cuts(notices)
    for folder in sys.argv[1:]:
        tell_speech(Path(folder), notices)


if __name__ == "__main__":
    main()
