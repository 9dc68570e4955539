"""A client that forgets its call, or only keeps quiet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.demo.client import Client, Ending
from tests.end_to_end import callers
from tests.end_to_end.gateway import Gateway


def test_a_forgotten_call_is_ended_and_a_quiet_one_is_not(tmp_path: Path) -> None:
    with Gateway(tmp_path, {"media": {"timeout_seconds": 5}}) as gateway:

        async def live() -> None:
            async with Client(gateway.server) as client:
                quiet = asyncio.create_task(client.place(callers.call(2, 1.0, quiet_seconds=9.0)))
                assert (await client.place(callers.call(1, 1.0, bye=False))).ending is Ending.SILENT
                assert (await quiet).ending is Ending.CLIENT

        asyncio.run(live())
        gateway.wait_idle()
        reasons = {
            call["participants"][0]["number"]: (call["state"], call["reason"]) for call in gateway.calls()
        }
        gone = "no media came for too long, and the recording client did not know the call any more"
        assert reasons[callers.number(1)] == ("partial", gone)
        assert reasons[callers.number(2)] == ("recorded", "the recording client ended the call")
