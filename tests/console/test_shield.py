"""What is around every request."""

from __future__ import annotations

import pytest

from tests.console.fake import HOST, Served, bearer
from tests.console.test_routes import problem, run


def test_every_answer_carries_the_headers() -> None:
    async def scenario(api: Served) -> None:
        for path in ("/v1/calls", "/v1/calls/none", "/nothing", "/v1/openapi.json"):
            headers = (await api.http.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "server" not in headers
            assert not [name for name in headers if name.startswith("access-control")]

    run(scenario)


def test_pages_of_other_origins_do_nothing() -> None:
    async def scenario(api: Served) -> None:
        async def origin(origin: str, host: str = f"{HOST}:{api.port}") -> int:
            headers = {"Origin": origin, "Host": host}
            return (await api.http.post("/v1/calls/c1/pause", headers=headers)).status_code

        own = f"http://{HOST}:{api.port}"
        assert await origin(own) == 200
        assert await origin(f"http://localhost:{api.port}", f"localhost:{api.port}") == 200
        assert await origin("https://Recorder.example") == 200
        for strange in (
            "null",
            "https://evil.example",
            f"http://{HOST}",
            f"{own}.evil.example",
            "",
            "http://[",
            "x" * 99,
        ):
            assert await origin(strange) == 403, strange
        rebound = f"evil.example:{api.port}"
        assert await origin(f"http://{rebound}", rebound) == 403, "a name that was made to lead here"
        problem(await api.http.post("/v1/calls/c1/pause", headers={"Origin": "null"}), 403)
        assert (await api.http.get("/v1/calls", headers={"Origin": "null"})).status_code == 200

    run(scenario, origins=["https://recorder.example"])


def test_a_fault_is_a_problem_that_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(api: Served) -> None:
        api.controls.fault = RuntimeError("of +15550001234")
        answer = await api.http.get("/v1/calls")
        problem(answer, 500)
        assert "5550001234" not in answer.text
        api.controls.fault = None
        assert (await api.http.get("/v1/calls")).status_code == 200

    run(scenario)
    assert "RuntimeError in tests.console.fake line" in caplog.text
    assert "5550001234" not in caplog.text


def test_an_address_that_asks_too_often_is_told_when_to_ask_again() -> None:
    async def scenario(api: Served) -> None:
        answers = [await api.http.get("/v1/openapi.json") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 4 + [429]
        problem(answers[-1], 429)
        assert answers[-1].headers["retry-after"] == "1"

    run(scenario, requests_per_second_per_address=1.0)


def test_what_is_counted() -> None:
    async def scenario(api: Served) -> None:
        await api.http.get("/v1/extensions/201")
        await api.http.post("/v1/calls/c1/pause")
        await api.http.get("/v1/calls/c2")
        await api.http.get("/nothing/of/201")
        await api.http.get("/v1/calls", headers={"Authorization": "Bearer wrong"})

        def count(name: str, **labels: str) -> float:
            return api.registry.get_sample_value(f"hushtap_api_{name}", labels) or 0.0

        assert count("requests_total", route="/v1/extensions/{extension}", status="200") == 1
        assert count("requests_total", route="/v1/calls/{call}/pause", status="200") == 1
        assert count("requests_total", route="/v1/calls/{call}", status="404") == 1
        assert count("requests_total", route="none", status="404") == 1
        assert count("requests_total", route="/v1/calls", status="401") == 1
        assert count("authentication_failures_total") == 1
        assert count("acknowledgement_seconds_count", action="pause") == 1
        labels = [sample.labels for family in api.registry.collect() for sample in family.samples]
        assert not [each for each in labels if "201" in "".join(each.values())]

    run(scenario)


def test_a_wrong_token_in_a_body_unread_ends_the_connection() -> None:
    async def scenario(api: Served) -> None:
        answer = await api.http.post(
            "/v1/calls/c1/pause", content=b"x" * 1000, headers={"Authorization": "Bearer wrong"}
        )
        problem(answer, 401)
        assert answer.headers["connection"] == "close"
        again = await api.http.post("/v1/calls/c1/pause", json={}, headers=bearer("one"))
        assert "connection" not in again.headers

    run(scenario)
