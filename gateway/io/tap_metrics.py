"""What Prometheus sees of taps, by their names in the settings."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.io.tap_messages import TapReport


class TapMetrics:
    """A part of Metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hushtap_tap_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"hushtap_tap_{name}", text, labels, registry=registry)

        self._packets = counter("packets", "Frames that passed the kernel's filter and were read", "tap")
        self._dropped = counter(
            "dropped_packets", "Frames that the kernel dropped because the ring was full", "tap"
        )
        self._octets = counter("bytes", "Octets of the frames that were read", "tap")
        self._media = counter("media_packets", "Packets of calls that are recorded", "tap")
        self._sip = counter("sip_messages", "SIP messages heard", "tap")
        self._lost_sip = counter(
            "lost_sip_messages", "SIP messages given up because the control process was behind", "tap"
        )
        self._early = counter(
            "early_dropped_packets", "Packets that waited for their call and found no room", "tap"
        )
        self._refused = counter("refused_frames", "Frames that could not be read, by kind", "tap", "kind")
        self.unfollowed = counter(
            "unfollowed", "What of telephony was seen and cannot be followed, by kind", "tap", "kind"
        )
        self.calls = counter("calls_seen", "Calls whose signalling was seen", "tap")
        self.unexplained = counter(
            "unexplained_calls", "Calls that were not recorded and, being too many at once, have no record"
        )
        self.silent = gauge("silent", "1 while no SIP is seen though calls are expected", "tap")
        self.interface_up = gauge("interface_up", "1 while the interface is there and up", "tap", "interface")

    def begin(self, tap: str) -> None:
        """A tap is there, though nothing was seen yet."""
        counters = (self._packets, self._dropped, self._octets, self._media, self._sip, self._lost_sip)
        for each in (*counters, self._early, self.calls):
            each.labels(tap)
        self.unfollowed.labels(tap, "sip_tls")
        self.silent.labels(tap).set(0)

    def report(self, tap: str, told: TapReport) -> None:
        """A second of a tap."""
        self._packets.labels(tap).inc(max(0, told.packets - told.dropped))
        self._dropped.labels(tap).inc(told.dropped)
        self._octets.labels(tap).inc(told.octets)
        self._sip.labels(tap).inc(told.sip)
        self._media.labels(tap).inc(told.media)
        self._lost_sip.labels(tap).inc(told.unheard)
        self._early.labels(tap).inc(told.early_dropped)
        for each in told.refused:
            self._refused.labels(tap, each.kind).inc(each.count)
