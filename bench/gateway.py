"""The gateway under test: a process of its own, with a folder, ports and settings of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from bench.ports import HOST, check_room, free_port, free_range
from bench.sending import ROOT

START_SECONDS, STOP_SECONDS = 60.0, 60.0
POLL_SECONDS = 0.05
PORTS_PER_CALL = 4  # an even one a leg, and the odd one above it
SPARE_PORTS = 64  # that others may take meanwhile
DESCRIPTORS_PER_CALL = 3

Settings = Mapping[str, Mapping[str, object]]
Json = dict[str, Any]


class GatewayError(Exception):
    """The gateway cannot be measured; the text says why."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """One scrape."""

    samples: Mapping[str, float]  # by name; those that differ in labels added up
    buckets: Mapping[str, Mapping[float, float]]  # of histograms, by upper end

    def __getitem__(self, name: str) -> float:
        return self.samples.get(f"hushtap_{name}", 0.0)

    def most(self, name: str, before: Metrics) -> float:
        """The upper end of the highest bucket of a histogram that has grown since; 0 when none has."""
        now, then = (each.buckets.get(f"hushtap_{name}", {}) for each in (self, before))
        ends = sorted(now)
        for end, below in zip(ends[::-1], [*ends[-2::-1], None], strict=True):
            grown = now[end] - then.get(end, 0.0)
            if grown > (now[below] - then.get(below, 0.0) if below is not None else 0.0):
                return end
        return 0.0


class Gateway:
    """It records from entry to exit; ends no process but its own."""

    def __init__(self, folder: Path, calls: int, settings: Settings | None = None) -> None:
        folder.mkdir(parents=True, mode=0o700)
        self._config, self._log = folder / "hushtap.toml", folder / "gateway.log"
        self.server, self._metrics_port, self.api_port = (HOST, free_port()), free_port(), free_port()
        self._config.write_text(self._toml(calls, settings or {}), encoding="utf-8")

    def _toml(self, calls: int, settings: Settings) -> str:
        ports = PORTS_PER_CALL * calls + SPARE_PORTS
        first = free_range(ports)
        table: dict[str, dict[str, object]] = {
            "sip": {"address": HOST, "port": self.server[1]},
            "media": {
                "first_port": first,
                "last_port": first + ports - 1,
                "max_calls": calls,
            },
            "storage": {"directory": "data", "min_free_megabytes": 16},
            "load": {"busy_percent": 100, "late_milliseconds": 4000},  # what is too much is to be seen
            "metrics": {"address": HOST, "port": self._metrics_port},
            "api": {"address": HOST, "port": self.api_port, "requests_per_second": 1000},
        }
        for section, values in settings.items():
            table.setdefault(section, {}).update(values)
        return "".join(
            f"[{section}]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
            for section, values in table.items()
        )

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--config", str(self._config)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while " ready: " not in (told := self._log.read_text(encoding="utf-8")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise GatewayError(f"the gateway did not begin to record:\n{told}")
            time.sleep(POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    def metrics(self) -> Metrics:
        with urllib.request.urlopen(f"http://{HOST}:{self._metrics_port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        samples: dict[str, float] = {}
        buckets: dict[str, dict[float, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                samples[sample.name] = samples.get(sample.name, 0.0) + sample.value
                if "le" in sample.labels:
                    buckets.setdefault(family.name, {})[float(sample.labels["le"])] = sample.value
        return Metrics(samples, buckets)

    @cached_property
    def token(self) -> str:
        """What lets its holder press every key of every call."""
        return self._run("agents", "add", "bench", "--extension", "*").strip()

    def listed(self, *words: str) -> list[Json]:
        """What a `hushtap` command prints as a JSON list."""
        printed: list[Json] = json.loads(self._run(*words, "--json"))
        return printed

    def _run(self, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, "-m", "gateway", "--config", str(self._config), *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode > 1:
            raise GatewayError(f"hushtap {words[0]} ended with {ended.returncode}: {ended.stderr.strip()}")
        return ended.stdout

    def _stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @staticmethod
    def _environment() -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("HUSHTAP_")}
        return inherited | {"PYTHONPATH": str(ROOT)}


def check_limits(calls: int) -> None:
    """Raises GatewayError or NoPorts when this machine's limits have no room for so many calls."""
    check_room(PORTS_PER_CALL * calls + SPARE_PORTS)
    needed, (_, most) = DESCRIPTORS_PER_CALL * calls + 200, resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < needed:
        raise GatewayError(
            f"{most:,} open files a process, {needed:,} are needed for so many calls: raise `ulimit -Hn`"
        )
