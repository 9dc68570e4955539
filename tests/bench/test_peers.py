"""What is said to a peer, and how what it kept is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import Value, bencode, packets


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("spam", b"4:spam"),
        ("é", b"2:\xc3\xa9"),
        (-3, b"i-3e"),
        ([], b"le"),
        (["a", 1], b"l1:ai1ee"),
        ({"b": "x", "a": ["y"]}, b"d1:al1:ye1:b1:xe"),
    ],
)
def test_bencode(value: Value, encoded: bytes) -> None:
    assert bencode(value) == encoded


def test_the_packets_of_a_pcap_file_are_counted(tmp_path: Path) -> None:
    records = b"".join(
        bytes(8) + size.to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(size)
        for size in (200, 0, 47)
    )
    file = tmp_path / "one.pcap"
    file.write_bytes(bytes(24) + records)
    assert packets(file) == 3
    file.write_bytes(bytes(24))
    assert packets(file) == 0
