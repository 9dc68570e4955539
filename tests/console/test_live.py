"""Live state over the WebSocket."""

from __future__ import annotations

import asyncio
import json
import socket as network
import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.config.api import ApiSettings
from gateway.console import socket
from gateway.console.shapes import Live, ProblemDetails
from tests.console.fake import HOST, TOKENS, Served
from tests.console.test_routes import run
from tests.patience import PATIENCE_SECONDS

HELLO = json.dumps({"token": TOKENS["one"]})


def hello(name: str, **more: str) -> str:
    return json.dumps({"token": TOKENS[name], **more})


async def told(watching: ClientConnection) -> dict[str, str]:
    """The next message: each call's state."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        live = Live.model_validate_json(await watching.recv())
    return {call.call: call.state.value for call in live.calls}


async def told_until(watching: ClientConnection, wanted: dict[str, str]) -> None:
    while await told(watching) != wanted:
        pass


async def closed(watching: ClientConnection) -> int:
    """How the connection ends."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                await watching.recv()
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else 0


def test_how_calls_stand_is_told_at_once_and_at_every_change() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            await watching.send(HELLO)
            assert await told(watching) == {"c1": "recording"}
            await api.http.post("/v1/calls/c1/pause")
            await told_until(watching, {"c1": "paused"})
            api.controls.begin("c3", "201")
            await told_until(watching, {"c3": "recording", "c1": "paused"})
            api.controls.end("c1")
            api.controls.end("c3")
            await told_until(watching, {})

    run(scenario)


def test_each_sees_its_own() -> None:
    async def scenario(api: Served) -> None:
        expected: list[tuple[str, dict[str, str]]] = [
            (hello("two"), {"c2": "recording"}),
            (hello("two", extension="203"), {}),
            (hello("all"), {"c2": "recording", "c1": "recording"}),
            (hello("all", extension="201"), {"c1": "recording"}),
            (hello("eyes"), {"c1": "recording"}),
        ]
        for first, seen in expected:
            async with connect(api.live) as watching:
                await watching.send(first)
                assert await told(watching) == seen

    run(scenario)


def test_a_call_of_two_extensions_is_told_once() -> None:
    async def scenario(api: Served) -> None:
        api.controls.begin("both", "202", "203")
        async with connect(api.live) as watching:
            await watching.send(hello("two"))
            async with asyncio.timeout(PATIENCE_SECONDS):
                calls = Live.model_validate_json(await watching.recv()).calls
            assert [call.call for call in calls] == ["both", "c2"]

    run(scenario)


def test_without_a_change_there_is_a_message_every_second() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            await watching.send(HELLO)
            times, seconds = [], []
            for _ in range(3):
                live = Live.model_validate_json(await watching.recv())
                times.append(time.monotonic())
                seconds.append(live.calls[0].seconds)
            assert seconds == sorted(set(seconds)), "each says anew how long it has been so"
            assert times[2] - times[0] > 0.5, "and no more than that"

    run(scenario)


def test_a_fault_is_a_silence_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            await watching.send(HELLO)
            await told(watching)
            api.controls.fault = RuntimeError("of +15550001234")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while "live state: RuntimeError" not in caplog.text:
                    await asyncio.sleep(0.01)
            api.controls.fault = None
            api.controls.end("c1")
            await told_until(watching, {})

    run(scenario)
    assert "5550001234" not in caplog.text


def test_a_revoked_token_sees_nothing_more() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as one, connect(api.live) as other:
            await one.send(HELLO)
            await other.send(hello("all"))
            await told(one)
            del api.agents.agents["00000001"]
            assert await closed(one) == 4401
            assert await told(other)
        assert (await api.http.get("/v1/calls")).status_code == 401

    run(scenario)


NO_HELLOS: list[tuple[str | bytes, int]] = [
    ("", 4400),
    ("{", 4400),
    ("[]", 4400),
    (b"\x00\xff", 4400),
    (json.dumps({"token": TOKENS["one"], "more": 1}), 4400),
    (json.dumps({"token": "x" * 1000}), 4400),
    (json.dumps({"token": "ht_00000001_" + "A" * 43}), 4401),
    (json.dumps({"token": ""}), 4401),
    (hello("one", extension="202"), 4403),
    ("x" * 5000, 1009),
]


