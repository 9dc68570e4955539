"""A real gateway on free loopback ports in a folder of its own, and its command line, as other processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.request
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from gateway.codecs.rendering import Frames
from tests.patience import PATIENCE_SECONDS
from tests.ports import HOST, free_port, free_range

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "gateway")
START_SECONDS = 60.0
STOP_SECONDS = 60.0
COMMAND_SECONDS = 120.0
POLL_SECONDS = 0.05

T = TypeVar("T")
Json = dict[str, Any]


def until(what: str, condition: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """The condition's first true value; fails when there is none in so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not so after {seconds} s"
        time.sleep(POLL_SECONDS)
    return found


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Gateway:
    """A context manager that starts the gateway and stops it; it signals none but its own child's group.

    `media_ports` is how many it may use; `settings` override the written file, section by section.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        media_ports: int = 400,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self._program = program
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "gateway.log"
        self.server = HOST, free_port()
        self.metrics_port = free_port()
        self.api = f"http://{HOST}:{(api_port := free_port())}"
        first = free_range(media_ports)
        self._media_ports = range(first, first + media_ports)
        written: dict[str, dict[str, object]] = {
            "sip": {"address": HOST, "port": self.server[1]},
            "media": {"first_port": first, "last_port": first + media_ports - 1, "workers": 1},
            "storage": {"directory": "data", "min_free_megabytes": 16},
            "api": {"address": HOST, "port": api_port},
            "metrics": {"address": HOST, "port": self.metrics_port},
        }
        for section, values in (settings or {}).items():
            written.setdefault(section, {}).update(values)
        self.config = folder / "hushtap.toml"
        self.config.write_text(_toml(written), encoding="utf-8")
        self.storage = folder / str(written["storage"]["directory"])
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = process = subprocess.Popen(
                [*self._program, "serve"],
                cwd=self.folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def ready() -> bool:
            told = self.log.read_bytes()[begun:].decode()
            assert process.poll() is None, f"the gateway ended with {process.returncode}:\n{told}"
            return "ready: SIP " in told

        until("the gateway is ready", ready, START_SECONDS)

    def terminate(self) -> int:
        """SIGTERM to the gateway alone; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the whole process group of a gateway that still runs."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_SECONDS)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """The media workers: with the analyst, children of the gateway."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        return [
            int(pid) for pid in children if b"gateway.io.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def worker_pid(self) -> int:
        """The only media worker."""
        (child,) = self.worker_pids()
        return child

    def scrape(self) -> str:
        """All metrics, as Prometheus gets them."""
        url = f"http://{HOST}:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as answer:
            text: str = answer.read().decode()
            return text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.scrape())
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def media_ports_in_use(self) -> list[int]:
        """Where running calls take their media."""
        processes = (self.pid, *self.worker_pids())
        mine = {link for process in processes for link in _sockets(process)}
        with open("/proc/net/udp", encoding="ascii") as table:
            sockets = [line.split() for line in table.readlines()[1:]]
        bound = {int(each[1].rpartition(":")[2], 16) for each in sockets if f"socket:[{each[9]}]" in mine}
        return sorted(bound.intersection(self._media_ports))

    def wait_idle(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every call is stored as it ended."""
        until("all calls are stored", lambda: not self.metric("hushtap_calls_recording"), seconds)

    def run(self, *words: str) -> Printed:
        """One `hushtap` command to its end."""
        return hushtap(self.folder, *words)

    def calls(self) -> list[Json]:
        """What `calls --json` lists, oldest first."""
        printed = self.run("calls", "--json")
        assert printed.code == 0, printed.err
        listed: list[Json] = printed.json
        return listed[::-1]

    def call_of(self, number: str) -> Json:
        """The only call in which this number takes part."""
        (call,) = [c for c in self.calls() if number in {p["number"] for p in c["participants"]}]
        return call

    def verify(self) -> list[Json]:
        """What `verify --all --json` says; its exit code must agree."""
        printed = self.run("verify", "--all", "--json")
        verdicts: list[Json] = printed.json
        assert printed.code == (0 if all(verdict["ok"] for verdict in verdicts) else 1)
        return verdicts

    def export(self, call_id: str, leg: str = "both", rate: int = 8000) -> Frames:
        """The samples of a WAV export, one column a leg."""
        output = self.folder / f"{call_id}.{leg}.wav"
        printed = self.run(
            "export", call_id, "--format", "wav", "--leg", leg, "--output", str(output), "--reason", "a test"
        )
        assert printed.code == 0, printed.err
        with wave.open(str(output)) as file:
            assert (file.getframerate(), file.getsampwidth()) == (rate, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return samples.reshape(-1, file.getnchannels())


def at_once(*scenarios: Callable[[], T]) -> list[T]:
    """Run scenarios, which mostly wait, in threads of their own; their results in order."""
    with ThreadPoolExecutor(len(scenarios)) as threads:
        return list(threads.map(lambda scenario: scenario(), scenarios))


def hushtap(folder: Path, *words: str) -> Printed:
    """One `hushtap` command in a folder that holds a hushtap.toml."""
    ended = subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr
    return Printed(ended.returncode, ended.stdout, ended.stderr)


def _sockets(process: int) -> Iterator[str]:
    """The links of a process's descriptors, as long as they are there."""
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            yield os.readlink(handle)


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAP_")}
    return inherited | {"PYTHONPATH": str(ROOT)}


def _toml(settings: Mapping[str, Mapping[str, object]]) -> str:
    text = "".join(
        f"[{section}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
        for section, values in settings.items()
    )
    tomllib.loads(text)
    return text
