"""What a storage folder holds, counted for operations: how fast it fills, and how old its keys are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.storage.index import Index
from gateway.storage.vault import Vault

SECOND_NS = 1_000_000_000
HOUR, DAY, WEEK = 3600, 86_400, 604_800
LEAST_SECONDS = HOUR  # that recordings are spread over: a first call of a minute is no pace


@dataclass(frozen=True, slots=True)
class Holdings:
    """Times are seconds, UTC since 1970; 0 where there is no such thing."""

    bytes_per_day: float  # of the last day, or of the last week where that is more
    vault_key_at: float  # when the public key's file was written, by `keys init` or `keys rotate`
    oldest_key_at: float  # when the data key of the oldest recording was last wrapped
    other_keys: int  # calls sealed to another key than the vault's


def take_stock(vault: Vault, vault_public: Path, key_id: str, now_ns: int) -> Holdings:
    """Count, by a connection to the index of its own: some tenths of a second for a million calls. Raises IndexFault, OSError."""
    with Index.open(vault.index_path, readonly=True) as index:
        oldest_ns = index.oldest_ns()
        paces = [
            index.stored_bytes(now_ns - span * SECOND_NS)
            / max(LEAST_SECONDS, _lasted(span, oldest_ns, now_ns))
            for span in (DAY, WEEK)
        ]
        recording, others = index.oldest_recording(), index.of_other_keys(key_id)
    wrapped = vault.key_path(recording) if recording else None
    return Holdings(
        DAY * max(paces),
        vault_public.stat().st_mtime,
        wrapped.stat().st_mtime if wrapped and wrapped.exists() else 0.0,
        others,
    )


def _lasted(span: int, oldest_ns: int | None, now_ns: int) -> float:
    """Seconds that a span up to now has calls for: less than all of it in a storage that is young."""
    return span if oldest_ns is None else min(span, (now_ns - oldest_ns) / SECOND_NS)
