"""An agent's keys while all calls run: how long until the gateway says that it has been done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any

from bench.gateway import Gateway, GatewayError
from bench.ports import HOST

CALLS = 50  # paused and resumed, one after the other
KEYS = ("pause", "resume")


def presses(gateway: Gateway) -> list[float]:
    """Milliseconds until each was done. Raises GatewayError."""
    with closing(HTTPConnection(HOST, gateway.api_port, timeout=30)) as connection:
        return list(_presses(gateway, connection))


def _presses(gateway: Gateway, connection: HTTPConnection) -> Iterator[float]:
    headers = {"Authorization": f"Bearer {gateway.token}", "Content-Type": "application/json"}

    def ask(method: str, path: str) -> tuple[int, float, Any]:
        began = time.monotonic()
        connection.request(method, path, b"{}" if method == "POST" else None, headers)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        return answer.status, 1000 * (time.monotonic() - began), body

    _, _, listed = ask("GET", "/v1/calls")
    for call in _chosen(listed["calls"]):
        for key in KEYS:
            status, took, body = ask("POST", f"/v1/calls/{call}/{key}")
            # What was not confirmed in time took as long at least.
            if status in (HTTPStatus.OK, HTTPStatus.GATEWAY_TIMEOUT):
                yield took
            elif status != HTTPStatus.CONFLICT:  # as it is where the other keys of the load are still down
                raise GatewayError(f"{key} was answered {status}: {body}")


def _chosen(calls: Sequence[dict[str, str]]) -> Sequence[str]:
    """Calls from all over the list."""
    step = max(1, len(calls) // CALLS)
    return [call["call"] for call in calls[::step][:CALLS]]
