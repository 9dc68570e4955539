"""What others cost that record what passes a mirrored port: each on one of its own, with the same calls.

tcpdump writes every frame and knows no calls: less than any recorder does, and so a bound. sngrep (Debian: sngrep) follows SIP
and keeps the audio of its calls, in one pcap file. Neither encrypts or leaves anything out.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.load import Load
from bench.mirror import Mirror
from bench.peers import PeerError, packets
from bench.tapped import MESSAGES, TappedCallers

START_SECONDS, STOP_SECONDS = 20.0, 60.0
POLL_SECONDS = 0.02
BUFFER_MEGABYTES = 64  # for frames that wait, as the gateway has it
SETTLE_SECONDS = 0.5  # libpcap takes its filter after it listens, and forgets what came before
SET_UP_SECONDS = 0.002  # between two calls

# How each is told the interface and the file.
COMMANDS: Mapping[str, Sequence[str]] = {
    "tcpdump": ("-n", "-Z", "root", "-B", str(BUFFER_MEGABYTES << 10), "-i", "{interface}", "-w", "{file}", "udp"),
    "sngrep": ("-N", "-q", "-F", "-r", "-B", str(BUFFER_MEGABYTES), "-d", "{interface}", "-O", "{file}"),
}  # fmt: skip


def installed() -> list[str]:
    return [name for name in COMMANDS if shutil.which(name)]


class Sniffer:
    """It records from entry to exit; all its calls are set up."""

    def __init__(self, name: str, folder: Path, calls: int, load: Load, mirror: Mirror) -> None:
        folder.mkdir(parents=True)
        self._name, self._calls = name, calls
        self._load, self._mirror = load, mirror
        self._file, self._log = folder / "frames.pcap", folder / "log"
        self.kept = 0  # packets of audio in its file, once it has ended

    def __enter__(self) -> Self:
        words = (word.format(interface=self._mirror.port, file=self._file) for word in COMMANDS[self._name])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._name, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait()
            time.sleep(SETTLE_SECONDS)
            with TappedCallers(self._load, self._mirror) as callers:
                for number in range(self._calls):
                    callers.establish(number)
                    time.sleep(SET_UP_SECONDS)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        if kind is None:
            self.kept = packets(self._file) - MESSAGES * self._calls
        self._file.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ports(self) -> list[int]:
        """One a leg, though on an interface nothing is sent to them."""
        return [0] * (2 * self._calls)

    def _wait(self) -> None:
        """Until it listens. Raises PeerError."""
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self.pid):
            if self._process.poll() is not None or time.monotonic() > deadline:
                told = self._log.read_text(encoding="utf-8", errors="replace")
                raise PeerError(f"{self._name} does not listen: {told.strip()}")
            time.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _listens(pid: int) -> bool:
    """Whether a process has a packet socket that hears an interface (proc(5), /proc/net/packet)."""
    own = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(handle))
        except FileNotFoundError:  # closed meanwhile
            continue
    lines = Path("/proc/thread-self/net/packet").read_text(encoding="ascii").splitlines()[1:]
    sockets = (line.split() for line in lines)  # ..., interface, running, ..., inode
    return any(
        f"socket:[{fields[8]}]" in own and int(fields[4]) > 0 and fields[5] == "1" for fields in sockets
    )
