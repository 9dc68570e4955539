"""What Prometheus sees of pauses, stops and keys. No label tells of a person or a call."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.recording.model import Cause

# From what an acknowledgement takes to what the longest look-back makes up for.
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0)
PAUSING = (Cause.AGENT, Cause.FEATURE_CODE, Cause.CARD, Cause.SRC, Cause.OPT_OUT, Cause.NEVER_RECORD)
WAYS = ("rfc4733", "info", "inband")


class RedactionMetrics:
    """A part of Metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hushtap_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"hushtap_{name}", text, registry=registry)

        self.begun = counter("redactions", "Pauses and stops of recording begun, by cause", "cause")
        for cause in PAUSING:
            self.begun.labels(cause.value)
        self.late = counter(
            "redactions_late", "Intervals that were stored before it was known that they must not be"
        )
        self.latency = Histogram(
            "hushtap_redaction_latency_seconds",
            "Time from asking for a pause or a stop until the media worker had applied it",
            registry=registry,
            buckets=SECONDS,
        )
        self.look_back = gauge(
            "look_back_seconds", "How far a pause reaches back: a latency above it is audio too much"
        )
        self.unconfirmed = counter(
            "requests_unconfirmed", "Requests of people that the media worker did not answer in time"
        )
        self.calls_paused = counter(
            "calls_paused", "Calls that an agent or the card rule paused at least once"
        )
        self.paused_now = gauge("calls_paused_now", "Calls that are paused")
        self.paused_share = gauge("calls_paused_share", "Share of the running calls that is paused, 0 to 1")
        self.unusual = counter(
            "pauses_unusual", "Times that more than twice the usual share of an hour's calls was paused"
        )
        self.forgotten_now = gauge(
            "pauses_forgotten_now", "Pauses that have lasted longer than redaction.pause.forgotten_seconds"
        )
        self.forgotten = counter(
            "pauses_forgotten", "Pauses that lasted longer than redaction.pause.forgotten_seconds"
        )
        self.without_media = counter(
            "pauses_without_media", "Pauses of a call of which a leg carried no audio just then"
        )
        self.keys = counter("masked_keys", "Keys masked, by the way in which they were heard", "way")
        for way in WAYS:
            self.keys.labels(way)
