"""A disk that is nearly full, and one that fills up while calls are recorded."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.demo.client import Ending, Outcome
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, Json

IMPATIENT = {"media": {"hold_back_seconds": 1.0}}
SURVIVES = 3.0  # audio older than this when the disk filled up is kept
FILE_BYTES = 100_000  # about six seconds of a call


def held(gateway: Gateway, call: Json, outcome: Outcome, seconds: float) -> None:
    """Fails unless the first seconds of both legs are stored as they were sent."""
    legs = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
    for role, sent in zip(("external", "agent"), outcome.legs, strict=True):
        judge.placed(legs[role], judge.octets(sent.audio().items())[: round(seconds * judge.SECOND)])


def test_calls_are_refused_when_little_is_free(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"storage": {"min_free_megabytes": 1 << 40}}) as gateway:
        (outcome,) = asyncio.run(callers.place_all([callers.call(1, 1.0)], gateway.server))
        assert (outcome.ending, outcome.status) == (Ending.REFUSED, 503)
        assert outcome.retry_after
        assert gateway.metric("hushtap_refused_requests_total", reason="disk_full") == 1
        call = gateway.call_of(callers.number(1))
        assert (call["state"], call["reason"]) == ("not_recorded", "the storage was nearly full")
        assert call["recordings"] == []
        assert (
            f"call {call['id']} was refused with 503: the storage was nearly full" in gateway.log.read_text()
        )
        assert gateway.verify() == []


def test_a_recording_that_cannot_grow_harms_no_other(tmp_path: Path) -> None:
    """The worker may not write files beyond a size: a long call fails in its middle, short ones do not."""
    long, short, next_ = callers.call(1, 10.0), callers.call(2, 3.0), callers.call(3, 2.0)
    with Gateway(tmp_path, IMPATIENT) as gateway:

        async def live() -> list[Outcome]:
            first = asyncio.create_task(callers.place_all([long, short], gateway.server))
            limit = FILE_BYTES, FILE_BYTES
            resource.prlimit(gateway.worker_pid(), resource.RLIMIT_FSIZE, limit)
            await asyncio.sleep(7.5)
            return [*await callers.place_all([next_], gateway.server), *await first]

        outcomes = asyncio.run(live())
        gateway.wait_idle()
        assert {outcome.ending for outcome in outcomes} == {Ending.CLIENT}
        assert gateway.metric("hushtap_append_failures_total") == 1
        call = gateway.call_of(callers.number(1))
        assert (call["state"], call["reason"]) == ("partial", "storage failed: File too large")
        assert call["recordings"][0]["bytes"] == FILE_BYTES
        held(gateway, call, outcomes[1], 4.0)
        assert [gateway.call_of(callers.number(index))["state"] for index in (2, 3)] == ["recorded"] * 2
        assert all(verdict["ok"] for verdict in gateway.verify())


@contextmanager
def file_system(place: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own in memory. Needs root."""
    place.mkdir(mode=0o700)
    options = f"size={megabytes}m,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> Path:
    """A file that takes all that is free."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return ballast


async def while_filling(gateway: Gateway) -> Sequence[Outcome]:
    """A call that ends while the disk is full, one that is placed then, one that goes on until there is room again."""
    running = asyncio.create_task(
        callers.place_all([callers.call(1, 6.0), callers.call(2, 12.0)], gateway.server)
    )
    await asyncio.sleep(4.5)
    ballast = await asyncio.to_thread(fill, gateway.storage)
    await asyncio.sleep(2.0)
    refused = await callers.place_all([callers.call(3, 1.0)], gateway.server)
    await asyncio.sleep(2.5)
    ballast.unlink()
    later = await callers.place_all([callers.call(4, 1.0)], gateway.server)
    return [*await running, *refused, *later]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system to fill")
def test_a_disk_that_fills_up_costs_what_came_while_it_was_full(tmp_path: Path) -> None:
    with file_system(tmp_path / "data", 20), Gateway(tmp_path, IMPATIENT) as gateway:
        outcomes = asyncio.run(while_filling(gateway))
        assert [outcome.status for outcome in outcomes] == [200, 200, 503, 200]
        gateway.wait_idle()
        for index in (1, 2):
            call = gateway.call_of(callers.number(index))
            assert (call["state"], call["reason"]) == ("partial", "storage failed: No space left on device")
            held(gateway, call, outcomes[index - 1], 4.5 - SURVIVES)
        assert gateway.call_of(callers.number(4))["state"] == "recorded"
        verdicts = gateway.verify()
        assert len(verdicts) == 3
        assert all(verdict["ok"] for verdict in verdicts)
