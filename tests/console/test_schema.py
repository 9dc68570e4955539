"""The OpenAPI document: valid, complete, and what the API does."""

from __future__ import annotations

import asyncio
from typing import Any

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.console.fake import Served, served


def document(**settings: object) -> tuple[dict[str, Any], set[tuple[str, str]]]:
    """As served, and the routes that there are."""

    async def fetch() -> dict[str, Any]:
        async with served(**settings) as api:
            answer = await api.http.get("/v1/openapi.json", headers={"Authorization": ""})
            assert answer.headers["content-type"] == "application/json"
            found: dict[str, Any] = answer.json()
            return found

    made = asyncio.run(fetch())
    return made, {(method, path) for path, item in made["paths"].items() for method in item}


def test_it_is_openapi_3_1() -> None:
    made, _ = document()
    assert made["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(made).validate()


def test_every_route_is_in_it() -> None:
    _, routes = document()
    acts = ("pause", "resume", "toggle", "opt-out", "extend", "markers")
    keys = ("pause", "resume", "toggle", "opt-out", "told-caller", "abuse-reminder", "decision-read-back")
    assert routes == (
        {("get", f"/v1/{path}") for path in ("token", "calls", "calls/{call}", "extensions/{extension}")}
        | {("post", f"/v1/{of}/{act}") for of in ("calls/{call}", "extensions/{extension}") for act in acts}
        | {("get", f"/v1/action/{{extension}}/{key}") for key in keys}
    )


def test_every_operation_is_described_whole() -> None:
    made, routes = document()
    operations = [made["paths"][path][method] for method, path in routes]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["security"] in ([{"bearer": []}], [{"query": []}])
        expected = {"200", "401", "429", "500", "503"} | (
            {"404"} if operation.get("parameters", [{}])[0].get("in") == "path" else set()
        )
        assert expected <= set(operation["responses"])
        for status, answer in operation["responses"].items():
            kinds = set(answer["content"])
            assert (
                kinds in ({"application/json"}, {"text/plain"})
                if status == "200"
                else kinds == {"application/problem+json"}
            )
    assert set(made["components"]["securitySchemes"]) == {"bearer", "query"}
    assert "HTTPValidationError" not in made["components"]["schemas"]


def bodies(made: dict[str, Any], action: str) -> list[OAS31Validator]:
    """Of the two operations that do so."""
    found = [
        item["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, item in made["paths"].items()
        if path.endswith(f"/{action}") and "post" in item
    ]
    return [OAS31Validator({**schema, "components": made["components"]}) for schema in found]


def test_what_it_allows_is_taken_and_nothing_else() -> None:
    """Reasons are those configured, and required where they are; a marker needs its kind; 120.0 is an integer."""
    settings = {"reasons": ("distress", "payment"), "require_reason": ("opt-out",)}
    made, _ = document(**settings)
    asks: list[dict[str, Any]] = [
        {}, {"ago_ms": 120.0}, {"ago_ms": 0.5}, {"ago_ms": 10_001}, {"ago_ms": True}, {"ago_ms": "5"},
        {"reason": "payment"}, {"reason": "other"}, {"reason": None}, {"kind": "told_caller"}, {"kind": None},
        {"kind": "other"}, {"reason": "payment", "kind": "told_caller"}, {"more": 1},
    ]  # fmt: skip

    async def ask(action: str) -> list[bool]:
        async with served(**settings) as api:
            answers = [await api.http.post(f"/v1/calls/c1/{action}", json=each) for each in asks]
            return [answer.status_code != 422 for answer in answers]

    for action in ("pause", "resume", "toggle", "extend", "opt-out", "markers"):
        taken = asyncio.run(ask(action))
        assert any(taken)
        for schema in bodies(made, action):
            assert [schema.is_valid(each) for each in asks] == taken, action
    (reason,) = [
        each
        for each in made["paths"]["/v1/action/{extension}/opt-out"]["get"]["parameters"]
        if each["name"] == "reason"
    ]
    assert reason["required"]
    assert reason["schema"]["enum"] == ["distress", "payment"]


def test_no_status_is_answered_that_is_not_in_it() -> None:
    """What the other tests of routes provoke, by each operation that takes a body."""
    made, _ = document()
    post = made["paths"]["/v1/calls/{call}/pause"]["post"]["responses"]

    async def provoke(api: Served) -> set[int]:
        asks: list[dict[str, Any]] = [
            {},
            {"content": b"{"},
            {"content": b"{", "headers": {"content-type": "application/json"}},
            {"content": b" " * 5000},
            {"json": {"reason": "other"}},
            {"headers": {"Authorization": ""}},
            {"headers": {"Origin": "https://elsewhere.example"}},
        ]
        return {(await api.http.post("/v1/calls/c1/pause", **ask)).status_code for ask in asks}

    async def inside() -> set[int]:
        async with served() as api:
            return await provoke(api)

    statuses = asyncio.run(inside())
    assert statuses == {200, 400, 401, 403, 413, 415, 422}
    assert {str(status) for status in statuses} <= set(post)
