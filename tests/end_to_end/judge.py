"""Judges that are no part of the program: ffmpeg decodes G.711 and reads Matroska, Tink opens sealed parts."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Samples = npt.NDArray[np.int16]
Octets = npt.NDArray[np.int16]  # 0 to 255; NOTHING where there is no audio

NOTHING = -1
SECOND = 8000
FFMPEG_NAMES = {"PCMA": "alaw", "PCMU": "mulaw"}
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


@cache
def _table(codec: str) -> Samples:
    """What each of the 256 octets of a G.711 law decodes to."""
    command = f"ffmpeg -v error -f {FFMPEG_NAMES[codec]} -ar 8000 -ac 1 -i pipe:0 -f s16le pipe:1".split()
    decoded = subprocess.run(command, input=bytes(range(256)), capture_output=True, check=True).stdout
    return np.frombuffer(decoded, "<i2")


def decode(payload: bytes, codec: str) -> Samples:
    """G.711 to PCM, by ffmpeg."""
    return _table(codec)[np.frombuffer(payload, np.uint8)]


def place_in(samples: Samples, wanted: Samples) -> int:
    """Where a long stretch of audio begins in an export; fails unless it is there, sample for sample."""
    first = samples.tobytes().find(wanted[: SECOND // 8].tobytes())
    assert first >= 0, "the beginning of the stretch is not in the export"
    assert first % 2 == 0
    found = samples[first // 2 : first // 2 + wanted.size]
    assert np.array_equal(found, wanted), f"{np.count_nonzero(found != wanted[: found.size])} samples differ"
    return first // 2


@dataclass(frozen=True, slots=True)
class Opened:
    """A part's plaintext, and what of it lies where on the call clock: one array of octets a leg."""

    plaintext: bytes
    legs: dict[str, Octets]


class Vault:
    """A storage folder read with the private key by nothing of the program's own."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        key = load_pem_private_key((storage / "keys" / "vault.key").read_bytes(), None)
        assert isinstance(key, X25519PrivateKey)
        self._key = key

    def data_key(self, recording_id: str) -> bytes:
        document: Any = json.loads(
            (self._storage / "wrapped" / recording_id[-2:] / f"{recording_id}.json").read_bytes()
        )
        sealed = base64.b64decode(document["sealed"]["data"])
        return SUITE.decrypt(sealed, self._key, b"hushtap data key " + recording_id.encode())


def demux(plaintext: bytes) -> dict[str, Octets]:
    """The payload of each track by its name, on the call clock."""
    legs: dict[str, Octets] = {}
    with av.open(io.BytesIO(plaintext), format="matroska") as container:
        for packet in container.demux():
            if packet.pts is None:
                continue
            assert packet.time_base is not None
            start = round(packet.pts * packet.time_base * SECOND)
            payload = np.frombuffer(bytes(packet), np.uint8)
            name = packet.stream.metadata["title"]
            leg = legs.get(name, np.empty(0, np.int16))
            if leg.size < start + payload.size:
                leg = np.concatenate((leg, np.full(start + payload.size - leg.size, NOTHING, np.int16)))
            leg[start : start + payload.size] = payload
            legs[name] = leg
    return legs
