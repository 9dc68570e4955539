"""Calls that have ended and from which something is to be cut, while their data keys are still in memory.

The audio is written anew by a process of its own; the record is changed only when all of it is there. What does not
succeed stays pending, readers leave it out, and `hushtap cut` carries it out with the private key.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict

from gateway.io.child import environment
from gateway.io.ids import new_id
from gateway.io.jobs import Cutter
from gateway.io.metrics import Metrics
from gateway.io.store import Store
from gateway.recording.model import CallFacts, Part
from gateway.storage import canonical, cutting

log = logging.getLogger(__name__)

MAX_WAITING = 200  # ended calls whose data keys stay in memory: cuts are rare, and each takes seconds
LONGEST_SECONDS = 300.0  # for a call: a day of it is cut in a fraction of that

Submit = Callable[[CallFacts, Mapping[str, str]], None]


class NotCut(Exception):
    """A call was not cut; the text says why."""


class Cutting:
    """The queue of calls to be cut. Every settled call is passed on to `then`, once it is cut where it must be."""

    def __init__(self, store: Store, metrics: Metrics, then: Submit) -> None:
        self._store = store
        self._count = metrics.cuts.labels
        self._processes = metrics.processes
        self._then = then
        self._waiting: asyncio.Queue[tuple[CallFacts, Mapping[str, str]]] = asyncio.Queue(MAX_WAITING)
        self._process: Process | None = None
        self._task = asyncio.create_task(self._work())

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    def submit(self, facts: CallFacts, keys: Mapping[str, str]) -> None:
        """A settled call with its recordings' data keys, hexadecimal."""
        if not (cutting.pending(facts) and facts.recordings):
            self._then(facts, keys)
            return
        try:
            self._waiting.put_nowait((facts, keys))
        except asyncio.QueueFull:
            self._count("overload").inc()
            log.error("call %s is not cut: too many wait; `hushtap cut --pending` does it", facts.id)
            self._then(facts, keys)

    async def stop(self, seconds: float) -> None:
        """Go on for so many seconds at most, then end; what still waits stays pending."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), seconds)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._count("stopped").inc(self._waiting.qsize())
        await self._end()

    async def _work(self) -> None:
        while True:
            facts, keys = await self._waiting.get()
            try:
                facts, keys = await self._cut(facts, keys)
                self._count("done").inc()
            except asyncio.CancelledError:
                self._count("stopped").inc()
                raise
            except Exception as error:  # noqa: BLE001 whatever it was, the next call is cut
                self._count("failed").inc()
                log.error("call %s is not cut: %s; `hushtap cut --pending` does it", facts.id, error)
            finally:
                self._waiting.task_done()
            self._then(facts, keys)

    async def _cut(self, facts: CallFacts, keys: Mapping[str, str]) -> tuple[CallFacts, Mapping[str, str]]:
        planned = cutting.plan(self._store.vault, facts, lambda id: bytes.fromhex(keys[id]), new_id)
        try:
            answer = await asyncio.wait_for(self._ask(planned), LONGEST_SECONDS)
        except TimeoutError:
            raise NotCut(f"it took longer than {LONGEST_SECONDS:.0f} s") from None
        finally:
            await self._end()
        self._processes.used("cutter", answer.cpu_ns, 0)
        if answer.problem:
            raise NotCut(answer.problem)
        parts: dict[str, list[Part]] = {new: [] for new in planned.new_keys}
        for asked, part in zip(planned.parts, answer.parts, strict=True):
            if part:
                parts[asked.new_id].append(part)
        done = await self._store.cut(facts, planned, parts)
        return done, dict(keys) | {new: key.hex() for new, key in planned.new_keys.items()}

    async def _ask(self, planned: cutting.Plan) -> Cutter:
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.io.cutter"),
            stdin=PIPE,
            stdout=PIPE,
            env=environment(),
        )
        asked = json.dumps([asdict(part) for part in planned.parts]).encode()
        told, _ = await process.communicate(asked)
        try:
            return canonical.build(Cutter, json.loads(told))
        except ValueError as error:
            raise NotCut("the process that cuts was lost") from error

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
