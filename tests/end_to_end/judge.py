"""Judges that are no part of the program: ffmpeg decodes G.711 and reads Matroska, Tink opens sealed parts."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import tink
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.tink_judge import primitive

Samples = npt.NDArray[np.int16]
Octets = npt.NDArray[np.int16]  # a leg on the call clock: 0 to 255, and NOTHING where there is no audio

NOTHING = -1
SECOND = 8000  # samples, and units of the call clock
FFMPEG_NAMES = {"PCMA": "alaw", "PCMU": "mulaw"}
SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def decode(payload: bytes, codec: str) -> Samples:
    """G.711 to PCM, by ffmpeg."""
    return _table(codec)[np.frombuffer(payload, np.uint8)]


@cache
def _table(codec: str) -> Samples:
    """What each of the 256 octets of a G.711 law decodes to."""
    command = f"ffmpeg -v error -f {FFMPEG_NAMES[codec]} -ar 8000 -ac 1 -i pipe:0 -f s16le pipe:1".split()
    decoded = subprocess.run(command, input=bytes(range(256)), capture_output=True, check=True).stdout
    return np.frombuffer(decoded, "<i2")


def place_in(samples: Samples, wanted: Samples) -> int:
    """Where a long stretch of audio begins in an export; fails unless it is there, sample for sample."""
    first = samples.tobytes().find(wanted[: SECOND // 8].tobytes())
    assert first >= 0, "the beginning of the stretch is not in the export"
    found = samples[first // 2 : first // 2 + wanted.size]
    assert np.array_equal(found, wanted), f"{np.count_nonzero(found != wanted[: found.size])} samples differ"
    return first // 2


def octets(stretches: Iterable[tuple[int, bytes]]) -> Octets:
    """Stretches of payload, each at its position, as one array."""
    all_of_it = list(stretches)
    found = np.full(max((start + len(payload) for start, payload in all_of_it), default=0), NOTHING, np.int16)
    for start, payload in all_of_it:
        found[start : start + len(payload)] = np.frombuffer(payload, np.uint8)
    return found


def placed(stored: Octets, sent: Octets) -> int:
    """By how much a leg lies later on the call clock than it was sent; fails unless all that was sent is there."""
    (known,) = np.nonzero(sent != NOTHING)
    start = int(known[0])
    mark = sent[start : start + 40]
    assert (mark != NOTHING).all()
    at = stored.tobytes().find(mark.tobytes())
    assert at >= 0, "the first audio that was sent is not stored"
    by = at // 2 - start
    assert known[-1] + by < stored.size, f"{known[-1] + by - stored.size} samples of the end are missing"
    differing = np.count_nonzero(stored[known + by] != sent[known])
    assert not differing, f"{differing} of {known.size} octets are not stored at their place"
    return by


def length(leg: Octets) -> int:
    """How many octets there are."""
    return int(np.count_nonzero(leg != NOTHING))


def unwrap(storage: Path, recording_id: str) -> bytes:
    """A recording's data key, by HPKE with the private key in the storage folder."""
    private = load_pem_private_key((storage / "keys" / "vault.key").read_bytes(), None)
    assert isinstance(private, X25519PrivateKey)
    wrapped = storage / "wrapped" / recording_id[-2:] / f"{recording_id}.json"
    sealed = base64.b64decode(json.loads(wrapped.read_bytes())["data_key"]["sealed"])
    return SUITE.decrypt(sealed, private, b"hushtap data key " + recording_id.encode())


def unseal(part: Path, data_key: bytes, recording_id: str, *, torn: bool = False) -> bytes:
    """A part's plaintext, by Tink; of a torn one what is authentic before the tear."""
    plain = io.BytesIO()
    with part.open("rb") as file:
        stream: Any = primitive(data_key).new_decrypting_stream(file, recording_id.encode())
        try:
            while chunk := stream.read(1024):
                plain.write(chunk)
        except tink.TinkError:
            assert torn, f"{part.name} does not open"
    return plain.getvalue()


def plaintexts(storage: Path, recording: dict[str, Any]) -> list[bytes]:
    """Every part of a recording as `calls --json` lists it."""
    key = unwrap(storage, recording["id"])
    return [
        unseal(Path(part["path"]), key, recording["id"], torn=part["torn"]) for part in recording["parts"]
    ]


def legs(plain: Sequence[bytes]) -> dict[str, Octets]:
    """What the parts of a recording hold of each leg, on the call clock, by ffmpeg's demuxer."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    for part in plain:
        for role, start, payload in _packets(part):
            found.setdefault(role, []).append((start, payload))
    return {role: octets(stretches) for role, stretches in found.items()}


def _packets(plain: bytes) -> list[tuple[str, int, bytes]]:
    """Role, place on the call clock and payload of every packet."""
    with av.open(io.BytesIO(plain), "r", format="matroska") as container:
        roles = [stream.metadata["title"].partition(":")[0] for stream in container.streams]
        return [
            (roles[packet.stream.index], round(packet.pts * packet.time_base * SECOND), bytes(packet))
            for packet in container.demux()
            if packet.pts is not None
        ]
