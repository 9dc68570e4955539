"""What passes the benchmark's mirrored port: frames as telephones send them, and who records them."""

from __future__ import annotations

import asyncio
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bench import runner, sniffers
from bench.figures import Course
from bench.gateway import Gateway, GatewayError
from bench.load import Load
from bench.mirror import AGENT_PORT, SWITCH, TRUNK, TRUNK_PORT, Mirror, NoMirror, own_network
from bench.peers import PeerError
from bench.sending import ROOT, Sending
from bench.sniffers import Sniffer
from bench.tapped import MESSAGES, TappedCallers

PATIENCE, QUIET = 30.0, 2.0
SO_RCVBUFFORCE = 33  # <asm-generic/socket.h>
CALLS, AUDIO = 3, 60  # frames
# A recorder of the plainest kind: one pcap file of all UDP.
RECORDER = """
import signal, socket, struct, sys
opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
def end(*_):
    opened.settimeout(0)
    try:
        while True: keep(opened.recv(2000))
    except BlockingIOError:
        file.close()
        sys.exit()
def keep(frame):
    if frame[12:14] == b"\\x08\\x00":
        file.write(struct.pack("=4I", 0, 0, len(frame), len(frame)) + frame)
file = open(sys.argv[2], "wb")
file.write(struct.pack("=IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
signal.signal(signal.SIGINT, end)
opened.bind((sys.argv[1], 3))
while True: keep(opened.recv(2000))
"""


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with own_network():
        yield Mirror(0)


def hear(opened: socket.socket, count: int) -> list[bytes]:
    """So many frames of IPv4; the kernel itself says something by IPv6 now and then."""
    frames: list[bytes] = []
    opened.settimeout(PATIENCE)
    while len(frames) < count:
        frame = opened.recv(2000)
        if frame[12:14] == b"\x08\x00":
            frames.append(frame)
    return frames


def left(opened: socket.socket) -> int:
    """How many more frames of IPv4 there are, when nothing is sent any more."""
    opened.settimeout(QUIET)
    count = 0
    with suppress(TimeoutError):
        while True:
            count += opened.recv(2000)[12:14] == b"\x08\x00"
    return count


def listener(mirror: Mirror) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    opened.bind((mirror.port, 3))
    return opened


def read_by_tshark(path: Path, *fields: str) -> list[list[str]]:
    columns = (word for field in fields for word in ("-e", field))
    checked = ("-o", "ip.check_checksum:TRUE", "-o", "rtp.heuristic_rtp:TRUE")
    ended = subprocess.run(
        ["tshark", "-r", path, *checked, "-T", "fields", *columns], capture_output=True, text=True, check=True
    )
    return [line.split("\t") for line in ended.stdout.splitlines()]


def written(path: Path, frames: list[bytes]) -> Path:
    records = b"".join(struct.pack("=4I", 0, 0, len(each), len(each)) + each for each in frames)
    path.write_bytes(struct.pack("=IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + records)
    return path


def test_frames_are_calls_between_a_trunk_and_agents(mirror: Mirror, tmp_path: Path) -> None:
    with listener(mirror) as heard:
        with TappedCallers(Load(), mirror) as callers:
            callers.establish(1)
        said = hear(heard, MESSAGES)
        with Sending(Load(), 4, mirror.phones) as sending:
            sending.add([(2, 0), (3, 0)])
            sending.play(True)
            audio = hear(heard, 6)
            sending.play(False)
    fields = ("ip.checksum.status", "ip.src", "ip.dst", "udp.srcport", "udp.dstport", "udp.length")
    rows = read_by_tshark(written(tmp_path / "audio.pcap", audio), *fields, "rtp.p_type", "rtp.payload")
    assert {row[0] for row in rows} == {"1"}  # good
    trunk, agent = [TRUNK, str(TRUNK_PORT + 2)], ["10.1.0.2", str(AGENT_PORT)]
    ways = {tuple(row[1:5]) for row in rows}
    assert ways == {(trunk[0], agent[0], trunk[1], agent[1]), (agent[0], trunk[0], agent[1], trunk[1])}
    assert {(row[5], row[6], len(row[7])) for row in rows} == {("180", "8", 320)}
    told = read_by_tshark(
        written(tmp_path / "said.pcap", said),
        *("ip.checksum.status", "ip.src", "ip.dst", "sip.Method", "sip.Status-Code"),
        *("sdp.connection_info.address", "sdp.media.port"),
    )
    assert told == [
        ["1", TRUNK, SWITCH, "INVITE", "", trunk[0], trunk[1]],
        ["1", SWITCH, TRUNK, "", "200", agent[0], agent[1]],
        ["1", TRUNK, SWITCH, "ACK", "", "", ""],
    ]


def test_who_is_not_root_is_told_that_it_must_be_so() -> None:
    code = (
        "import os; from bench.mirror import NoMirror, own_network\n"
        "os.setuid(65534)\n"
        "try:\n with own_network(): pass\nexcept NoMirror as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "needs root" in ended.stdout


def test_without_root_all_but_a_mirrored_port_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refused() -> Iterator[None]:
        raise NoMirror("it needs root")
        yield

    async def measured(course: Course, folder: Path, say: runner.Say, mirror: Mirror | None) -> bool:
        return mirror is None

    monkeypatch.setattr(runner, "own_network", refused)
    monkeypatch.setattr(runner, "_run", measured)
    assert asyncio.run(runner.run(Course(1, 1), tmp_path))
    with pytest.raises(GatewayError, match="it needs root"):
        asyncio.run(runner.run(Course(1, 1, tap=True), tmp_path))


def test_what_a_sniffer_keeps_is_counted_without_signalling(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sniffers, "COMMANDS", {sys.executable: ("-c", RECORDER.replace("{", "{{").replace("}", "}}"), "{interface}", "{file}")})  # fmt: skip
    sniffer = Sniffer(sys.executable, tmp_path / "kept", CALLS, Load(), mirror)
    with listener(mirror) as heard, sniffer:
        hear(heard, CALLS * MESSAGES)
        with Sending(Load(), 2 * CALLS, mirror.phones) as sending:
            sending.add(list(enumerate(sniffer.ports)))
            sending.play(True)
            hear(heard, AUDIO)
        rest = left(heard)
    assert sniffer.kept == AUDIO + rest


def test_a_sniffer_that_does_not_start_says_why(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("ls")
    assert program
    monkeypatch.setattr(sniffers, "COMMANDS", {program: ("/nowhere/{interface}",)})
    with (
        pytest.raises(PeerError, match="No such file"),
        Sniffer(program, tmp_path / "kept", 1, Load(), mirror),
    ):
        raise AssertionError("it does not listen")


def test_calls_at_a_mirrored_port_are_recorded_without_a_packet_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "FILL_SECONDS", 0.5)

    def no_presses(_: Gateway) -> list[float]:
        return []

    monkeypatch.setattr(runner, "presses", no_presses)
    course = Course(CALLS, 0.5, pairs=1, tap=True, halfway=False)
    found = asyncio.run(runner.run(course, tmp_path))
    assert found.taken.states == {"recorded": CALLS + runner.first_calls()}
    assert (found.taken.missing, found.taken.wrong, found.tap_dropped) == (0, 0, 0)
    assert found.taken.delivered > 0
    assert found.setup_ms.p50 is None
