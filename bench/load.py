"""What calls are to be like, and their payload as a table of packets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import av
import numpy as np
import numpy.typing as npt

from gateway.demo import speech

Octets = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Samples = npt.NDArray[np.int16]
Keys = Literal["none", "events", "inband"]

ROLES = ("external", "agent")  # of a call's two legs, in the order of its offer
KEY_SECONDS = 10  # between two keys pressed on one leg
KEY_MS = 100
KEY_FREQUENCIES = ((697, 770, 852, 941), (1209, 1336, 1477))  # ITU-T Q.23
KEY_LEVEL = 0.2  # of full scale, each of the two tones
G722_OCTETS, G711_OCTETS = 8, 8  # a millisecond
OPUS_BITS = 24_000  # a second; G.722 has a rate of its own


class LoadError(Exception):
    """The load asked for cannot be made; the text says why."""


@dataclass(frozen=True, slots=True)
class Format:
    """How a codec is offered and encoded."""

    payload_type: int
    clock_rate: int
    sample_rate: int
    channels: int = 1  # as offered
    encoder: str = ""  # of ffmpeg; none: G.711, or GSM, which its libraries at hand only decode
    octets: int = 0  # of a frame, where all are alike
    frame_ms: int = 1


FORMATS = {
    "PCMA": Format(8, 8000, 8000, octets=G711_OCTETS),
    "PCMU": Format(0, 8000, 8000, octets=G711_OCTETS),
    "G722": Format(9, 8000, 16_000, encoder="g722", octets=G722_OCTETS),
    "GSM": Format(3, 8000, 8000, octets=33, frame_ms=20),
    "opus": Format(111, 48_000, 48_000, 2, "libopus"),
}


@dataclass(frozen=True, slots=True)
class Load:
    """Every call of a run is like this."""

    codec: str = "PCMA"
    ptime_ms: int = 20
    sound: Literal["speech", "noise"] = "speech"
    loss: float = 0.0  # probability that a packet is not sent
    jitter_ms: float = 0.0  # longest delay of a packet; longer than a packet it reorders
    muted: float = 0.0  # share of calls whose agent's stream stops for two of every four seconds
    keys: Keys = "none"  # a key on every leg every ten seconds: as RFC 4733 events, or as tones in the audio
    suite: str = ""  # of SRTP (RFC 4568 section 6.2); none: plain RTP
    seed: int = 1

    def __post_init__(self) -> None:
        if self.codec not in FORMATS:
            raise LoadError(f"there is no load in {self.codec}; there is in {', '.join(FORMATS)}")
        if self.ptime_ms % max(5, self.format.frame_ms):
            least = max(5, self.format.frame_ms)
            raise LoadError(f"packets of {self.ptime_ms} ms in {self.codec}: a multiple of {least} is needed")
        if self.suite and (self.muted or self.keys == "events"):
            raise LoadError("SRTP is sent on streams that never stop and carry no events: leave one out")

    @property
    def format(self) -> Format:
        return FORMATS[self.codec]

    @property
    def ticks(self) -> int:
        """RTP timestamp units of a packet."""
        return self.format.clock_rate * self.ptime_ms // 1000

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    @classmethod
    def of_json(cls, table: dict[str, Any]) -> Self:
        return cls(**table)


@dataclass(frozen=True, slots=True)
class Clip:
    """Payloads of both roles, one after the other in one array; each leg goes round in its role's."""

    octets: Octets
    starts: Ints  # by role and packet
    lengths: Ints


def clip(load: Load) -> Clip:
    """The payload of a load, some seconds of it."""
    packets = [list(_packets(load, _sound(load, place))) for place in range(len(ROLES))]
    count = min(map(len, packets))
    lengths = np.array([[len(packet) for packet in role[:count]] for role in packets], np.int64)
    ends = np.cumsum(lengths.ravel()).reshape(lengths.shape)
    blob = b"".join(packet for role in packets for packet in role[:count])
    return Clip(np.frombuffer(blob, np.uint8), ends - lengths, lengths)


def _sound(load: Load, place: int) -> Samples:
    if load.sound == "noise":
        noise = np.random.default_rng(load.seed + place).normal(0, 3000, 10 * load.format.sample_rate)
        samples = np.clip(noise, -32_768, 32_767).astype(np.int16)
    else:
        samples = np.repeat(speech.samples("inbound", ROLES[place]), load.format.sample_rate // speech.RATE)
    return _with_keys(samples, load.format.sample_rate) if load.keys == "inband" else samples


def _with_keys(samples: Samples, rate: int) -> Samples:
    """A key in the place of the sound every ten seconds, at least once."""
    pressed = samples.copy()
    time = np.arange(rate * KEY_MS // 1000) / rate
    rows, columns = KEY_FREQUENCIES
    for number, at in enumerate(range(rate, len(samples) - len(time), KEY_SECONDS * rate)):
        pair = (rows[number % len(rows)], columns[number % len(columns)])
        tone = np.sin(2 * np.pi * np.outer(pair, time)).sum(axis=0)
        pressed[at : at + len(time)] = (32_767 * KEY_LEVEL * tone).astype(np.int16)
    return pressed


def _packets(load: Load, samples: Samples) -> Iterator[bytes]:
    form = load.format
    if load.codec == "GSM":
        yield from _cut(_gsm(len(samples) // 160, load.seed), form.octets * load.ptime_ms // form.frame_ms)
    elif not form.encoder:
        yield from _cut(speech.encode(samples, load.codec), form.octets * load.ptime_ms)
    elif form.octets:
        encoded = b"".join(_encode(form, samples, {}))
        yield from _cut(encoded, form.octets * load.ptime_ms // form.frame_ms)
    else:
        yield from _encode(form, samples, {"frame_duration": str(load.ptime_ms), "application": "voip"})


def _gsm(frames: int, seed: int) -> bytes:
    """Frames with the mark of GSM 06.10 (RFC 3551 section 4.5.8.1) and nothing to be heard in them."""
    octets = np.random.default_rng(seed).integers(0, 256, (frames, 33), np.uint8)
    octets[:, 0] = octets[:, 0] & 0x0F | 0xD0
    return octets.tobytes()


def _cut(octets: bytes, size: int) -> Iterator[bytes]:
    return (octets[at : at + size] for at in range(0, len(octets) - size + 1, size))


def _encode(form: Format, samples: Samples, options: dict[str, str]) -> Iterator[bytes]:
    encoder = av.CodecContext.create(form.encoder, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = form.sample_rate, "mono", av.AudioFormat("s16")
    encoder.bit_rate, encoder.options = OPUS_BITS, options
    encoder.open()
    frame = av.AudioFrame.from_ndarray(samples[None], "s16", "mono")
    frame.sample_rate = form.sample_rate
    fifo = av.AudioFifo()
    fifo.write(frame)
    size = encoder.frame_size or form.sample_rate // 50
    while (piece := fifo.read(size)) is not None:
        yield from map(bytes, encoder.encode(piece))
