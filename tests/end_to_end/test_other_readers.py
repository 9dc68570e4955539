"""What is stored, read by programs that are none of ours: Tink opens it, ffmpeg plays it."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end import judge
from tests.end_to_end.conftest import Recorded


def decoded(plain: bytes, track: int) -> judge.Samples:
    """One track's samples by the ffmpeg program, which reads from a pipe: it cannot seek."""
    command = f"ffmpeg -v fatal -f matroska -i pipe:0 -map 0:{track} -f s16le pipe:1".split()
    ended = subprocess.run(command, input=plain, capture_output=True, check=False)
    return np.frombuffer(ended.stdout, "<i2")


@pytest.fixture(scope="module")
def plain(recorded: Recorded) -> bytes:
    (part,) = judge.plaintexts(recorded.gateway.storage, recorded.listed["PCMA 20 ms"]["recordings"][0])
    return part


@pytest.fixture(scope="module")
def payloads(recorded: Recorded) -> list[bytes]:
    """What was sent on each leg."""
    return [b"".join(sent.audio().values()) for sent in recorded.outcomes["PCMA 20 ms"].legs]


def sealed_parts(recorded: Recorded) -> Iterator[tuple[str, Path]]:
    for call in recorded.listed.values():
        for recording in call["recordings"]:
            yield from ((recording["id"], Path(part["path"])) for part in recording["parts"])


def test_tink_opens_every_part(recorded: Recorded) -> None:
    parts = list(sealed_parts(recorded))
    assert len(parts) == len(recorded.listed)
    for recording_id, path in parts:
        plain = judge.unseal(path, judge.unwrap(recorded.gateway.storage, recording_id), recording_id)
        assert plain.startswith(bytes.fromhex("1a45dfa3"))


def test_ffmpeg_plays_it(plain: bytes, payloads: list[bytes]) -> None:
    for track, payload in enumerate(payloads):
        judge.place_in(decoded(plain, track), judge.decode(payload, "PCMA"))


def lies_in(stored: bytes, payload: bytes) -> int:
    """How many of a leg's octets are stored, packet by packet, however much else there is between them."""
    at, count = 0, 0
    while count < len(payload) and (at := stored.find(payload[count : count + 160], at)) >= 0:
        count += 160
    return count


@pytest.mark.parametrize("cut", random.Random(6).sample(range(3_000, 95_000), 6))
def test_ffmpeg_plays_what_is_left_of_a_cut_file(plain: bytes, payloads: list[bytes], cut: int) -> None:
    """Of what lies before the cut, less than a quarter of a second of a leg is not played."""
    for track, payload in enumerate(payloads):
        samples = decoded(plain[:cut], track)
        whole = max(0, samples.size - judge.SECOND // 10)  # the block that is cut may be garbled
        assert whole > lies_in(plain[:cut], payload) - judge.SECOND // 4
        assert np.array_equal(samples[:whole], judge.decode(payload, "PCMA")[:whole])
