"""Sound in every payload format, as senders put it into packets."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import av
import numpy as np
import numpy.typing as npt

from gateway.codecs.codec import Codec
from gateway.codecs.registry import by_name

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Coded:
    """A stream of packets that all last the same."""

    codec: Codec
    payloads: list[bytes]
    ticks: int  # that each lasts


def sound(seconds: float, rate: int, seed: int = 1) -> Pcm:
    """Voiced syllables, their pitch rising, with breath between them."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (110 * time + 10 * time**2)
    voiced = sum(np.sin(k * phase) / k for k in range(1, 9))
    breath = np.random.default_rng(seed).normal(size=time.size) * 0.05
    return np.asarray(5000 * (voiced * np.sin(np.pi * 3 * time) ** 2 + breath), np.int16)


def ffmpeg(data: bytes, *options: str) -> bytes:
    command = ["ffmpeg", "-v", "error", *options, "-"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def encoded(name: str, pcm: Pcm, rate: int, frame: int, **options: str) -> list[bytes]:
    """Packets of a libavcodec encoder."""
    context = av.CodecContext.create(name, "w")
    assert isinstance(context, av.audio.codeccontext.AudioCodecContext)
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    context.sample_rate, context.layout, context.format = rate, ("mono", "stereo")[channels - 1], "s16"
    context.options = options
    packets: list[bytes] = []
    for at in range(0, len(pcm) - frame + 1, frame):
        piece = pcm[at : at + frame].reshape(1, -1)
        sent = av.AudioFrame.from_ndarray(piece, format="s16", layout=context.layout.name)
        sent.rate, sent.pts = rate, at
        packets += map(bytes, context.encode(sent))
    return packets + [bytes(packet) for packet in context.encode(None)]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data) - size + 1, size)]


def g711(milliseconds: int = 20) -> Coded:
    data = ffmpeg(sound(2, 8000).tobytes(), "-f", "s16le", "-ar", "8000", "-i", "-", "-f", "alaw")
    return Coded(by_name("PCMA", 8000), cut(data, 8 * milliseconds), 8 * milliseconds)


def g722(milliseconds: int = 20) -> Coded:
    data = ffmpeg(sound(2, 16_000).tobytes(), "-f", "s16le", "-ar", "16000", "-i", "-", "-f", "g722")
    return Coded(by_name("G722", 8000), cut(data, 8 * milliseconds), 8 * milliseconds)


def gsm(frames: int = 1) -> Coded:
    data = ffmpeg(sound(2, 8000).tobytes(), "-f", "s16le", "-ar", "8000", "-i", "-", "-f", "gsm")
    return Coded(by_name("GSM", 8000), cut(data, 33 * frames), 160 * frames)


def g729(frames: int = 2) -> Coded:
    """There is no free encoder: any bits are a frame, and decoders must agree on what they say."""
    data = np.random.default_rng(729).integers(0, 256, 10 * 200, np.uint8).tobytes()
    return Coded(by_name("G729", 8000), cut(data, 10 * frames), 80 * frames)


def ilbc(milliseconds: int = 30, frames: int = 1) -> Coded:
    """Any bits whose start state is in range (RFC 3951 section 3.1) and that do not end with the loss mark."""
    size = {20: 38, 30: 50}[milliseconds]
    bits = np.random.default_rng(3951).integers(0, 2, (60, size * 8), np.uint8)
    if milliseconds == 20:
        bits[:, 20:22] = (0, 1)
    else:
        bits[:, 40:43] = (0, 0, 1)
    bits[:, -1] = 0
    data = np.packbits(bits, axis=1).tobytes()
    return Coded(by_name("ILBC", 8000), cut(data, size * frames), 8 * milliseconds * frames)


