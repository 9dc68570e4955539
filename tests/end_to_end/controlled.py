"""A gateway whose running calls can be acted on through a Unix socket, `controls` in its working folder.

A line of JSON asks: `do` names a method of Controls, the other members are its arguments but the call, which is every
running one. A line of JSON answers: call ids with their outcomes.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

from gateway.cli import main
from gateway.io import gateway
from gateway.io.calls import Calls

SOCKET = "controls"
PROGRAM = (sys.executable, "-m", "tests.end_to_end.controlled")
ANSWER_SECONDS = 20.0


class ControlledCalls(Calls):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        Path(SOCKET).unlink(missing_ok=True)
        self._listening = asyncio.create_task(asyncio.start_unix_server(self._serve, SOCKET))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            asked = json.loads(line)
            do = getattr(self.controls, asked.pop("do"))
            calls = [status.call_id for status in self.controls.running(None)]
            results = await asyncio.gather(*(do(call_id, "t1", **asked) for call_id in calls))
            told = {call_id: result.outcome for call_id, result in zip(calls, results, strict=True)}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()


def ask(folder: Path, do: str, **arguments: object) -> dict[str, str]:
    """The outcome for every call that was running."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(ANSWER_SECONDS)
        stream.connect(str(folder / SOCKET))
        stream.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            data = stream.recv(65_536)
            if not data:
                raise ConnectionResetError("the gateway is gone")
            answer += data
    told: dict[str, str] = json.loads(answer)
    return told


if __name__ == "__main__":
    setattr(gateway, "Calls", ControlledCalls)  # noqa: B010 it is not one of its exports
    sys.exit(main(sys.argv[1:]))
