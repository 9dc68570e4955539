"""What Prometheus sees of the storage and its keys. No label tells of a person or a call."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from prometheus_client import CollectorRegistry, Counter, Gauge

from gateway.storage.holdings import Holdings


class StorageMetrics:
    """A part of Metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes_per_day = 0.0

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"hushtap_{name}", text, registry=registry)

        self.sealing_errors = Counter(
            "hushtap_sealing_errors",
            "Calls whose key could not be wrapped or whose record not be sealed and signed, at their begin or end",
            ("step",),
            registry=registry,
        )
        for step in ("begin", "end"):
            self.sealing_errors.labels(step)
        self._free = gauge("storage_free_bytes", "Free space where recordings are stored")
        self._days = gauge(
            "storage_days_left",
            "Days until the free space is used up, less what is kept free, at the pace of the last day or week",
        )
        self._pace = gauge(
            "storage_bytes_per_day", "Bytes of recordings a day, of the last day or week, whichever is more"
        )
        self._vault_key = gauge(
            "vault_key_timestamp_seconds", "When the vault's key was made or rotated, UTC since 1970"
        )
        self._oldest = gauge(
            "oldest_recording_key_timestamp_seconds",
            "When the key of the oldest recording was last wrapped, UTC since 1970; 0 without a recording",
        )
        self._others = gauge(
            "calls_of_other_keys",
            "Calls sealed to another key than the vault's: a rotation that was not finished",
        )

    def serve(self, free_bytes: Callable[[], int], reserve: int) -> None:
        """Tell of the free space as it is at each scrape."""
        self._free.set_function(free_bytes)
        self._days.set_function(lambda: self._days_left(free_bytes() - reserve))

    def found(self, holdings: Holdings) -> None:
        self._pace.set(holdings.bytes_per_day)
        self._vault_key.set(holdings.vault_key_at)
        self._oldest.set(holdings.oldest_key_at)
        self._others.set(holdings.other_keys)
        self._bytes_per_day = holdings.bytes_per_day

    def _days_left(self, room: int) -> float:
        return max(0, room) / self._bytes_per_day if self._bytes_per_day else inf
