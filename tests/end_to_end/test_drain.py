"""SIGTERM once: running calls go on, new ones are refused; SIGTERM twice: the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.demo.client import Client, Ending
from tests.end_to_end import callers
from tests.end_to_end.gateway import Gateway, until


def test_running_calls_are_finished_and_new_ones_refused(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"load": {"retry_after_seconds": 7}}) as gateway:

        async def live() -> None:
            running = asyncio.create_task(callers.place_all([callers.call(1, 4.0)], gateway.server))
            await asyncio.to_thread(until, "it runs", lambda: gateway.metric("hushtap_calls_recording"))
            async with Client(gateway.server) as client:
                assert await client.options() == 200
                assert gateway.process is not None
                gateway.process.terminate()
                refused = lambda: gateway.metric("hushtap_taking_calls") == 0
                await asyncio.to_thread(until, "it drains", refused)
                assert await client.options() == 503
                turned_away = await client.place(callers.call(2, 1.0))
                assert (turned_away.status, turned_away.retry_after) == (503, 7)
            (outcome,) = await running
            assert outcome.ending is Ending.CLIENT
            assert await asyncio.to_thread(gateway.process.wait, 20) == 0

        asyncio.run(live())
        log = gateway.log.read_text()
        assert "draining: 1 calls run on for up to 3600 s, new ones are refused" in log
        states = {call["state"]: call["reason"] for call in gateway.calls()}
        assert states["recorded"] == "the recording client ended the call"
        assert states["not_recorded"].startswith("the gateway was draining")


def test_the_wait_has_a_limit(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"load": {"drain_seconds": 0.5}}) as gateway:

        async def live() -> None:
            running = asyncio.create_task(callers.place_all([callers.call(1, 30.0)], gateway.server))
            await asyncio.to_thread(until, "it runs", lambda: gateway.metric("hushtap_calls_recording"))
            assert await asyncio.to_thread(gateway.terminate) == 0
            (outcome,) = await running
            assert outcome.ending is Ending.SERVER

        asyncio.run(live())
        (call,) = gateway.calls()
        assert call["reason"] == "the gateway was stopped"
