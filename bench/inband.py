"""How keys are found in the audio, beside spandsp and multimon-ng: `python -m bench.inband [--speech FILE ...]`.

Every point is 200 tones through A-law; with --codecs, each of a few points through other codecs, as ffmpeg codes them. Of each finder the share of the tones that it names is told; of ours also how
many are masked, and how many keys the other two still find in what is left. Speech is 8 kHz, 16-bit, mono, raw.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.codecs.g711 import A_LAW
from gateway.redaction.inband import Found, Listener
from gateway.redaction.inband_exact import HIGH, KEYS, LOW, RATE

CHARACTERS = "123A456B789C*0#D"
DIGITS = [key for row in KEYS for key in row]
LEVELS = np.sort(A_LAW.table.astype(np.float32))
GUARD = 40 * RATE // 1000
ROWS = 200
LENGTH = 4000  # samples of a row: a tone and silence, or noise, about it
MULTIMON_RATE = 22_050
PIECE = RATE // 2

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Point:
    """What all tones of one row of the table have in common."""

    level: float = -16.0  # dBm0 of the louder tone
    twist: float = 0.0  # dB by which the low tone is louder
    low: float = 0.0  # % by which the frequencies are off
    high: float = 0.0
    length: float = 50.0  # ms
    noise: float | None = None  # dB below the tone, white


def a_law(wave: npt.NDArray[np.floating]) -> Wave:
    """To the nearest value that A-law has."""
    edges = (LEVELS[1:] + LEVELS[:-1]) / 2
    return LEVELS[np.searchsorted(edges, wave)]


def tones(point: Point, seed: int = 1) -> tuple[Wave, npt.NDArray[np.int64]]:
    """Rows with one tone each, the keys in turn, and where it begins."""
    chance = np.random.default_rng(seed)
    count = round(point.length * RATE / 1000)
    peak = 32_768 * 10 ** ((point.level - 3.14) / 20)
    louder = np.array([10 ** (min(point.twist, 0) / 20), 10 ** (-max(point.twist, 0) / 20)]) * peak
    starts = chance.integers(1200, 1600, ROWS)
    rows = np.zeros((ROWS, LENGTH))
    for row, start in enumerate(starts.tolist()):
        pair = LOW[row % 16 // 4] * (1 + point.low / 100), HIGH[row % 4] * (1 + point.high / 100)
        for hertz, amplitude in zip(pair, louder, strict=True):
            phase = 2 * np.pi * (hertz * np.arange(count) / RATE + chance.random())
            rows[row, start : start + count] += amplitude * np.sin(phase)
    if point.noise is not None:
        rows += chance.normal(size=rows.shape) * np.sqrt((louder**2).sum() / 2 / 10 ** (point.noise / 10))
    return a_law(rows), starts


def listen(rows: Wave, piece: int = PIECE, coded: bool = False) -> list[Found]:
    """`coded`: they were through a codec that models speech."""
    listener, found = Listener(len(rows)), {}
    numbers = np.arange(len(rows))
    for number in numbers.tolist():
        listener.reset(number, coded)
    pressed = set()
    for at in range(0, rows.shape[1], piece):
        part = np.ascontiguousarray(rows[:, at : at + piece])
        for tone in listener.find(part, numbers, np.full(len(rows), part.shape[1])):
            name = tone.row, tone.start, tone.digit
            pressed |= {name} if tone.press else set()
            found[name] = tone
    return [replace(tone, press=name in pressed) for name, tone in found.items()]


def masked(rows: Wave, found: list[Found]) -> Wave:
    """The rows with every tone and its guards silent."""
    left = rows.copy()
    for tone in found:
        left[tone.row, max(0, tone.start - GUARD) : tone.stop + GUARD] = 0
    return left


class Spandsp:
    """libspandsp's DTMF receiver as it comes."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("spandsp") or "libspandsp.so.2")
        self._library.dtmf_rx_init.restype = ctypes.c_void_p
        self._library.dtmf_rx_init.argtypes = [ctypes.c_void_p] * 3
        self._library.dtmf_rx.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
        self._library.dtmf_rx_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        self._library.dtmf_rx_free.argtypes = [ctypes.c_void_p]

    def digits(self, wave: Wave) -> str:
        state = self._library.dtmf_rx_init(None, None, None)
        text = ""
        for at in range(0, len(wave), RATE):  # it keeps 128 digits
            samples = np.ascontiguousarray(wave[at : at + RATE].astype(np.int16))
            self._library.dtmf_rx(state, samples.ctypes.data, len(samples))
            room = ctypes.create_string_buffer(129)
            self._library.dtmf_rx_get(state, room, 128)
            text += room.value.decode()
        self._library.dtmf_rx_free(state)
        return text


