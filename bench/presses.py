"""An agent's keys while all calls run: how long until the gateway says that it has been done."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from http.client import HTTPConnection

from bench.gateway import Gateway, GatewayError
from bench.ports import HOST

CALLS = 50  # paused and resumed, one after the other
APPLIED = 200


def presses(gateway: Gateway) -> list[float]:
    """Milliseconds of each request. Raises GatewayError when one was not applied."""
    connection = HTTPConnection(HOST, gateway.api_port, timeout=30)
    headers = {"Authorization": f"Bearer {gateway.token()}", "Content-Type": "application/json"}

    def ask(method: str, path: str) -> tuple[float, dict[str, object]]:
        began = time.monotonic()
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        answer = connection.getresponse()
        body = answer.read()
        took = 1000 * (time.monotonic() - began)
        if answer.status != APPLIED:
            raise GatewayError(
                f"{method} {path.rpartition('/')[2]} was answered {answer.status}: {body.decode()}"
            )
        return took, json.loads(body)

    _, listed = ask("GET", "/v1/calls")
    return [
        ask("POST", f"/v1/calls/{call}/{key}")[0] for call in _chosen(listed) for key in ("pause", "resume")
    ]


def _chosen(listed: dict[str, object]) -> Sequence[str]:
    """Calls from all over the list."""
    calls = listed["calls"]
    assert isinstance(calls, list)
    step = max(1, len(calls) // CALLS)
    return [call["call"] for call in calls[::step][:CALLS]]
