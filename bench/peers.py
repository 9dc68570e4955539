"""What others cost on the same load: rtpengine (Debian: rtpengine-daemon), driven over its ng control protocol.

It writes what it records as pcap files, in the clear. Its kernel module is not used: the gateway has none either.
What it sends on goes to a socket that is full, so the cost of its forwarding is told too low rather than too high.
"""

from __future__ import annotations

import itertools
import mmap
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import Load
from bench.ports import HOST, free_port, free_range

PROGRAM = "rtpengine"
PORTS_PER_CALL = 4  # RTP and RTCP, to either side
ANSWER_SECONDS, START_SECONDS, STOP_SECONDS = 5.0, 20.0, 20.0
PATIENCE_SECONDS = 86_400  # without media, which it gets only in its windows
SINK_BYTES = 4096
FILE_HEADER, RECORD_HEADER = 24, 16  # of a pcap file

Value = str | bytes | int | list["Value"] | dict[str, "Value"]


class PeerError(Exception):
    """A peer does not do what it is asked; the text says what."""


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


class Rtpengine:
    """It records from entry to exit, and sends on what it takes unless told not to; `ports` has two a call."""

    def __init__(self, folder: Path, calls: int, load: Load, forwards: bool) -> None:
        folder.mkdir(parents=True)
        self._folder, self._calls, self._load, self._forwards = folder, calls, load, forwards
        self._order = itertools.count()
        self.ports: list[int] = []
        self.kept = 0  # packets in its files, once it has ended

    def __enter__(self) -> Self:
        port, ports = free_port(), PORTS_PER_CALL * self._calls + 20
        first = free_range(ports)
        command = [
            *(
                PROGRAM,
                "--config-file=none",
                "--foreground",
                "--log-stderr",
                "--log-level=3",
                "--table=-1",
                f"--interface={HOST}",
            ),
            *(f"--listen-ng={HOST}:{port}", f"--port-min={first}", f"--port-max={first + ports}"),
            *(f"--timeout={PATIENCE_SECONDS}", f"--silent-timeout={PATIENCE_SECONDS}"),
            *("--recording-method=pcap", f"--recording-dir={self._folder}", "--recording-format=raw"),
        ]
        with (self._folder / "rtpengine.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._control = socket.socket(type=socket.SOCK_DGRAM)
        self._control.connect((HOST, port))
        self._sink = socket.socket(type=socket.SOCK_DGRAM)  # takes what is sent on; nobody reads it
        self._sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SINK_BYTES)
        self._sink.bind((HOST, 0))
        try:
            self._wait()
            for number in range(self._calls):
                self._set_up(f"call-{number}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for number in range(self._calls):
                self._ask({"command": "delete", "call-id": f"call-{number}", "delete-delay": 0})
        self._stop()
        self.kept = sum(map(packets, self._folder.rglob("*.pcap")))

    @property
    def pid(self) -> int:
        return self._process.pid

    def _set_up(self, name: str) -> None:
        sdp = self._sdp()
        call: dict[str, Value] = {"call-id": name, "from-tag": "external", "sdp": sdp, "record call": "on"}
        call |= {"ICE": "remove", "flags": ["trust-address", "asymmetric"]}
        to_agent = self._ask({"command": "offer", **call})
        to_external = self._ask({"command": "answer", "to-tag": "agent", **call})
        if not self._forwards:
            self._ask({"command": "block media", "call-id": name})
        for told in (to_external, to_agent):
            found = re.search(rb"m=audio (\d+)", told)
            if not found:
                raise PeerError(f"{PROGRAM} answered {told[:200]!r}")
            self.ports.append(int(found[1]))

    def _sdp(self) -> str:
        form, port = self._load.format, self._sink.getsockname()[1]
        channels = f"/{form.channels}" if form.channels > 1 else ""
        lines = [
            *("v=0", f"o=- 1 1 IN IP4 {HOST}", "s=-", f"c=IN IP4 {HOST}", "t=0 0"),
            f"m=audio {port} RTP/AVP {form.payload_type}",
            f"a=rtpmap:{form.payload_type} {self._load.codec}/{form.clock_rate}{channels}",
            f"a=ptime:{self._load.ptime_ms}",
        ]
        return "".join(f"{line}\r\n" for line in lines)

    def _ask(self, command: Mapping[str, Value]) -> bytes:
        """Raises PeerError when it is not done."""
        what = str(command["command"])
        cookie = f"{next(self._order)} ".encode()
        self._control.send(cookie + bencode(dict(command)))
        self._control.settimeout(ANSWER_SECONDS)
        try:
            while not (answer := self._control.recv(65_535)).startswith(cookie):
                pass
        except OSError as error:
            raise PeerError(f"{PROGRAM} did not answer {what}: {error}") from error
        if not re.search(rb"6:result(2:ok|4:pong)", answer):
            raise PeerError(f"{PROGRAM} answered {what} with {answer[:200]!r}")
        return answer

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._ask({"command": "ping"})
            except PeerError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._control.close()
        self._sink.close()


def bencode(value: Value) -> bytes:
    match value:
        case dict():
            return b"d" + b"".join(bencode(name) + bencode(value[name]) for name in sorted(value)) + b"e"
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case int():
            return b"i%de" % value
        case str():
            return bencode(value.encode())
        case bytes():
            return b"%d:" % len(value) + value


def packets(path: Path) -> int:
    """How many a pcap file holds, one that is cut in its last record included."""
    size, count = path.stat().st_size, 0
    if size <= FILE_HEADER:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = FILE_HEADER
        while at + RECORD_HEADER <= size:
            at += RECORD_HEADER + int.from_bytes(data[at + 8 : at + 12], "little")
            count += 1
    return count
