"""Asks something of the gateway over HTTP. An answer is a value, also when there is none."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from gateway.hotkey.desk import Answer, Call, State

SOCKET_SECONDS = 4.0  # for connecting, and for each piece of an answer
LONGEST_ANSWER = 65_536  # octets; an answer has some hundreds
ELSE = {401: "denied", 403: "forbidden", 404: "gone", 429: "crowded"}


class Gateway:
    """Where the gateway is, and by which token it is asked. Raises ValueError, one sentence."""

    def __init__(self, url: str, token: str, authorities: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not the URL of a gateway, like https://recorder.example:9480")
        self.token = token
        self.tls = ssl.create_default_context(cafile=authorities) if parts.scheme == "https" else None
        self._host, self._port, self._prefix = parts.hostname, parts.port, parts.path.rstrip("/")
        scheme = "wss" if self.tls else "ws"
        self.live = f"{scheme}://{parts.netloc}{self._prefix}/v1/live"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """GET, or POST with a body, of a path below /v1. Never raises."""
        connection = self._connection()
        try:
            headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
            connection.request(
                "GET" if body is None else "POST",
                f"{self._prefix}/v1/{quote(path)}",
                None if body is None else json.dumps(body),
                headers,
            )
            response = connection.getresponse()
            return _read(response.status, json.loads(response.read(LONGEST_ANSWER)))
        except (OSError, http.client.HTTPException, ValueError):
            return Answer("unanswered")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls:
            return http.client.HTTPSConnection(
                self._host, self._port, timeout=SOCKET_SECONDS, context=self.tls
            )
        return http.client.HTTPConnection(self._host, self._port, timeout=SOCKET_SECONDS)


def _read(code: int, said: Any) -> Answer:
    if not isinstance(said, dict):
        return Answer("unanswered")
    outcome = said.get("outcome") or ELSE.get(code) or ("applied" if code < 300 else "refused")
    status = said.get("call_status", said.get("status"))
    call = call_of(status) if isinstance(status, dict) else None
    return Answer(str(outcome), str(said.get("why") or said.get("detail") or ""), call)


def call_of(status: dict[str, Any]) -> Call:
    """A Status of the API. Raises ValueError."""
    try:
        return Call(
            str(status["call"]),
            State(status["state"]),
            float(status["seconds"]),
            bool(status["held"] or status["ended"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the status of a call: {type(error).__name__}") from error
