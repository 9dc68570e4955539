"""The OpenAPI document: what FastAPI sees of the routes, and the bodies and problems that it does not see."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import PlainTextResponse
from pydantic.json_schema import models_json_schema

from gateway.config.api import ApiSettings
from gateway.console.problems import MEDIA_TYPE
from gateway.console.shapes import Ask, Calls, Done, Hello, Holder, Live, ProblemDetails, Status

ABOUT = """\
Acts on running calls. A request is answered when the gateway has done what it asks, never before.

A WebSocket at `/v1/live` tells how calls stand: the client's first message is a `Hello`; the server then sends a
`Live` at once, at every change, and at least every second. It is closed with 4400 when the first message is no `Hello`,
4401 when the token is not known or was revoked, 4403 when it is not for the extension, 4408 when no `Hello` came, 4429
when there were too many.
"""
TAKEN = (Ask, Hello, ProblemDetails)
GIVEN = (Calls, Done, Holder, Live, Status)  # with every member, always
WHY = {
    400: "The body is not JSON.",
    401: "No token, or none that is known.",
    403: "The token is not for that extension, or may not do this; or the origin is a strange one.",
    404: "No such call is running, or it is none of this token's.",
    408: "The body did not come.",
    409: "Refused, or applied too late to cover all that it should have: `outcome` tells, `call_status` how the call stands.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "The body, its reason or the marker's kind is not what is expected: `errors` or `allowed` tell.",
    429: "Too many requests of this token or address; Retry-After tells when to try again.",
    500: "A fault of the gateway.",
    503: "Too many requests at once.",
    504: "No media worker confirmed in time: nobody can say whether it was done.",
}
ALWAYS = (401, 429, 500, 503)
ACTS = (*ALWAYS, 403, 404, 409, 422, 504)

Description = dict[str, Any]


def describe_read(operation: str, summary: str, gives: str, *problems: int) -> Description:
    return _described(
        operation, summary, "calls", "application/json", _reference(gives), (*ALWAYS, *problems)
    )


def describe_act(operation: str, action: str) -> Description:
    of = "the call an extension is on" if operation.endswith("Extension") else "a call"
    described = _described(
        operation,
        f"{action} of {of}",
        "acts",
        "application/json",
        _reference("Done"),
        (*ACTS, 400, 408, 413, 415),
    )
    body = {"content": {"application/json": {"schema": _reference("Ask")}}}
    return described | {"openapi_extra": {"requestBody": body}}


def describe_key(word: str) -> Description:
    text = {"type": "string", "enum": ["RECORDING", "PAUSED", "OFF", "UNKNOWN", "NOTED"]}
    operation = "key" + "".join(part.title() for part in word.split("-"))
    described = _described(
        operation, f"{word}, for a key of a desk telephone", "keys", "text/plain", text, ACTS
    )
    return described | {"response_class": PlainTextResponse}


def _described(
    operation: str, summary: str, tag: str, kind: str, schema: Description, problems: tuple[int, ...]
) -> Description:
    good = {"description": "As it is now.", "content": {kind: {"schema": schema}}}
    answers: dict[int | str, Description] = {200: good}
    for status in sorted(problems):
        answers[status] = {
            "description": WHY[status],
            "content": {MEDIA_TYPE: {"schema": _reference("ProblemDetails")}},
        }
        if status in (429, 503):
            answers[status]["headers"] = {
                "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
            }
    return {"operation_id": operation, "summary": summary, "tags": [tag], "responses": answers}


def _reference(model: str) -> Description:
    return {"$ref": f"#/components/schemas/{model}"}


def document(app: FastAPI, settings: ApiSettings) -> Description:
    """OpenAPI 3.1, made once the routes are there; what the settings allow and require is in it."""
    made = get_openapi(
        title=app.title, version=app.version, description=ABOUT, routes=app.routes, openapi_version="3.1.0"
    )
    _, schemas = models_json_schema(
        [(model, "validation") for model in TAKEN] + [(model, "serialization") for model in GIVEN],
        ref_template="#/components/schemas/{model}",
    )
    made["components"]["schemas"] = schemas["$defs"]
    _drop_framework_answers(made)
    _name_reasons(made, settings)
    return made


def _name_reasons(made: Description, settings: ApiSettings) -> None:
    """Which reasons may be given, and what must be: a reason where it is required, a marker's kind."""
    code = {"type": "string", "enum": list(settings.reasons)}
    asked = made["components"]["schemas"]["Ask"]["properties"]["reason"]
    asked["anyOf"] = [code, {"type": "null"}] if settings.reasons else [{"type": "null"}]
    for path, item in made["paths"].items():
        action = path.rpartition("/")[2]
        reasoned = action in settings.require_reason
        for parameter in item.get("get", {}).get("parameters", ()):
            if parameter["name"] == "reason":
                parameter |= {"required": reasoned, "schema": code}
        needed = {"reason": code} if reasoned else {"kind": {"type": "string"}} if action == "markers" else {}
        if needed and "post" in item:
            body = item["post"]["requestBody"]
            body["required"] = True
            body["content"]["application/json"]["schema"] = {
                "allOf": [_reference("Ask")],
                "properties": needed,
                "required": list(needed),
            }


def _drop_framework_answers(made: Description) -> None:
    """The 422 that FastAPI adds wherever there is a parameter; ours of text never fail."""
    for path in made["paths"].values():
        for operation in path.values():
            unknown = operation["responses"].get("422", {}).get("content", {}).get("application/json")
            if unknown:
                del operation["responses"]["422"]
