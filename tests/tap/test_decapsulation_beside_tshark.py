"""What wraps a datagram is read as tshark reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.tap.captures import interface, packet, section
from tests.tap.test_decapsulation import WAYS

# It does not know a file of labels alone, and what lies in a pseudowire it guesses by the makers of network cards.
UNKNOWN = {way for way in WAYS if "pseudowire" in way} | {"labels alone"}


def test_every_way_to_wrap_is_one_that_tshark_knows(tmp_path: Path) -> None:
    ways = [way for way in WAYS if way not in UNKNOWN]
    described = b"".join(interface(WAYS[way][0]) for way in ways)
    frames = b"".join(packet(place, WAYS[way][1], place) for place, way in enumerate(ways))
    (tmp_path / "ways.pcapng").write_bytes(section() + described + frames)
    command = ["tshark", "-r", str(tmp_path / "ways.pcapng"), "-T", "fields"]
    command += [part for name in ("udp.srcport", "udp.dstport", "_ws.col.Info") for part in ("-e", name)]
    command += ["-d", "udp.port==6000,sip", "-d", "udp.port==8472,vxlan"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    read = dict(zip(ways, (line.split("\t") for line in told), strict=True))
    wrong = {
        way: fields
        for way, fields in read.items()
        if (fields[0].split(",")[-1], fields[1].split(",")[-1]) != ("6000", "7000")
        or "INVITE" not in fields[2]
    }
    assert wrong == {}
