"""The storage's thread, and those who wait for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from gateway.io.store import Store
from gateway.recording.model import LegReport
from gateway.storage.index import Index
from gateway.storage.keys import RecorderKeys
from gateway.storage.vault import Vault
from tests.patience import PATIENCE_SECONDS


class BlockedIndex:
    """Works until it is let go."""

    def __init__(self) -> None:
        self.busy, self.let_go, self.worked = threading.Event(), threading.Event(), 0

    def checkpoint(self, reports: Mapping[str, Sequence[LegReport]], at_ns: int) -> None:
        self.busy.set()
        self.let_go.wait()
        self.worked += 1


def test_who_gives_up_waiting_does_not_end_the_storage(tmp_path: Path) -> None:
    index = BlockedIndex()

    async def play() -> None:
        store = Store(Vault(tmp_path, sync=False), cast(Index, index), cast(RecorderKeys, None))
        try:
            working = asyncio.create_task(store.checkpoint({}, 0))
            await asyncio.to_thread(index.busy.wait)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
            index.let_go.set()
            await asyncio.wait_for(store.checkpoint({}, 0), PATIENCE_SECONDS)
        finally:
            await store.close()

    asyncio.run(play())
    assert index.worked == 2
