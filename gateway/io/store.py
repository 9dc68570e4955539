"""The storage as the control process uses it: one thread, one index writer, never the event loop.

What was asked for while the thread was busy is done together and made durable by one flush, so that
a burst of calls costs few flushes. Nothing is answered before it is durable.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from gateway.io.flush import FileSystem
from gateway.recording.call import Call, Opening
from gateway.recording.model import Announcement, CallFacts, LegReport, Part, Speech
from gateway.storage.cutting import Plan, switch
from gateway.storage.discarding import destroy
from gateway.storage.index import Index
from gateway.storage.keys import RecorderKeys
from gateway.storage.records import seal_call
from gateway.storage.vault import Vault, measure_part

P = ParamSpec("P")
T = TypeVar("T")
MAX_TOGETHER = 64  # works between two flushes: bounds how long the first of them waits

Work = tuple[Callable[[], Any], Future[Any]]


class Store:
    """Vault and index behind one thread; every method waits for that thread, not for the loop.

    So the thread itself waits for no other process: new calls would wait with it.
    """

    def __init__(
        self, vault: Vault, index: Index, keys: RecorderKeys, file_system: FileSystem | None = None
    ) -> None:
        self.vault = vault
        self._index = index
        self._keys = keys
        self._file_system = file_system or FileSystem(vault.directory)
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="store")
        self._thread.start()

    @property
    def lookup_key(self) -> bytes:
        return self._keys.lookup

    async def begin(self, opening: Opening, recording_id: str) -> str:
        """Make the call's folder and a recording's data key, wrapped durably; the key as hexadecimal."""
        key = await self._run(
            self.vault.new_recording,
            opening.call_id,
            recording_id,
            opening.started_utc_ns,
            self._keys.vault,
        )
        return key.hex()

    async def abandon(self, recording_id: str) -> None:
        """Destroy the key of a recording that nothing was written to."""
        await self._run(self.vault.destroy_key, recording_id)

    async def put(self, facts: CallFacts) -> None:
        """Write what there is to say of a call to the vault and the index."""
        await self._run(self._put, facts)

    async def checkpoint(self, reports: Mapping[str, Sequence[LegReport]], at_ns: int) -> None:
        await self._run(self._index.checkpoint, reports, at_ns)

    async def discard(self, call: Call) -> None:
        """Destroy what there is of a call of which nothing is kept; its record tells what that was."""
        await self._run(self._discard, call)

    async def cut(self, facts: CallFacts, plan: Plan, parts: Mapping[str, Sequence[Part]]) -> CallFacts:
        """Let the parts that were written without what is cut take the place of those before, which go."""
        return await self._run(self._cut, facts, plan, parts)

    async def told_measured(
        self, facts: CallFacts, speech: tuple[Speech, ...], announcement: Announcement | None
    ) -> None:
        """Write what was measured of a call that ended into its record, whatever else that says by now."""
        await self._run(self._told_measured, facts, speech, announcement)

    async def settle(self, call: Call) -> CallFacts:
        """Measure parts that were torn, sign the manifest, write the call as it ended."""
        return await self._run(self._settle, call)

    async def close(self) -> None:
        """Do what was asked for, then end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._file_system.close()

    def next_parts(self, call: Call) -> dict[str, int]:
        """One above the highest number of a part on disk, of each recording of a call."""
        found = self.vault.parts_on_disk(self.folder(call.opening))
        ids = [segment.recording_id for segment in call.segments]
        return {recording_id: max(found.get(recording_id, [0])) + 1 for recording_id in ids}

    def folder(self, opening: Opening) -> Path:
        return self.vault.call_folder(opening.call_id, opening.started_utc_ns)

    def _put(self, facts: CallFacts) -> None:
        self._index.put(self.vault.write_call(facts, self._keys))

    def _discard(self, call: Call) -> None:
        """Each step durable before the next, unlike what else is done together."""
        careful = Vault(self.vault.directory)
        record = destroy(careful, seal_call(call.facts(), self._keys), self._keys.node)
        call.discard = record.facts.discard
        self._index.put(record)

    def _settle(self, call: Call) -> CallFacts:
        if call.discard:
            return self._settle_discarded(call)
        opening = call.opening
        for recording_id, number in call.unfinished_parts():
            path = self.vault.part_path(opening.call_id, opening.started_utc_ns, recording_id, number)
            if path.exists():
                call.end_part(recording_id, measure_part(path, number, torn=True))
        call.settle()
        facts = call.facts()
        for segment in call.segments:
            if segment.parts:
                told = call.of_segment(segment, facts)
                self.vault.finish_recording(told, call.recording(segment), self._keys.node)
            elif self.vault.key_path(
                segment.recording_id
            ).exists():  # else destroyed by a try that failed later
                self.vault.destroy_key(segment.recording_id)
        self._put(facts)
        return facts

    def _cut(self, facts: CallFacts, plan: Plan, parts: Mapping[str, Sequence[Part]]) -> CallFacts:
        careful = Vault(self.vault.directory)
        with careful.alone(facts, wait=False):
            record = careful.read_call(
                careful.call_folder(facts.id, facts.started_ns), self._keys.node.public
            )
            done = switch(careful, record, plan, parts, time.time_ns(), self._keys.vault, self._keys.node)
            self._index.put(done)
        return replace(done.facts, participants=facts.participants)

    def _told_measured(
        self, facts: CallFacts, speech: tuple[Speech, ...], announcement: Announcement | None
    ) -> None:
        with self.vault.alone(facts, wait=False):
            folder = self.vault.call_folder(facts.id, facts.started_ns)
            record = self.vault.read_call(folder, self._keys.node.public)
            record = replace(record, facts=replace(record.facts, speech=speech, announcement=announcement))
            self.vault.write_record(record, self._keys.node)
            self._index.put(record)

    def _settle_discarded(self, call: Call) -> CallFacts:
        self._discard(call)
        call.settle()
        call.discard = call.discard and replace(call.discard, done_ns=time.time_ns())
        facts = call.facts()
        self._put(facts)
        return facts

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        done: Future[T] = Future()
        self._queue.put((partial(work, *args, **kwargs), done))
        return await asyncio.wrap_future(done)

    def _work(self) -> None:
        while batch := self._batch():
            # Whoever asked may have been cancelled; from here on it no longer can be.
            wanted = [(work, done) for work, done in batch if done.set_running_or_notify_cancel()]
            results = [(done, _outcome(work)) for work, done in wanted]
            flushed = _outcome(self._file_system.flush)
            for done, (result, error) in results:
                if fault := error or flushed[1]:
                    done.set_exception(fault)
                else:
                    done.set_result(result)

    def _batch(self) -> list[Work]:
        """What waits, at least one; empty at the end."""
        batch: list[Work] = []
        work = self._queue.get()
        while work is not None:
            batch.append(work)
            if len(batch) == MAX_TOGETHER or self._queue.empty():
                return batch
            work = self._queue.get()
        self._queue.put(None)
        return batch


def _outcome(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:  # noqa: BLE001 whoever asked is told
        return None, error