def multimon(wave: Wave) -> str:
    """The digits that multimon-ng prints."""
    text = ""
    for at in range(0, len(wave), 600 * RATE):
        part = wave[at : at + 600 * RATE]
        spectrum = np.fft.rfft(part)
        size = len(part) * MULTIMON_RATE // RATE
        full = np.zeros(size // 2 + 1, complex)
        full[: len(spectrum)] = spectrum
        raised = np.fft.irfft(full, size) * (size / len(part))
        sound = np.clip(raised, -32_768, 32_767).astype("<i2").tobytes()
        command = ["multimon-ng", "-q", "-t", "raw", "-a", "DTMF", "-"]
        told = subprocess.run(command, input=sound, capture_output=True, check=True).stdout.decode()
        text += "".join(line.split()[-1] for line in told.splitlines() if line.startswith("DTMF:"))
    return text


def in_order(expected: str, told: str) -> int:
    """How many of the expected digits were told, in their order: the longest common subsequence."""
    best = np.zeros(len(told) + 1, int)
    for digit in expected:
        previous = best.copy()
        for at, other in enumerate(told):
            best[at + 1] = previous[at] + 1 if digit == other else max(best[at], previous[at + 1])
    return int(best[-1])


@dataclass(frozen=True)
class Coding:
    """How ffmpeg codes a codec."""

    options: tuple[str, ...]
    rate: int = RATE
    speech: bool = True  # as the registry has it
    form: str = "matroska"


CODINGS = {
    "G.722": Coding(("-c:a", "g722"), 16_000, False),
    "Opus, 24 kbit/s": Coding(("-c:a", "libopus", "-b:a", "24k", "-application", "voip"), 48_000, False),
    "GSM": Coding(("-c:a", "libgsm"), form="gsm"),
    "G.726, 40 kbit/s": Coding(("-c:a", "g726", "-b:a", "40k"), speech=False),
    "G.726, 32 kbit/s": Coding(("-c:a", "g726", "-b:a", "32k"), speech=False),
    "G.726, 24 kbit/s": Coding(("-c:a", "g726", "-b:a", "24k"), speech=False),
    "G.726, 16 kbit/s": Coding(("-c:a", "g726", "-b:a", "16k"), speech=False),
    "DVI4": Coding(("-c:a", "adpcm_ima_wav"), speech=False, form="wav"),
    "Speex, 8 kHz, 15 kbit/s": Coding(("-c:a", "libspeex", "-b:a", "15k"), form="ogg"),
    "Speex, 8 kHz, 8 kbit/s": Coding(("-c:a", "libspeex", "-b:a", "8k"), form="ogg"),
    "Speex, 16 kHz, 28 kbit/s": Coding(("-c:a", "libspeex", "-b:a", "28k"), 16_000, form="ogg"),
    "G.723.1, 6.3 kbit/s": Coding(("-c:a", "g723_1", "-b:a", "6300")),
}


def through(coding: Coding, rows: Wave) -> Wave:
    """The rows as they come out of a codec, in their places."""
    raw = ("-f", "s16le", "-ar", str(RATE), "-i", "-")
    sound = np.clip(np.rint(rows.ravel()), -32_768, 32_767).astype("<i2").tobytes()
    coded = _ffmpeg(sound, *raw, "-ar", str(coding.rate), *coding.options, "-f", coding.form)
    heard = np.frombuffer(_ffmpeg(coded, "-i", "-", "-ar", str(RATE), "-f", "s16le"), "<i2").astype(
        np.float32
    )
    before = np.fft.rfft(rows.ravel(), 2 * rows.size).conj()
    late = int(np.fft.irfft(np.fft.rfft(heard, 2 * rows.size) * before)[: RATE // 10].argmax())
    placed = np.zeros(rows.size, np.float32)
    part = heard[late : late + rows.size]
    placed[: len(part)] = part
    return placed.reshape(rows.shape)


def _ffmpeg(data: bytes, *options: str) -> bytes:
    command = ["ffmpeg", "-v", "error", *options, "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def measure(point: Point, judges: bool = True, coding: Coding | None = None) -> dict[str, float]:
    """Counts of 200: keys pressed by ours, tones masked, keys named by the others, keys left for them."""
    rows, starts = tones(point)
    if coding:
        rows = through(coding, rows)
    found = listen(rows, coded=coding is not None and coding.speech)
    stops = starts + round(point.length * RATE / 1000)
    right = [tone for tone in found if tone.digit is DIGITS[tone.row % 16]]
    pressed = {tone.row for tone in right if tone.press}
    covered = {
        tone.row
        for tone in found
        if tone.start - GUARD <= starts[tone.row] and tone.stop + GUARD >= stops[tone.row]
    }
    result: dict[str, float] = {"pressed": len(pressed), "masked": len(covered)}
    result["wrong"] = sum(tone.press for tone in found) - len(pressed)
    if judges:
        expected = (CHARACTERS * (ROWS // 16 + 1))[:ROWS]
        spandsp, left = Spandsp(), masked(rows, found)
        result["spandsp"] = sum(expected[row] in spandsp.digits(wave) for row, wave in enumerate(rows))
        result["multimon"] = in_order(expected, multimon(rows.ravel()))
        result["left"] = sum(len(spandsp.digits(wave)) for wave in left) + len(multimon(left.ravel()))
    return result


BASE = Point()
TABLE = (
    *(replace(BASE, length=length) for length in (23, 25, 30, 35, 40, 50, 70, 100)),
    *(replace(BASE, twist=twist) for twist in (-8, -6, -4, 4, 6, 8, 10)),
    *(replace(BASE, low=off, high=off) for off in (-2.5, -1.5, -1, 1, 1.5, 2.5)),
    *(replace(BASE, noise=noise) for noise in (20, 15, 12, 10, 8, 6)),
    *(replace(BASE, level=level) for level in (-3, -10, -30, -36, -45, -60)),
    *(Point(-36, 8, off, off, length, 15) for off in (-1.5, 0, 1.5) for length in (23, 40)),
    *(Point(-36, -4, off, -off, length, 15) for off in (-1.5, 1.5) for length in (23, 40)),
)


CODED = (
    Point(-20, length=50),
    Point(-20, length=40),
    Point(-20, 6, length=40),
    Point(-20, length=25),
    Point(-30),
)


def describe(point: Point) -> str:
    noise = "-" if point.noise is None else f"{point.noise:g}"
    off = f"{point.low:+g}" if point.low == point.high else f"{point.low:+g}/{point.high:+g}"
    return f"| {point.length:g} | {point.level:g} | {point.twist:+g} | {off} | {noise} "


def speech(path: Path) -> str:
    """False masks and presses of a file of speech."""
    sound = a_law(np.fromfile(path, "<i2").astype(np.float32))
    rows = sound[: len(sound) // 16 * 16].reshape(16, -1)
    began = time.process_time()
    found = listen(rows)
    cost = (time.process_time() - began) / (len(sound) / RATE) * 1e6
    longest = max((tone.stop - tone.start + 2 * GUARD for tone in found), default=0) * 1000 / RATE
    others = len(Spandsp().digits(sound)), len(multimon(sound))
    return (
        f"| {path.stem} | {len(sound) / RATE / 3600:.2f} | {len(found)} | {longest:.0f} "
        f"| {sum(tone.press for tone in found)} | {others[0]} | {others[1]} | {cost:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, nargs="*", default=[])
    parser.add_argument("--codecs", action="store_true")
    options = parser.parse_args()
    names = ("pressed", "masked", "wrong", "spandsp", "multimon", "left")
    points: list[tuple[Point, str, Coding | None]] = [(point, "A-law", None) for point in TABLE]
    if options.codecs:
        points = [(point, name, coding) for name, coding in CODINGS.items() for point in CODED]
    print(
        "| codec | ms | dBm0 | twist dB | off % | SNR dB | pressed | masked | wrong | spandsp | multimon-ng | left |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for point, name, coding in points:
        got = measure(point, coding=coding)
        columns = "".join(f"| {got[name]} " for name in names)
        print(f"| {name} {describe(point)}{columns}|", flush=True)
    if options.speech:
        print(
            "\n| speech | hours | false masks | longest ms | presses | spandsp | multimon-ng | us a leg-second |"
        )
        print("|---|---|---|---|---|---|---|---|")
    for path in options.speech:
        print(speech(path), flush=True)


if __name__ == "__main__":
    main()
