"""Looking now and then at what the storage holds, beside all that records: in a thread, and read-only."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.io.storage_metrics import StorageMetrics
from gateway.storage.holdings import take_stock
from gateway.storage.index import IndexFault
from gateway.storage.keys import KeyPaths, VaultPublicKey
from gateway.storage.vault import Vault

log = logging.getLogger(__name__)

LOOK_SECONDS = 300.0


async def watch_holdings(vault: Vault, paths: KeyPaths, key: VaultPublicKey, metrics: StorageMetrics) -> None:
    """At once, so that figures are right after a start, and then every five minutes, for ever."""
    while True:
        try:
            metrics.found(
                await asyncio.to_thread(take_stock, vault, paths.vault_public, key.id, time.time_ns())
            )
        except (IndexFault, OSError) as error:
            log.warning("the storage could not be counted for the metrics: %s", error)
        except Exception:
            log.exception("the storage could not be counted for the metrics")
        await asyncio.sleep(LOOK_SECONDS)
