"""A request's body: JSON, small, and soon."""

from __future__ import annotations

import asyncio

from fastapi import Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from gateway.console.problems import Problem
from gateway.console.shapes import Ask, Fault

MAX_BYTES = 4096  # what may be asked takes some hundred
SECONDS = 5.0  # it fits in one packet


async def ask_of(request: Request) -> Ask:
    """What a request says; without a body, nothing. Raises Problem."""
    body = await _read(request)
    if not body:
        return Ask()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "the body is expected as application/json", {"Accept": "application/json"})
    try:
        return Ask.model_validate_json(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
    if faults[0]["type"] == "json_invalid":
        raise Problem(400, "the body is not JSON")
    errors = [
        Fault(pointer="".join(f"/{step}" for step in fault["loc"]), detail=fault["msg"]).model_dump()
        for fault in faults
    ]
    raise Problem(422, "the body is not what is expected here", errors=errors)


async def _read(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise Problem(
                        413, f"the body is larger than {MAX_BYTES:,} bytes", {"Connection": "close"}
                    )
    except TimeoutError:
        raise Problem(408, f"the body was not there after {SECONDS:g} s", {"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the client left before the end of the body") from None
    return bytes(body)