def g726(kilobits: int = 32, aal2: bool = False, milliseconds: int = 20) -> Coded:
    raw = ("-f", "s16le", "-ar", "8000", "-i", "-")
    form = "g726" if aal2 else "g726le"
    data = ffmpeg(sound(2, 8000).tobytes(), *raw, "-c:a", form, "-b:a", f"{kilobits}k", "-f", form)
    codec = by_name(f"{'AAL2-' if aal2 else ''}G726-{kilobits}", 8000)
    return Coded(codec, cut(data, kilobits * milliseconds // 8), 8 * milliseconds)


def g7231(frames: int = 1) -> Coded:
    """At 6.3 kbit/s; there is no free encoder for the other rate."""
    raw = ("-f", "s16le", "-ar", "8000", "-i", "-")
    data = ffmpeg(sound(2, 8000).tobytes(), *raw, "-c:a", "g723_1", "-b:a", "6300", "-f", "g723_1")
    return Coded(by_name("G723", 8000), cut(data, 24 * frames), 240 * frames)


def g7231_mixed() -> list[bytes]:
    """Frames of all four kinds, by turns: any bits are one of 5.3 kbit/s whose pitches there are, and one of silence."""
    random = np.random.default_rng(7231)
    fast, slow = g7231().payloads, []
    for _ in fast:
        bits = random.integers(0, 2, 160, np.uint8)
        bits[:2] = (1, 0)
        bits[[32, 41]] = 0  # the highest bit of either pitch; the lowest comes first
        bits[[55, 67, 79, 91]] = 0  # and of the gains
        slow.append(np.packbits(bits, bitorder="little").tobytes())
    mixed = []
    for at, (one, other) in enumerate(zip(fast, slow, strict=True)):
        noise = bytes((random.integers(0, 64) << 2 | 2, *random.integers(0, 256, 3)))
        mixed += [one, other] + ([noise, b"\3"] if at % 10 == 9 else [])
    return mixed


def speex_packets(pcm: Pcm, rate: int, *options: str) -> list[bytes]:
    raw = ("-f", "s16le", "-ar", str(rate), "-i", "-")
    file = ffmpeg(pcm.tobytes(), *raw, "-c:a", "libspeex", *options, "-f", "ogg")
    with av.open(io.BytesIO(file), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def speex(rate: int = 8000, frames: int = 1) -> Coded:
    packets = speex_packets(sound(2, rate), rate, "-frames_per_packet", str(frames))
    return Coded(by_name("SPEEX", rate), packets[: 100 // frames], rate // 50 * frames)


def dvi4(rate: int = 8000, samples: int = 160, pcm: Pcm | None = None) -> Coded:
    """The codes of one ADPCM stream, and before each packet's what a decoder has come to there."""
    codes = b"".join(encoded("adpcm_ima_ssi", sound(2, rate) if pcm is None else pcm, rate, 2048))
    before = np.append(np.int16(0), adpcm(codes, rate))
    payloads, index = [], 0
    for at, octets in enumerate(cut(codes, samples // 2)):
        payloads.append(struct.pack(">hBx", int(before[at * samples]), index) + octets)
        for code in (code for octet in octets for code in (octet >> 4, octet & 15)):
            index = min(max(index + (-1, -1, -1, -1, 2, 4, 6, 8)[code & 7], 0), 88)
    return Coded(by_name("DVI4", rate), payloads, samples)


def adpcm(codes: bytes, rate: int) -> Pcm:
    """What libavcodec makes of the codes of one stream, without headers."""
    context = av.CodecContext.create("adpcm_ima_ssi", "r")
    assert isinstance(context, av.audio.codeccontext.AudioCodecContext)
    context.sample_rate, context.layout = rate, "mono"
    frames = context.decode(av.Packet(codes))
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.int16)


def linear(rate: int = 16_000, channels: int = 1, samples: int = 320) -> Coded:
    pcm = np.stack([sound(2, rate, seed) for seed in range(channels)], axis=1)
    data = cut(pcm.astype(">i2").tobytes(), 2 * channels * samples)
    return Coded(by_name("L16", rate, channels), data, samples)


def opus(milliseconds: float = 20, channels: int = 1) -> Coded:
    pcm = np.stack([sound(2, 48_000, seed) for seed in range(channels)], axis=1)
    ticks = int(48 * milliseconds)
    packets = encoded(
        "libopus",
        pcm[:, 0] if channels == 1 else pcm,
        48_000,
        ticks,
        frame_duration=f"{milliseconds:g}",
        b="32000",
    )
    return Coded(by_name("OPUS", 48_000, 2), packets, ticks)


def amr_stored() -> list[bytes]:
    """Frames as AMR files hold them, an octet of header each."""
    return encoded("libopencore_amrnb", sound(2, 8000), 8000, 160, b="12200")


def amr_wide_stored() -> list[bytes]:
    random = np.random.default_rng(1)
    return [bytes((0x44,)) + random.integers(0, 256, 60, np.uint8).tobytes()[:59] + b"\0" for _ in range(50)]


def amr(aligned: bool, frames: int = 1, wide: bool = False) -> Coded:
    """RFC 4867 section 4: the table of contents, then speech; no mode requested (15)."""
    stored = amr_wide_stored() if wide else amr_stored()
    rate, bits = (16_000, 477) if wide else (8000, 244)
    codec = by_name("AMR-WB" if wide else "AMR", rate, 1, "octet-align=1" if aligned else "")
    groups = [stored[at : at + frames] for at in range(0, len(stored) - frames + 1, frames)]
    pack = _aligned if aligned else _packed
    return Coded(codec, [pack(group, bits) for group in groups], rate // 50 * frames)


def _aligned(group: list[bytes], bits: int) -> bytes:
    entries = [frame[0] | 0x80 for frame in group[:-1]] + [group[-1][0]]
    return bytes((0xF0, *entries)) + b"".join(frame[1:] for frame in group)


def _packed(group: list[bytes], bits: int) -> bytes:
    kinds = [f"{frame[0] >> 2 & 0x1F:05b}" for frame in group]
    text = "1111" + "".join("1" + kind for kind in kinds[:-1]) + "0" + kinds[-1]
    for frame in group:
        text += "".join(f"{octet:08b}" for octet in frame[1:])[:bits]
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8)


SAMPLES: dict[str, Callable[[], Coded]] = {
    "PCMA": g711,
    "G722": g722,
    "GSM": gsm,
    "GSM 60 ms": lambda: gsm(3),
    "G729": g729,
    "G729 60 ms": lambda: g729(6),
    "iLBC 30 ms": ilbc,
    "iLBC 20 ms": lambda: ilbc(20),
    "iLBC 60 ms": lambda: ilbc(20, 3),
    "L16 wideband": linear,
    "L16 stereo": lambda: linear(48_000, 2, 240),
    "L16 at an odd rate": lambda: linear(44_100, 1, 441),
    "L16 at an odd rate and size": lambda: linear(11_025, 1, 110),
    "Opus": opus,
    "Opus stereo": lambda: opus(channels=2),
    "Opus 2.5 ms": lambda: opus(2.5),
    "Opus 60 ms": lambda: opus(60),
    "Opus 120 ms": lambda: opus(120),
    "G726-16": lambda: g726(16),
    "G726-24": lambda: g726(24, milliseconds=30),
    "G726-32": g726,
    "G726-40": lambda: g726(40, milliseconds=10),
    "AAL2-G726-16": lambda: g726(16, True),
    "AAL2-G726-24": lambda: g726(24, True),
    "AAL2-G726-32": lambda: g726(32, True, 60),
    "AAL2-G726-40": lambda: g726(40, True),
    "G723": g7231,
    "G723 60 ms": lambda: g7231(2),
    "Speex": speex,
    "Speex wideband": lambda: speex(16_000),
    "Speex ultra-wideband": lambda: speex(32_000),
    "Speex 60 ms": lambda: speex(8000, 3),
    "Speex wideband 40 ms": lambda: speex(16_000, 2),
    "DVI4": dvi4,
    "DVI4 wideband": lambda: dvi4(16_000, 320),
    "DVI4 at an odd rate": lambda: dvi4(11_025, 220),
    "DVI4 at another odd rate": lambda: dvi4(22_050, 442),
    "AMR": lambda: amr(aligned=True),
    "AMR, packed": lambda: amr(aligned=False),
    "AMR, three frames": lambda: amr(aligned=True, frames=3),
    "AMR, packed, three frames": lambda: amr(aligned=False, frames=3),
    "AMR-WB": lambda: amr(aligned=True, wide=True),
    "AMR-WB, packed, two frames": lambda: amr(aligned=False, frames=2, wide=True),
}


def samples() -> Iterator[tuple[str, Coded]]:
    yield from ((name, make()) for name, make in SAMPLES.items())
