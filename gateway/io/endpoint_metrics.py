"""What Prometheus sees of endpoints, by their names in the settings."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.endpoint.messages import Cause


class EndpointMetrics:
    """A part of Metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hushtap_endpoint_{name}", text, ("endpoint", *labels), registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"hushtap_endpoint_{name}", text, ("endpoint",), registry=registry)

        self.registered = gauge("registered", "1 while the registrar knows the endpoint")
        self.processes = gauge("processes", "Endpoint processes that take calls")
        self.deaths = counter("process_deaths", "Endpoint processes that ended and were replaced")
        self.calls_now = gauge("calls_now", "Calls that the endpoint has, those that ring included")
        self.calls = counter("calls", "Calls that came to the endpoint, by how they ended", "cause")
        self.notices = counter("notices", "Notices by whether they were played to their end", "outcome")
        self.keys = counter(
            "relayed_keys", "Keys passed from one leg to the other, by way and outcome", "way", "outcome"
        )
        self.dropped = counter("dropped_messages", "SIP messages that were not forwarded, by kind", "kind")

    def begin(self, name: str, registers: bool) -> None:
        """An endpoint is there, though nothing has come yet."""
        for gauge in (self.processes, self.calls_now, *([self.registered] if registers else [])):
            gauge.labels(name).set(0)
        self.deaths.labels(name)
        for cause in Cause:
            self.calls.labels(name, cause.value)
        for outcome in ("whole", "failed"):
            self.notices.labels(name, outcome)
        for kind in ("busy", "failed", "unknown_peer", "unread"):
            self.dropped.labels(name, kind)
