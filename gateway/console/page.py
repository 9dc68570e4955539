"""The call-taker's page at /agent: a few files, read once, so that no request waits for a disk."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import FastAPI
from starlette.responses import Response

from gateway.console.problems import Problem

INDEX = "index.html"
# Its own scripts, styles, pictures and sounds; requests and WebSockets to where it came from.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_page(app: FastAPI, folder: Traversable | None = None) -> None:
    """`/agent`, and its files below it: a page refers to them as `/agent/NAME`."""
    stored = _read(folder or files("gateway.console") / "static")

    async def index() -> Response:
        return _answer(stored, INDEX)

    async def file(name: str) -> Response:
        return _answer(stored, name)

    app.get("/agent", include_in_schema=False)(index)
    app.get("/agent/{name}", include_in_schema=False)(file)


def _read(folder: Traversable) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def _answer(stored: dict[str, bytes], name: str) -> Response:
    content = stored.get(name)
    if content is None:
        raise Problem(404, "there is no such page")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(content, media_type=kind, headers={"Content-Security-Policy": POLICY})
