"""What Prometheus sees of the API. No label tells of a person or a call."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# 0.25 s is what an acknowledgement may take.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Meters:
    """Made once a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "hushtap_api_requests",
            "Requests of the API by route and status",
            ("route", "status"),
            registry=registry,
        )
        self.failures = Counter(
            "hushtap_api_authentication_failures", "Requests without a token that is known", registry=registry
        )
        self.live = Gauge("hushtap_api_live", "WebSockets that watch calls", registry=registry)
        self.acknowledgement = Histogram(
            "hushtap_api_acknowledgement_seconds",
            "Time from a request to act on a call to its answer",
            ("action",),
            registry=registry,
            buckets=SECONDS,
        )
        self.refused = Counter(
            "hushtap_api_refused_connections", "Connections closed for their number or slowness", ("why",),
            registry=registry,
        )  # fmt: skip
