"""What codecs for voices leave of keys in the audio: `python -m tests.recording.bench_coded_keys [NAME ...]`.

Every row is 48 tones through one encoder and the engine, without a card rule: how many are keys and how many are masked,
how many spandsp and multimon-ng name before, and in what is stored. The encoders are Debian's libbcg729-0 and
libvo-amrwbenc0, those of PyAV and ffmpeg, and pjsua2's of iLBC, which the extra `endpoint` brings.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from importlib.metadata import files

import numpy as np

from bench.inband import CHARACTERS, Point, Spandsp, Wave, in_order, multimon, tones
from gateway.codecs.registry import by_name
from gateway.recording.messages import Keyed, LegPlan, PayloadFormat
from gateway.recording.model import Cause, Role
from gateway.recording.narrowband import Voice
from gateway.redaction.rules import CardRule, Rules
from tests.codecs.coded import Pcm, cut, encoded, ffmpeg
from tests.recording.simulation import PCMA, PLAN, SECOND, Datagram, play, rtp

TONES = 48
EXPECTED = (CHARACTERS * TONES)[:TONES]
POINTS = {
    "50 ms": Point(),
    "25 ms": Point(length=25),
    "100 ms": Point(length=100),
    "40 ms, -20 dBm0, 6 dB": Point(-20, 6, length=40),
}
ALIGNED = "octet-align=1"  # RFC 4867 section 4.4: a payload is an octet that asks for nothing, then the stored frame
NO_REQUEST = b"\xf0"

Coded = tuple[list[bytes], int, PayloadFormat]  # payloads, ticks of each, format
Coder = Callable[[Wave], Coded]


def pcm(wave: Wave, rate: int = 8000) -> Pcm:
    """At another rate, by its spectrum."""
    if rate != 8000:
        size = len(wave) * rate // 8000
        full = np.zeros(size // 2 + 1, complex)
        spectrum = np.fft.rfft(wave)
        full[: len(spectrum)] = spectrum
        wave = np.asarray(np.fft.irfft(full, size) * (size / len(wave)), np.float32)
    return np.clip(np.rint(wave), -32_768, 32_767).astype(np.int16)


def by_ffmpeg(wave: Wave, name: str, rate: int, size: int, form: PayloadFormat) -> Coded:
    raw = pcm(wave, rate).tobytes()
    data = ffmpeg(raw, "-f", "s16le", "-ar", str(rate), "-i", "-", "-f", name)
    return cut(data, size), 160, form


def opus(wave: Wave, rate: int) -> Coded:
    packets = encoded("libopus", pcm(wave, 48_000), 48_000, 960, frame_duration="20", b=str(rate))
    return packets, 960, PayloadFormat(98, "OPUS", 48_000, 2)


def amr(wave: Wave, rate: int) -> Coded:
    frames = encoded("libopencore_amrnb", pcm(wave), 8000, 160, b=str(rate))
    return [NO_REQUEST + frame for frame in frames], 160, PayloadFormat(96, "AMR", 8000, 1, ALIGNED)


def amr_wb(wave: Wave, mode: int) -> Coded:
    library = ctypes.CDLL("libvo-amrwbenc.so.0")
    library.E_IF_init.restype = ctypes.c_void_p
    state, room, frames = ctypes.c_void_p(library.E_IF_init()), ctypes.create_string_buffer(128), []
    for piece in pieces(pcm(wave, 16_000), 320):
        size = library.E_IF_encode(state, mode, piece.ctypes.data_as(ctypes.c_void_p), room, 0)
        frames.append(NO_REQUEST + room.raw[:size])
    return frames, 320, PayloadFormat(97, "AMR-WB", 16_000, 1, ALIGNED)


def g729(wave: Wave) -> Coded:
    library = ctypes.CDLL("libbcg729.so.0")
    library.initBcg729EncoderChannel.restype = ctypes.c_void_p
    state, room = ctypes.c_void_p(library.initBcg729EncoderChannel(0)), ctypes.create_string_buffer(16)
    frames, length = [], ctypes.create_string_buffer(1)
    for piece in pieces(pcm(wave), 80):
        library.bcg729Encoder(state, piece.ctypes.data_as(ctypes.c_void_p), room, length)
        frames.append(room.raw[:10])
    return cut(b"".join(frames), 20), 160, PayloadFormat(18, "G729", 8000)


def ilbc(wave: Wave, milliseconds: int) -> Coded:
    (path,) = [file.locate() for file in files("pjsua2-pybind11") or () if "ilbccodec" in file.name]
    library, state = ctypes.CDLL(str(path)), ctypes.create_string_buffer(65_536)
    size, room, frames = library.initEncode(state, milliseconds), ctypes.create_string_buffer(64), []
    for piece in pieces(pcm(wave), 8 * milliseconds):
        block = piece.astype(np.float32)
        library.iLBC_encode(room, block.ctypes.data_as(ctypes.c_void_p), state)
        frames.append(room.raw[:size])
    return frames, 8 * milliseconds, PayloadFormat(99, "ILBC", 8000)


def pieces(sound: Pcm, size: int) -> list[Pcm]:
    return [np.ascontiguousarray(sound[at : at + size]) for at in range(0, len(sound) - size + 1, size)]


CODERS: dict[str, Coder] = {
    "A-law": partial(by_ffmpeg, name="alaw", rate=8000, size=160, form=PCMA),
    "G.722": partial(by_ffmpeg, name="g722", rate=16_000, size=160, form=PayloadFormat(9, "G722", 8000)),
    "Opus 32 kbit/s": partial(opus, rate=32_000),
    "Opus 10 kbit/s": partial(opus, rate=10_000),
    "GSM": partial(by_ffmpeg, name="gsm", rate=8000, size=33, form=PayloadFormat(3, "GSM", 8000)),
    "iLBC 20 ms": partial(ilbc, milliseconds=20),
    "iLBC 30 ms": partial(ilbc, milliseconds=30),
    "G.729": g729,
    **{f"AMR {rate / 1000:g}": partial(amr, rate=rate) for rate in (12_200, 7950, 5900, 4750)},
    **{f"AMR-WB {rate:g}": partial(amr_wb, mode=mode) for rate, mode in ((23.85, 8), (12.65, 2), (6.6, 0))},
}


def measure(coder: Coder, point: Point) -> str:
    """The cells of one row."""
    wave = tones(point)[0][:TONES].ravel()
    payloads, ticks, form = coder(wave)
    every = ticks * SECOND // form.clock_rate
    datagrams = [
        Datagram(every * n, 0, rtp(n, n * ticks, payload, payload_type=form.payload_type))
        for n, payload in enumerate(payloads)
    ]
    plan = replace(PLAN, legs=(LegPlan(Role.EXTERNAL, (form,)), LegPlan(Role.AGENT, (PCMA,))))
    rules = Rules(card=CardRule(active=False))
    played = play(datagrams, plan=plan, closed=every * len(payloads), rules=rules)
    keys = sum(event.count for event in played.events if isinstance(event, Keyed))
    masks = sum(each.cause is Cause.DTMF for each in played.finished.redactions)
    codec = by_name(form.name, form.clock_rate, form.channels, form.parameters)
    before, voice = Voice(codec).hear(payloads), Voice(codec)
    left = np.zeros(len(wave) + 8000, np.float32)
    for time, payload in played.blocks(Role.EXTERNAL):
        said = voice.hear([payload])[: len(left) - time]
        left[time : time + len(said)] = said
    named = [in_order(EXPECTED, found) for found in (Spandsp().digits(before), multimon(before))]
    after = [len(Spandsp().digits(left)), len(multimon(left))]
    return " | ".join(map(str, (keys, masks, *named, *after)))


def main(names: list[str]) -> None:
    print(
        "| codec | tones | keys | masked | spandsp | multimon-ng | left for spandsp | left for multimon-ng |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in names or CODERS:
        for label, point in POINTS.items():
            print(f"| {name} | {label} | {measure(CODERS[name], point)} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
