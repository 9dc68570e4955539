"""The floor is built here and now, and keeps all that it is sent."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from bench import floor
from bench.floor import Floor, FloorError, build
from bench.ports import HOST
from bench.traffic import HEADER_BYTES

CALLS, PACKETS, PAYLOAD = 3, 40, 160
SEGMENT, TAG = 4096, 16  # octets, of floor.c


def test_every_packet_is_sealed_and_appended(tmp_path: Path) -> None:
    kept = Floor(build(tmp_path), CALLS, tmp_path / "files")
    with kept, socket.socket(type=socket.SOCK_DGRAM) as sender:
        assert len(set(kept.ports)) == 2 * CALLS
        for port in kept.ports:
            for number in range(PACKETS):
                sender.sendto(bytes(HEADER_BYTES) + bytes([number]) * PAYLOAD, (HOST, port))
    assert kept.kept is not None
    assert kept.kept.packets == 2 * CALLS * PACKETS
    plain = 2 * PACKETS * PAYLOAD
    segments = plain // (SEGMENT - TAG) + 1
    sizes = [path.stat().st_size for path in (tmp_path / "files").iterdir()]
    assert sizes == [plain + segments * TAG] * CALLS
    assert (kept.kept.bytes, kept.kept.segments) == (sum(sizes), CALLS * segments)


def test_what_is_stored_is_not_what_was_sent(tmp_path: Path) -> None:
    kept = Floor(build(tmp_path), 1, tmp_path / "files")
    with kept, socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(bytes(HEADER_BYTES) + b"spoken in the clear", (HOST, kept.ports[0]))
    assert b"spoken" not in (tmp_path / "files" / "0.sealed").read_bytes()


def test_without_a_compiler_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(floor, "COMPILERS", ("no-such-compiler",))
    with pytest.raises(FloorError, match="a C compiler is needed"):
        build(tmp_path)
