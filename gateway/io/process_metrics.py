"""What Prometheus sees of the gateway's processes: processor time, memory, open files. No label tells of a person."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

NS = 1e9
PAGE = resource.getpagesize()


def resident_bytes() -> int:
    """Memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


class ProcessMetrics(Collector):
    """A part of Metrics. The control process is asked at each scrape; the others say how they do, since none of them
    lets another process look at it."""

    def __init__(self) -> None:
        self._cpu_ns: Counter[str] = Counter()
        self._resident: dict[str, int] = {}
        self._started = time.time()

    def used(self, process: str, cpu_ns: int, resident: int) -> None:
        """A process used so much processor time since it last said so, and has so much memory in use."""
        self._cpu_ns[process] += cpu_ns
        self._resident[process] = resident

    def ended(self, process: str) -> None:
        """Its memory is free again; the time that it used counts on."""
        self._resident.pop(process, None)

    def collect(self) -> Iterable[Metric]:
        cpu = CounterMetricFamily(
            "hushtap_cpu_seconds", "Processor time, user and system", labels=["process"]
        )
        memory = GaugeMetricFamily("hushtap_resident_bytes", "Memory in use", labels=["process"])
        cpu.add_metric(["control"], time.process_time())
        memory.add_metric(["control"], resident_bytes())
        for process, spent in list(self._cpu_ns.items()):
            cpu.add_metric([process], spent / NS)
        for process, resident in list(self._resident.items()):
            memory.add_metric([process], resident)
        yield cpu
        yield memory
        yield GaugeMetricFamily(
            "hushtap_open_files", "Open files of the control process", len(os.listdir("/proc/self/fd"))
        )
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        yield GaugeMetricFamily("hushtap_open_files_limit", "Files that a process may have open", most)
        yield GaugeMetricFamily(
            "hushtap_start_time_seconds", "When the gateway started, UTC since 1970", self._started
        )