def test_first_messages_that_are_none() -> None:
    async def scenario(api: Served) -> None:
        for first, code in NO_HELLOS:
            async with connect(api.live) as watching:
                await watching.send(first)
                assert await closed(watching) == code, first

    run(scenario)


def test_a_client_has_nothing_more_to_say() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            await watching.send(HELLO)
            await told(watching)
            await watching.send(HELLO)
            assert await closed(watching) == 4400

    run(scenario)


def test_who_leaves_is_forgotten_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(api: Served) -> None:
        for said in ((), (HELLO,), (HELLO, HELLO), ("x",)):
            watching = await connect(api.live)
            for each in said:
                await watching.send(each)
            watching.transport.abort()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while api.registry.get_sample_value("hushtap_api_live"):
                await asyncio.sleep(0.01)

    run(scenario)
    assert not caplog.records


def test_who_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "HELLO_SECONDS", 0.05)

    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            assert await closed(watching) == 4408

    run(scenario)


def test_so_many_watch_and_no_more() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as first, connect(api.live):
            with pytest.raises(InvalidStatus) as refused:
                await connect(api.live)
            answer = refused.value.response
            assert ProblemDetails.model_validate_json(answer.body or b"").status == answer.status_code == 503
            assert api.registry.get_sample_value("hushtap_api_live") == 2
            await first.close()
            async with asyncio.timeout(PATIENCE_SECONDS):
                while api.registry.get_sample_value("hushtap_api_live") != 1:
                    await asyncio.sleep(0)
            async with connect(api.live) as again:
                await again.send(HELLO)
                assert await told(again)

    run(scenario, max_live=2)


def test_a_slow_reader_is_dropped_and_slows_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "SEND_SECONDS", 0.1)

    async def scenario(api: Served) -> None:
        for index in range(3000):
            api.controls.begin(f"n{index}", "300")
        async with connect(api.live) as other:
            await other.send(HELLO)
            narrow = network.socket()
            narrow.setsockopt(network.SOL_SOCKET, network.SO_RCVBUF, 4096)
            narrow.connect((HOST, api.port))
            slow = await connect(api.live, sock=narrow, max_queue=1, max_size=None)
            await slow.send(hello("all"))  # some megabyte a second, of which nothing is read
            async with asyncio.timeout(30):
                while not api.registry.get_sample_value(
                    "hushtap_api_refused_connections_total", {"why": "slow"}
                ):
                    api.controls.begin("changing", "300")
                    await asyncio.sleep(0.05)
            assert await told(other) == {"c1": "recording"}
            slow.transport.abort()

    run(scenario)


def test_strange_pages_see_nothing_and_leave_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(api: Served) -> None:
        with pytest.raises(InvalidStatus) as refused:
            await connect(api.live, additional_headers={"Origin": "https://evil.example"})
        assert refused.value.response.status_code == 403
        own = f"http://127.0.0.1:{api.port}"
        async with connect(api.live, additional_headers={"Origin": own}) as watching:
            await watching.send(HELLO)
            assert await told(watching)

    run(scenario)
    assert not caplog.records


def test_many_changes_at_once_are_few_messages() -> None:
    async def scenario(api: Served) -> None:
        async with connect(api.live) as watching:
            await watching.send(hello("all"))
            for index in range(500):
                api.controls.begin(f"n{index}", "300")
            messages = 0
            while len(await told(watching)) < 502:
                messages += 1
            assert messages < 20

    run(scenario)


def test_the_end_of_the_gateway_is_told() -> None:
    held: list[ClientConnection] = []

    async def scenario(api: Served) -> None:
        watching: Any = await connect(api.live)
        await watching.send(HELLO)
        await told(watching)
        held.append(watching)
        asyncio.get_running_loop().create_task(_note(watching))

    ends: list[int] = []

    async def _note(watching: ClientConnection) -> None:
        ends.append(await closed(watching))

    run(scenario)
    assert ends == [1012]
    assert ApiSettings().max_live > 1000
