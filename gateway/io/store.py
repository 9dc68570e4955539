"""The storage as the control process uses it: one thread, one index writer, never the event loop."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from gateway.recording.call import Call, Opening
from gateway.recording.model import CallFacts, CallState, LegReport
from gateway.storage.index import Index
from gateway.storage.keys import RecorderKeys
from gateway.storage.vault import Vault, measure_part

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Vault and index behind one thread; every method waits for that thread, not for the loop."""

    def __init__(self, vault: Vault, index: Index, keys: RecorderKeys) -> None:
        self.vault = vault
        self._index = index
        self._keys = keys
        self._thread = ThreadPoolExecutor(1, "store")

    async def begin(self, opening: Opening) -> str:
        """Make the call's folder and its data key, wrapped durably; the key as hexadecimal."""
        key = await self._run(
            self.vault.new_recording,
            opening.call_id,
            opening.recording_id,
            opening.started_utc_ns,
            self._keys.vault,
        )
        return key.hex()

    async def put(self, facts: CallFacts) -> None:
        """Write what there is to say of a call to the vault and the index."""
        await self._run(self._put, facts)

    async def checkpoint(self, reports: Mapping[str, Sequence[LegReport]], at_ns: int) -> None:
        await self._run(self._index.checkpoint, reports, at_ns)

    async def settle(self, call: Call) -> CallFacts:
        """Measure parts that were torn, sign the manifest, write the call as it ended."""
        return await self._run(self._settle, call)

    async def last_part(self, opening: Opening) -> int:
        """The highest number of a part on disk, 0 when there is none."""
        return await self._run(self._last_part, opening)

    async def close(self) -> None:
        await self._run(self._index.close)
        self._thread.shutdown()

    def folder(self, opening: Opening) -> Path:
        return self.vault.call_folder(opening.call_id, opening.started_utc_ns)

    def _put(self, facts: CallFacts) -> None:
        self._index.put(self.vault.write_call(facts, self._keys))

    def _settle(self, call: Call) -> CallFacts:
        opening = call.opening
        for number in call.unfinished_parts():
            path = self.vault.part_path(opening.call_id, opening.started_utc_ns, opening.recording_id, number)
            if path.exists():
                call.end_part(measure_part(path, number, torn=True))
        call.settle()
        facts = call.facts()
        if facts.state is CallState.NOT_RECORDED:
            self.vault.destroy_key(opening.recording_id)
        else:
            self.vault.finish_recording(facts, call.recording(), self._keys.node)
        self._put(facts)
        return facts

    def _last_part(self, opening: Opening) -> int:
        return max(self.vault.parts_on_disk(self.folder(opening)).get(opening.recording_id, [0]))

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(*args, **kwargs))


def is_full(error: OSError) -> bool:
    """Whether storage failed for want of room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
