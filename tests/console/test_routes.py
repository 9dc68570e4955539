"""Every route, as a client sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.console.shapes import Ask, Calls, Done, Holder, ProblemDetails, Status
from gateway.recording.messages import Outcome, RecordingNow
from tests.console.fake import TOKENS, Served, bearer, served

ACTIONS = ("pause", "resume", "toggle", "opt-out", "extend", "markers")
NOTE = {"kind": "told_caller"}


def run(scenario: Callable[[Served], Awaitable[None]], **settings: object) -> None:
    async def inside() -> None:
        async with served(**settings) as api:
            await scenario(api)

    asyncio.run(inside())


def problem(answer: httpx.Response, status: int) -> ProblemDetails:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == status, answer.text
    told = ProblemDetails.model_validate_json(answer.content)
    assert told.status == status
    return told


def done(answer: httpx.Response) -> Done:
    assert answer.status_code == 200, answer.text
    return Done.model_validate_json(answer.content)


def test_running_calls_are_those_of_the_token() -> None:
    async def scenario(api: Served) -> None:
        async def of(name: str, **query: str) -> list[str]:
            answer = await api.http.get("/v1/calls", headers=bearer(name), params=query)
            return [call.call for call in Calls.model_validate_json(answer.content).calls]

        api.controls.begin("c3", "203", "201")
        assert await of("one") == ["c3", "c1"]
        assert await of("two") == ["c3", "c2"]
        assert await of("all") == ["c3", "c2", "c1"]
        assert await of("all", extension="202") == ["c2"]
        assert await of("two", extension="203") == ["c3"]
        assert await of("all", extension="999") == []
        problem(await api.http.get("/v1/calls", params={"extension": "202"}), 403)

    run(scenario)


def test_a_call_tells_how_it_stands() -> None:
    async def scenario(api: Served) -> None:
        call = Status.model_validate_json((await api.http.get("/v1/calls/c1")).content)
        assert (call.state, call.cause, call.actor, call.resumes_in_seconds) == (
            "recording",
            None,
            None,
            None,
        )
        assert (call.extensions, call.direction, call.held, call.warning) == (
            ["201"],
            "inbound",
            False,
            False,
        )
        await api.http.post("/v1/calls/c1/pause")
        paused = Status.model_validate_json((await api.http.get("/v1/extensions/201")).content)
        assert (paused.call, paused.state, paused.cause, paused.actor) == (
            "c1",
            "paused",
            "agent",
            "00000001",
        )
        assert paused.resumes_in_seconds is not None
        assert 590 < paused.resumes_in_seconds <= 600
        assert paused.since > call.since
        assert paused.started == call.started

    run(scenario)


@pytest.mark.parametrize("base", ["/v1/calls/c1", "/v1/extensions/201"])
def test_everything_that_may_be_asked_is_done(base: str) -> None:
    async def scenario(api: Served) -> None:
        async def ask(action: str, body: dict[str, Any] | None = None) -> str:
            return done(await api.http.post(f"{base}/{action}", json=body)).status.state

        assert await ask("pause", {"reason": "payment", "ago_ms": 120}) == "paused"
        assert await ask("extend") == "paused"
        assert await ask("resume", {}) == "recording"
        assert await ask("toggle", {"ago_ms": 5}) == "paused"
        assert await ask("toggle") == "recording"
        assert await ask("markers", NOTE) == "recording"
        assert await ask("opt-out", {"reason": "distress"}) == "off"
        assert api.controls.asked == [
            ("pause", "c1", "00000001", "payment", 120_000_000),
            ("extend", "c1", "00000001"),
            ("resume", "c1", "00000001"),
            ("pause", "c1", "00000001", "", 5_000_000),
            ("resume", "c1", "00000001"),
            ("mark", "c1", "00000001", "told_caller"),
            ("opt_out", "c1", "00000001", "distress"),
        ]

    run(scenario)


def test_keys_of_desk_telephones() -> None:
    async def scenario(api: Served) -> None:
        async def key(word: str, **query: str) -> httpx.Response:
            return await api.http.get(
                f"/v1/action/201/{word}",
                params={"token": TOKENS["one"], **query},
                headers={"Authorization": ""},
            )

        for word, said in [
            ("pause", "PAUSED"), ("resume", "RECORDING"), ("toggle", "PAUSED"), ("told-caller", "NOTED"),
            ("abuse-reminder", "NOTED"), ("decision-read-back", "NOTED"), ("opt-out", "OFF"),
        ]:  # fmt: skip
            answer = await key(word)
            assert (answer.status_code, answer.text) == (200, said), word
            assert answer.headers["content-type"].startswith("text/plain")
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
        assert api.controls.asked[3:6] == [
            ("mark", "c1", "00000001", kind)
            for kind in ("told_caller", "abuse_reminder", "decision_read_back")
        ]
        assert (await key("pause", reason="payment")).status_code == 200
        assert problem(await key("pause", reason="because"), 422).allowed
        problem(await key("pause", reason="x" * 33), 422)
        assert (await api.http.head(f"/v1/action/201/pause?token={TOKENS['one']}")).status_code == 405
        problem(await api.http.post(f"/v1/action/201/pause?token={TOKENS['one']}"), 405)

    run(scenario)


def test_a_token_in_a_url_is_of_named_extensions_and_never_taken_elsewhere() -> None:
    async def scenario(api: Served) -> None:
        async def ask(path: str, token: str) -> httpx.Response:
            return await api.http.get(path, params={"token": token}, headers={"Authorization": ""})

        problem(await ask("/v1/action/201/pause", TOKENS["all"]), 403)
        problem(await ask("/v1/action/201/pause", TOKENS["two"]), 403)
        problem(await ask("/v1/action/201/pause", "ht_00000001_" + "A" * 43), 401)
        problem(await ask("/v1/action/203/pause", TOKENS["two"]), 404)
        problem(await ask("/v1/calls", TOKENS["one"]), 401)
        by_header = await api.http.get("/v1/action/201/pause")
        problem(by_header, 401)
        assert api.controls.asked == []

    run(scenario)


def test_what_is_another_s_cannot_be_told_from_what_is_not() -> None:
    async def scenario(api: Served) -> None:
        asks = [("GET", ""), *(("POST", f"/{action}") for action in ACTIONS)]
        for method, path in asks:
            answers = [
                await api.http.request(method, f"/v1/{of}{path}", headers=bearer(who), json=body)
                for who, of in (("one", "calls/c2"), ("one", "calls/nothing"), ("two", "calls/c1"))
                for body in [NOTE if path == "/markers" else None]
            ]
            problem(answers[0], 404)
            assert len({answer.content for answer in answers}) == 1
            answers = [
                await api.http.request(method, f"/v1/extensions/{extension}{path}", headers=bearer("one"))
                for extension in ("202", "203", "999")
            ]
            problem(answers[0], 403)
            assert len({answer.content for answer in answers}) == 1
        assert api.controls.asked == []

    run(scenario)


def test_of_several_calls_the_latest_that_is_not_held() -> None:
    async def scenario(api: Served) -> None:
        async def chosen() -> str:
            call: str = (await api.http.get("/v1/extensions/201")).json()["call"]
            return call

        api.controls.begin("later", "201")
        api.controls.begin("held", "201", held=True)
        assert await chosen() == "later"
        assert done(await api.http.post("/v1/extensions/201/pause")).status.call == "later"
        api.controls.begin("ended", "201", ended=True)
        assert await chosen() == "later"
        api.controls.end("later")
        assert await chosen() == "c1"
        api.controls.end("c1")
        assert await chosen() == "held"
        api.controls.end("held")
        assert await chosen() == "ended"
        api.controls.end("ended")
        problem(await api.http.get("/v1/extensions/201"), 404)
        problem(await api.http.post("/v1/extensions/201/pause"), 404)

    run(scenario)


def test_a_token_may_do_what_it_may() -> None:
    async def scenario(api: Served) -> None:
        assert (await api.http.get("/v1/calls/c1", headers=bearer("eyes"))).status_code == 200
        for action in ACTIONS:
            told = problem(
                await api.http.post(f"/v1/calls/c1/{action}", headers=bearer("eyes"), json=NOTE), 403
            )
            assert "may not" in told.detail
        holder = Holder.model_validate_json((await api.http.get("/v1/token")).content)
        assert (holder.actor, holder.extensions, set(holder.may)) == (
            "00000001", ["201"], {"pause", "opt-out", "mark"},
        )  # fmt: skip
        everybody = Holder.model_validate_json(
            (await api.http.get("/v1/token", headers=bearer("all"))).content
        )
        assert everybody.extensions is None
        assert api.controls.asked == []

    run(scenario)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.UNCHANGED, 200), (Outcome.LATE, 409), (Outcome.REFUSED, 409), (Outcome.UNCONFIRMED, 504)],
)
def test_what_became_of_it_is_told(outcome: Outcome, status: int) -> None:
    async def scenario(api: Served) -> None:
        api.controls.outcome = outcome
        answer = await api.http.post("/v1/calls/c1/pause")
        if status == 200:
            assert done(answer).outcome == outcome
            return
        told = problem(answer, status)
        assert (told.outcome, told.detail) == (outcome, "as the test wants it")
        assert told.call_status is not None
        assert (
            told.call_status.state
            == {
                Outcome.LATE: RecordingNow.PAUSED,
                Outcome.REFUSED: RecordingNow.RECORDING,
                Outcome.UNCONFIRMED: RecordingNow.UNKNOWN,
            }[outcome]
        )
        key = await api.http.get(f"/v1/action/201/toggle?token={TOKENS['one']}")
        problem(key, status)

    run(scenario)


def test_a_call_that_ends_meanwhile_is_no_longer_there() -> None:
    async def scenario(api: Served) -> None:
        async def ended(*_: object, **__: object) -> None:
            api.controls.status("ended")

        api.controls.pause = ended  # type: ignore[assignment,method-assign]
        assert "ended" in problem(await api.http.post("/v1/calls/c1/pause"), 404).detail

    run(scenario)


NO_BODIES = [
    (b"{", 400, "not JSON"),
    (b"\r", 400, "not JSON"),
    (b"\xff\xfe", 400, "not JSON"),
    (b"[" * 4000, 400, "not JSON"),
    (b"[]", 422, "not what is expected"),
    (b"null", 422, "not what is expected"),
    (b'{"reason": 1}', 422, "not what is expected"),
    (b'{"resaon": "payment"}', 422, "not what is expected"),
    (b'{"ago_ms": -1}', 422, "not what is expected"),
    (b'{"ago_ms": 10001}', 422, "not what is expected"),
    (b'{"ago_ms": 1e400}', 422, "not what is expected"),
    (b'{"reason": "because"}', 422, "not among those configured"),
    (b'{"reason": ""}', 422, "not among those configured"),
    (b'{"reason": "' + b"x" * 5000 + b'"}', 413, "larger than 4,096"),
]


def test_bodies_that_are_none() -> None:
    async def scenario(api: Served) -> None:
        for body, status, said in NO_BODIES:
            answer = await api.http.post(
                "/v1/calls/c1/pause", content=body, headers={"content-type": "application/json"}
            )
            told = problem(answer, status)
            assert said in told.detail, body
            if "configured" in said:
                assert told.allowed == ["distress", "caller_asked", "payment"]
            assert b"because" not in answer.content
        assert api.controls.asked == []

    run(scenario)


def test_a_fault_in_the_body_is_pointed_at() -> None:
    async def scenario(api: Served) -> None:
        told = problem(await api.http.post("/v1/calls/c1/pause", json={"ago_ms": "4111"}), 422)
        assert told.errors
        assert [error.pointer for error in told.errors] == ["/ago_ms"]
        assert "4111" not in told.model_dump_json()

    run(scenario)


def test_other_bodies_than_json_are_refused_and_none_is_fine() -> None:
    async def scenario(api: Served) -> None:
        problem(await api.http.post("/v1/calls/c1/pause", data={"reason": "payment"}), 415)
        done(await api.http.post("/v1/calls/c1/pause", content=b"", headers={"content-type": "text/plain"}))
        content = b'{"reason":"payment"}'
        done(
            await api.http.post(
                "/v1/calls/c1/pause",
                content=content,
                headers={"content-type": "Application/JSON; charset=utf-8"},
            )
        )

    run(scenario)


def test_a_marker_needs_a_kind_that_is_known() -> None:
    async def scenario(api: Served) -> None:
        assert problem(await api.http.post("/v1/calls/c1/markers"), 422).allowed == [
            "told_caller", "abuse_reminder", "decision_read_back",
        ]  # fmt: skip
        assert problem(await api.http.post("/v1/calls/c1/markers", json={"kind": "other"}), 422).errors

    run(scenario)


def test_reasons_where_they_are_wanted() -> None:
    async def scenario(api: Served) -> None:
        told = problem(await api.http.post("/v1/calls/c1/opt-out"), 422)
        assert told.allowed == ["distress"]
        problem(await api.http.get(f"/v1/action/201/opt-out?token={TOKENS['one']}"), 422)
        for pause in ("pause", "toggle"):
            problem(await api.http.post(f"/v1/calls/c1/{pause}"), 422)
            assert api.controls.asked == []
        done(await api.http.post("/v1/calls/c1/toggle", json={"reason": "distress"}))
        done(await api.http.post("/v1/calls/c1/toggle"))
        done(await api.http.post("/v1/calls/c1/opt-out", json={"reason": "distress"}))

    run(scenario, reasons=["distress"], require_reason=["opt-out", "pause"])


def test_what_no_route_answers_is_a_problem_too() -> None:
    async def scenario(api: Served) -> None:
        for path in (
            "/",
            "/v1",
            "/v1/calls/",
            "/v1/calls/c1/",
            "/v1/calls/c1/fly",
            "/docs",
            "/openapi.json",
            "/%00",
        ):
            problem(await api.http.get(path), 404)
        answer = await api.http.put("/v1/calls/c1")
        problem(answer, 405)
        assert answer.headers["allow"] == "GET"

    run(scenario)


def test_an_ask_without_anything_is_the_default() -> None:
    assert Ask() == Ask(reason=None, ago_ms=0, kind=None)
