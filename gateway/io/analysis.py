"""Speech activity and announcement of calls that have ended, measured by a child process while nobody waits for it.

A call is settled first; when its figures come, its record is written again with them. Where they do not come, the
call stays without, and counters say why. One call is measured at a time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace

from gateway.endpoint.calling import announcement_of
from gateway.io.child import environment
from gateway.io.jobs import Job, Measured, Notices, SealedPart
from gateway.io.metrics import Metrics
from gateway.io.store import Store
from gateway.recording.model import (
    MIDWAY,
    UNIT_NS,
    UNITS_PER_SECOND,
    Announcement,
    AnnouncementState,
    CallFacts,
)
from gateway.storage import canonical

log = logging.getLogger(__name__)

MAX_WAITING = 500  # ended calls whose data keys stay in memory; what a burst brings, minutes of work
LEAST_SECONDS = 30.0  # for a job, to start the child on a busy machine included
REAL_TIME = 30  # a job may take the length of its call, divided by this, besides
NOTICE_SECONDS = 6.0  # besides, for each notice that is searched for
RESTART_SECONDS = 1.0  # between the loss of a child and the next, so that one that cannot live does not spin


class NotMeasured(Exception):
    """A call has no figures; the text says why."""


class Analysis:
    """The queue of ended calls and the child that works it off. All methods run on the event loop."""

    def __init__(
        self, store: Store, metrics: Metrics, speech: bool = True, notices: Notices | None = None
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._speech = speech
        self._notices = notices or Notices()
        self._waiting: asyncio.Queue[tuple[CallFacts, Job]] = asyncio.Queue(MAX_WAITING)
        self._process: Process | None = None
        self._task = asyncio.create_task(self._work())

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def waiting(self) -> int:
        return self._waiting.qsize()

    def submit(self, facts: CallFacts, keys: Mapping[str, str]) -> None:
        """Measure a settled call some time; `keys` are its recordings' data keys, hexadecimal.

        While too many wait the call is passed over.
        """
        told = announcement_of(facts.markers)
        wanted = bool(self._notices.references) and facts.direction in self._notices.directions
        searched = wanted and told is None
        if not facts.recordings:
            self._metrics.announced("not_measured", searched and facts.discard is not None)
            return
        if not self._speech and not searched and told is None:
            return
        job = replace(self._job(facts, keys), notice=searched)
        try:
            self._waiting.put_nowait((facts, job))
        except asyncio.QueueFull:
            self._count(job, "overload")

    async def stop(self, seconds: float) -> None:
        """Go on for so many seconds at most, then end; calls that still wait are passed over."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._waiting.join(), seconds)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        while not self._waiting.empty():
            self._count(self._waiting.get_nowait()[1], "stopped")
        await self._end()

    def _count(self, job: Job, outcome: str, announcement: Announcement | None = None) -> None:
        if job.speech:
            self._metrics.speech.labels(outcome).inc()
        self._metrics.announced(_outcome(announcement), job.notice or announcement is not None)

    def _job(self, facts: CallFacts, keys: Mapping[str, str]) -> Job:
        path = self._store.vault.part_path
        return Job(
            parts=tuple(
                SealedPart(
                    path=str(path(facts.id, facts.started_ns, recording.id, part.number)),
                    recording_id=recording.id,
                    key=keys[recording.id],
                    torn=part.torn,
                    swapped=recording.swapped,
                )
                for recording in facts.recordings
                for part in recording.parts
            ),
            legs=facts.legs,
            length_units=((facts.ended_ns or facts.started_ns) - facts.started_ns) // UNIT_NS,
            redactions=facts.redactions,
            speech=self._speech,
            earlier=_earlier(facts),
        )

    async def _work(self) -> None:
        while True:
            facts, job = await self._waiting.get()
            try:
                measured = await self._measure(job)
                announcement = measured.announcement or announcement_of(facts.markers)
                await self._store.told_measured(facts, measured.speech, announcement)
                self._count(job, "measured", announcement)
            except asyncio.CancelledError:
                self._count(job, "stopped")
                raise
            except Exception as error:  # noqa: BLE001 whatever it was, the next call is measured
                self._count(job, "failed")
                log.warning("the speech of call %s was not measured: %s", facts.id, error)
            finally:
                self._waiting.task_done()

    async def _measure(self, job: Job) -> Measured:
        seconds = LEAST_SECONDS + job.length_units / UNITS_PER_SECOND / REAL_TIME
        seconds += NOTICE_SECONDS * len(self._notices.references) * job.notice
        try:
            answer = await asyncio.wait_for(self._ask(job), seconds)
            measured = canonical.build(Measured, json.loads(answer))
        except TimeoutError:
            await self._lost()
            raise NotMeasured(f"it took longer than {seconds:.0f} s") from None
        except (OSError, ValueError) as error:
            await self._lost()
            raise NotMeasured("the analyst process was lost") from error
        self._metrics.processes.used("analyst", measured.cpu_ns, measured.resident_bytes)
        if measured.problem:
            raise NotMeasured(measured.problem)
        return measured

    async def _ask(self, job: Job) -> bytes:
        process = self._process
        if process is None:
            process = self._process = await self._start()
            await self._tell(process, self._notices)
        await self._tell(process, job)
        assert process.stdout is not None
        return await process.stdout.readline()

    async def _tell(self, process: Process, told: Notices | Job) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(told)).encode() + b"\n")
        await process.stdin.drain()

    async def _start(self) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.io.analyst"),
            stdin=PIPE,
            stdout=PIPE,
            env=environment(),
        )

    async def _lost(self) -> None:
        await self._end()
        await asyncio.sleep(RESTART_SECONDS)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self._metrics.processes.ended("analyst")


def _earlier(facts: CallFacts) -> str:
    """Why a notice may have been played before the call's first audio; empty where there is no such reason."""
    if MIDWAY in facts.notes:
        return MIDWAY
    return "the call goes on from another of its group" if facts.follows else ""


def _outcome(announcement: Announcement | None) -> str:
    """As the metric names it: an unannounced call of which part of a notice was heard is one that cut it off."""
    if announcement is None:
        return AnnouncementState.NOT_MEASURED.value
    if announcement.state is AnnouncementState.UNANNOUNCED and announcement.notice:
        return "cut_off"
    return announcement.state.value
