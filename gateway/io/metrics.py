"""What Prometheus sees. No label tells of a person or a call."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from http.server import HTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from gateway.config.watching import MetricsSettings
from gateway.io.append import Synced
from gateway.io.channel import Ticked
from gateway.io.endpoint_metrics import EndpointMetrics
from gateway.io.process_metrics import ProcessMetrics
from gateway.io.redaction_metrics import RedactionMetrics
from gateway.io.storage_metrics import StorageMetrics
from gateway.io.tap_metrics import TapMetrics
from gateway.recording.assurance import Why
from gateway.recording.model import CallState, LegReport
from gateway.recording.policy import Ground

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
NS = 1e9


class Metrics:
    """One registry, made once; its methods are called by the control process only. Workers are numbered from 0."""

    def __init__(self, workers: int = 1) -> None:
        self.registry = registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hushtap_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"hushtap_{name}", text, labels, registry=registry)

        def seconds(name: str, text: str, *labels: str) -> Histogram:
            return Histogram(f"hushtap_{name}_seconds", text, labels, registry=registry, buckets=SECONDS)

        self.calls_now = gauge(
            "calls_recording", "Calls being recorded, those whose last audio waits included"
        )
        self.setting_up = gauge("calls_setting_up", "Calls and sessions that are not answered yet")
        self.taking_calls = gauge("taking_calls", "1 when a new call would be recorded, 0 when it gets 503")
        self.calls_ended = counter("calls", "Calls by the state they ended in", "state")
        for state in CallState:
            if state is not CallState.RECORDING:
                self.calls_ended.labels(state.value)
        self.signalled = counter(
            "calls_signalled", "Calls that recording clients asked to have recorded, or that taps saw"
        )
        self.explained = counter(
            "calls_explained", "Calls that ended other than recorded, by the class of the reason", "why"
        )
        for why in Why:
            self.explained.labels(why.value)
        self.recovered = gauge(
            "recovered_calls", "Calls of an earlier run that this start had to put in order"
        )
        self.one_leg_now = gauge("calls_one_leg_now", "Running calls of which one party was never heard yet")
        self.without_media_now = gauge(
            "calls_without_media_now", "Running calls of which nobody was ever heard yet"
        )
        self._office_hours = gauge("office_hours", "1 when calls are expected by metrics.office_hours")
        self.setup = seconds("setup", "Time from an INVITE to its answer")
        self.refused = counter(
            "refused_requests", "SIP messages refused or not understood, by reason", "reason"
        )
        self._legs = (
            counter("rtp_packets", "RTP packets taken", "leg"),
            counter("rtp_lost_packets", "RTP packets that never came", "leg"),
            counter("rtp_late_packets", "RTP packets that came after their place was committed", "leg"),
            counter("rtp_duplicated_packets", "RTP packets that had come before", "leg"),
        )
        self.media_refused = counter(
            "media_refused_datagrams", "Datagrams on media ports that are no media", "kind"
        )
        self.media_stopped = counter("media_timeouts", "Calls ended because no media came")
        self._worker_calls = gauge("worker_calls", "Calls that a media worker has", "worker")
        self._ticks = counter("ticks", "Ticks of the media workers", "worker")
        self._busy = counter("tick_busy_seconds", "Processor time the media workers spent in ticks", "worker")
        self._lateness = seconds(
            "tick_lateness", "Per second, the most a tick began after its time", "worker"
        )
        self._sealed = counter("sealed_bytes", "Sealed bytes appended to recordings")
        self._sync = seconds("sync", "Time to make the storage durable, once a second")
        self._sync_failures = counter("sync_failures", "Flushes of the storage that failed")
        self.append_failures = counter("append_failures", "Recordings that could not be written on")
        self.speech = counter(
            "speech_analyses", "Calls whose speech was to be measured after their end", "outcome"
        )
        for outcome in ("measured", "failed", "overload", "stopped"):
            self.speech.labels(outcome)
        self._announced = counter(
            "announced_calls", "Ended calls that were to be searched for the notice, by outcome", "outcome"
        )
        for outcome in ("announced", "unannounced", "cut_off", "not_measured"):
            self._announced.labels(outcome)
        self.unrecorded = counter(
            "unrecorded_calls", "Calls that came to be not recorded, by ground", "ground"
        )
        for ground in Ground:
            self.unrecorded.labels(ground.value)
        self.discards = counter(
            "discarded_calls", "Calls of which nothing was kept though it had been recorded"
        )
        self.list_faults = counter("never_record_faults", "Times the never-record list could not be read")
        self.cuts = counter("cuts", "Calls that were to be cut after their end", "outcome")
        for outcome in ("done", "failed", "overload", "stopped"):
            self.cuts.labels(outcome)
        self.worker_restarts = counter(
            "worker_restarts", "Media workers replaced after their death", "worker"
        )
        for worker in range(workers):
            self.worker_restarts.labels(worker)
        self.memory_locked = gauge(
            "memory_locked", "1 when a media worker's memory can never be swapped out", "worker"
        )
        self.redaction = RedactionMetrics(registry)
        self.tap = TapMetrics(registry)
        self.endpoint = EndpointMetrics(registry)
        self.storage = StorageMetrics(registry)
        self.processes = ProcessMetrics()
        registry.register(self.processes)

    def serve(self, settings: MetricsSettings, free_bytes: Callable[[], int], reserve: int) -> HTTPServer:
        """Answer scrapes in a thread of its own; `reserve` bytes are kept free. Raises OSError when the port is taken."""
        self.storage.serve(free_bytes, reserve)
        self._office_hours.set_function(lambda: settings.expected(datetime.now(UTC)))
        server, _ = start_http_server(settings.port, settings.address, self.registry)
        return server

    def legs(self, changes: Iterable[tuple[LegReport, LegReport]]) -> None:
        """Counts of legs have grown; a late packet makes one lost less, which a counter cannot say."""
        packets, lost, late, duplicated = grown = [collections.Counter[str]() for _ in range(4)]
        for before, now in changes:
            role = now.role.value
            packets[role] += max(0, now.packets - before.packets)
            if now.lost != before.lost:
                lost[role] += max(0, now.lost - before.lost)
            if now.late != before.late:
                late[role] += now.late - before.late
            if now.duplicated != before.duplicated:
                duplicated[role] += now.duplicated - before.duplicated
        for metric, counts in zip(self._legs, grown, strict=True):
            for role, count in counts.items():
                metric.labels(role).inc(max(0, count))

    def announced(self, outcome: str, searched: bool) -> None:
        """What was found of the notice in a call; calls that needed none are not counted."""
        if searched:
            self._announced.labels(outcome).inc()

    def ticked(self, worker: int, report: Ticked, calls: int) -> None:
        """A worker's last second, and how many calls it has."""
        self._worker_calls.labels(worker).set(calls)
        self._ticks.labels(worker).inc(report.ticks)
        self._busy.labels(worker).inc(report.busy_ns / NS)
        self._lateness.labels(worker).observe(report.latest_ns / NS)
        self.processes.used(f"worker-{worker}", report.cpu_ns, report.resident_bytes)

    def worker_lost(self, worker: int) -> None:
        self.worker_restarts.labels(worker).inc()
        self.processes.ended(f"worker-{worker}")

    def ended(self, state: CallState, why: Why) -> None:
        """A call was stored as it ended; `why` counts where that is other than recorded."""
        self.calls_ended.labels(state.value).inc()
        if state is not CallState.RECORDED:
            self.explained.labels(why.value).inc()

    def synced(self, report: Synced) -> None:
        self._sealed.inc(report.bytes)
        self._sync.observe(report.nanoseconds / NS)
        if report.problem:
            self._sync_failures.inc()
