"""Puts the API together."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway import __version__
from gateway.config.api import ApiSettings
from gateway.console.desk import Desk
from gateway.console.gate import Agents, Clock, Gate
from gateway.console.live import Broadcast
from gateway.console.meters import Meters
from gateway.console.page import add_page
from gateway.console.problems import Problem
from gateway.console.routes import add_routes
from gateway.console.schema import document
from gateway.console.shield import Shield
from gateway.console.socket import LiveSocket
from gateway.recording.control import Controls


def make_app(
    controls: Controls, agents: Agents, settings: ApiSettings, meters: Meters, clock: Clock
) -> tuple[FastAPI, Broadcast]:
    """The application, and what must run beside it. Documentation pages would load scripts of strangers: there are none."""
    app = FastAPI(
        title="HushTap",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    gate = app.state.gate = Gate(agents, settings, clock, meters)
    broadcast = Broadcast(controls, agents, clock)
    live = LiveSocket(gate, broadcast, meters, settings.max_live)
    add_routes(app, Desk(controls, settings, clock, meters))
    specification = json.dumps(document(app, settings)).encode()
    add_page(app)

    async def openapi() -> Response:
        return Response(specification, media_type="application/json")

    async def watch(socket: WebSocket) -> None:
        await live.serve(socket)

    app.get("/v1/openapi.json", include_in_schema=False)(openapi)
    app.websocket("/v1/live")(watch)
    app.add_exception_handler(Problem, answer_problem)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_middleware(Shield, gate=gate, meters=meters, origins=settings.origins, most=settings.max_requests)
    return app, broadcast


async def answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _routing(_: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    said = {404: "there is no such path", 405: "this path is not asked with this method"}
    return Problem(error.status_code, said.get(error.status_code, error.detail), error.headers).response()


async def _parameters(_: Request, error: Exception) -> Response:
    return Problem(422, "a parameter of the query or the path is not what is expected").response()
