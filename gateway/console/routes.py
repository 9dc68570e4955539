"""The routes under /v1: calls, extensions, and what a desk telephone asks for with a plain GET."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.responses import PlainTextResponse
from starlette.responses import Response

from gateway.console.body import ask_of
from gateway.console.desk import Action, Desk
from gateway.console.gate import ByHeader, ByQuery
from gateway.console.schema import describe_act, describe_key, describe_read
from gateway.console.shapes import LONGEST_REASON, Ask, shown, shown_result
from gateway.recording.control import MARKERS

KEYS = {
    "pause": (Action.PAUSE, None),
    "resume": (Action.RESUME, None),
    "toggle": (Action.TOGGLE, None),
    "opt-out": (Action.OPT_OUT, None),
} | {kind.replace("_", "-"): (Action.MARK, kind) for kind in MARKERS}
Reason = Annotated[str | None, Query(max_length=LONGEST_REASON)]
VERBS = {Action.OPT_OUT: "optOut", Action.MARK: "mark"}


def add_routes(app: FastAPI, desk: Desk) -> None:
    """Every route of the API but the WebSocket."""
    _add_reads(app, desk)
    for action in Action:
        _add_acts(app, desk, action)
    for word, (action, kind) in KEYS.items():
        _add_key(app, desk, word, action, kind)


def _add_reads(app: FastAPI, desk: Desk) -> None:
    now = desk.clock.utc_ns

    @app.get("/v1/token", **describe_read("getToken", "What this token may do", "Holder"))
    async def holder(agent: ByHeader) -> Response:
        return _json(desk.holder(agent))

    @app.get("/v1/calls", **describe_read("listCalls", "The running calls of this token", "Calls", 403))
    async def calls(agent: ByHeader, extension: str | None = None) -> Response:
        return _json({"calls": [shown(status, now()) for status in desk.calls(agent, extension)]})

    @app.get("/v1/calls/{call}", **describe_read("getCall", "One running call", "Status", 404))
    async def one(agent: ByHeader, call: str) -> Response:
        return _json(shown(desk.call(agent, call), now()))

    @app.get(
        "/v1/extensions/{extension}",
        **describe_read("getExtension", "The call an extension is on", "Status", 403, 404),
    )
    async def of_extension(agent: ByHeader, extension: str) -> Response:
        return _json(shown(desk.call_of(agent, extension), now()))


def _add_acts(app: FastAPI, desk: Desk, action: Action) -> None:
    word, verb = action.value, VERBS.get(action, action.value)

    @app.post(f"/v1/calls/{{call}}/{word}", **describe_act(f"{verb}Call", word))
    async def of_call(request: Request, agent: ByHeader, call: str) -> Response:
        ask = await ask_of(request)
        result = await desk.act(agent, desk.call(agent, call), action, ask)
        return _json(shown_result(result, desk.clock.utc_ns()))

    @app.post(f"/v1/extensions/{{extension}}/{word}", **describe_act(f"{verb}Extension", word))
    async def of_extension(request: Request, agent: ByHeader, extension: str) -> Response:
        ask = await ask_of(request)
        result = await desk.act(agent, desk.call_of(agent, extension), action, ask)
        return _json(shown_result(result, desk.clock.utc_ns()))


def _add_key(app: FastAPI, desk: Desk, word: str, action: Action, kind: str | None) -> None:
    @app.get(f"/v1/action/{{extension}}/{word}", **describe_key(word))
    async def key(agent: ByQuery, extension: str, reason: Reason = None) -> Response:
        result = await desk.act(agent, desk.call_of(agent, extension), action, Ask(reason=reason, kind=kind))
        return PlainTextResponse("NOTED" if kind else result.status.state.value.upper())


def _json(content: dict[str, Any]) -> Response:
    return Response(json.dumps(content), media_type="application/json")
