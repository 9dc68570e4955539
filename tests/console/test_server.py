"""The port: slow and many clients, TLS, begin and end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from gateway.config.api import ApiSettings
from gateway.console import body, connections, server
from gateway.console.server import ApiFault, serving
from gateway.recording.control import Result
from tests.console.fake import HOST, SECRETS, TOKENS, FakeAgents, FakeControls, Served, bearer, served
from tests.console.test_live import HELLO, told
from tests.console.test_routes import problem, run
from tests.io.certificates import Authority
from tests.patience import PATIENCE_SECONDS


async def spoken(api: Served, *parts: bytes) -> bytes:
    """What comes back on a connection of its own until the server closes it."""
    reader, writer = await asyncio.open_connection(HOST, api.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def head(token: str = TOKENS["one"], **headers: str) -> bytes:
    lines = ["POST /v1/calls/c1/pause HTTP/1.1", "Host: x", f"Authorization: Bearer {token}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SECONDS", 0.05)

    async def scenario(api: Served) -> None:
        answer = await spoken(api, head(Content_Type="application/json", Content_Length="10"), b'{"rea')
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in answer
        assert api.controls.asked == []

    run(scenario)


def test_a_head_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.05)

    async def scenario(api: Served) -> None:
        assert await spoken(api) == b"", "nothing at all"
        assert await spoken(api, head()[:20]) == b""
        reader, writer = await asyncio.open_connection(HOST, api.port)
        writer.write(head(Content_Length="0"))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /v1/ca")
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                assert b"HTTP" not in await reader.read(), "nor on a connection that was good for one"
        writer.close()
        refused = api.registry.get_sample_value("hushtap_api_refused_connections_total", {"why": "slow"})
        assert refused == 3

    run(scenario)


def test_endless_bodies_and_heads_are_cut_off() -> None:
    async def scenario(api: Served) -> None:
        endless = [b"x" * 65_536] * 64
        for sent in (
            [head(Content_Length="999999999"), *endless],
            [head(Transfer_Encoding="chunked"), *[b"10000\r\n" + part + b"\r\n" for part in endless]],
            [head("wrong", Content_Length="999999999"), *endless],
            [b"GET / HTTP/1.1\r\nX: ", *endless],
        ):
            answer = await spoken(api, *sent)  # empty where the connection was reset before it could be read
            assert not answer or answer.split()[1] in (b"413", b"401", b"400"), answer[:100]
        assert (await api.http.get("/v1/calls")).status_code == 200
        assert api.controls.asked == []

    run(scenario)


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00", b"HELO x\r\n\r\n", b"GET /\r\n\r\n", b"\r\n" * 99 + b"\0\r\n\r\n"]
)
def test_what_is_no_http_gets_a_problem(sent: bytes) -> None:
    async def scenario(api: Served) -> None:
        answer = await spoken(api, sent + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in answer

    run(scenario)


def test_of_one_address_so_many_connections() -> None:
    async def scenario(api: Served) -> None:
        held = [await asyncio.open_connection(HOST, api.port) for _ in range(4)]
        assert await spoken(api, head()) == b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            held[0][1].close()
            await held[0][1].wait_closed()
            while not (await spoken(api, head(Connection="close"))).startswith(b"HTTP/1.1 200"):
                await asyncio.sleep(0)
        for _, writer in held:
            writer.close()

    run(scenario, max_connections_per_address=4)


def test_a_web_socket_keeps_its_place_among_the_connections() -> None:
    async def scenario(api: Served) -> None:
        watching = [await connect(api.live) for _ in range(4)]
        for each in watching:
            await each.send(HELLO)
            await told(each)
        assert await spoken(api, head()) == b""
        for each in watching:
            await each.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await spoken(api, head(Connection="close"))).startswith(b"HTTP/1.1 200"):
                await asyncio.sleep(0)

    run(scenario, max_connections_per_address=4)


def test_so_many_requests_at_once() -> None:
    async def scenario(api: Served) -> None:
        go, waiting = asyncio.Event(), asyncio.Semaphore(0)
        pause = api.controls.pause

        async def slow(call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
            waiting.release()
            await go.wait()
            return await pause(call_id, actor, reason, ago_ns)

        api.controls.pause = slow  # type: ignore[method-assign]
        asks = [asyncio.create_task(api.http.post("/v1/calls/c1/pause")) for _ in range(8)]
        for _ in asks:
            await waiting.acquire()
        refused = await api.http.get("/v1/calls")
        problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        go.set()
        assert [(await ask).status_code for ask in asks] == [200] * 8
        assert (await api.http.get("/v1/calls")).status_code == 200

    run(scenario, max_requests=8)


def test_no_token_and_no_extension_is_ever_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def scenario(api: Served) -> None:
        logging.getLogger("httpx").setLevel(logging.WARNING)  # the test's own client
        logging.getLogger("httpcore").setLevel(logging.WARNING)
        logging.getLogger("websockets").setLevel(logging.WARNING)
        await api.http.get(f"/v1/action/201/pause?token={TOKENS['one']}")
        await api.http.get(f"/v1/action/4111111111111111/pause?token={TOKENS['one']}")
        api.controls.fault = RuntimeError(TOKENS["one"])
        await api.http.get(f"/v1/action/201/pause?token={TOKENS['one']}")
        api.controls.fault = None
        async with connect(f"{api.live}?token={TOKENS['one']}") as watching:
            await watching.send(HELLO)
            await told(watching)
        await spoken(api, f"GET /v1/action/201/pause?token={TOKENS['one']} HTTP/9\r\n\r\n".encode())

    run(scenario)
    for hidden in (SECRETS["one"], "/201/", "4111111111111111"):
        assert hidden not in caplog.text


def test_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("recorder")

    async def inside() -> None:
        settings = ApiSettings(port=0, certificate=certificate, key=key)
        context = ssl.create_default_context(cafile=str(authority.path))
        async with (
            serving(settings, FakeControls(), FakeAgents(), CollectorRegistry()) as port,
            httpx.AsyncClient(verify=context, headers=bearer("one")) as http,
        ):
            url = f"https://{HOST}:{port}/v1/calls"
            answer = await http.get(url)
            assert (answer.status_code, answer.json()) == (200, {"calls": []})
            own = {"Origin": f"https://{HOST}:{port}"}
            assert (await http.post(f"{url}/c1/pause", headers=own)).status_code == 404
            async with connect(f"wss://{HOST}:{port}/v1/live", ssl=context) as watching:
                await watching.send(HELLO)
                assert await told(watching) == {}

    asyncio.run(inside())


def test_handshakes_are_counted_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HANDSHAKE_SECONDS", 0.2)
    certificate, key = Authority(tmp_path).issue("recorder")
    registry = CollectorRegistry()

    def refused(why: str) -> float:
        return registry.get_sample_value("hushtap_api_refused_connections_total", {"why": why}) or 0

    async def silent(port: int, said: bytes = b"") -> None:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(said)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                assert await reader.read() == b""
        writer.close()

    async def inside() -> None:
        settings = ApiSettings(port=0, certificate=certificate, key=key, max_connections_per_address=4)
        async with serving(settings, FakeControls(), FakeAgents(), registry) as port:
            await asyncio.gather(*(silent(port) for _ in range(6)))
            assert (refused("tls"), refused("number")) == (4, 2)
            await silent(port, b"GET /v1/calls HTTP/1.1\r\n\r\n")
            assert refused("tls") == 5

    asyncio.run(inside())


def faults(settings: ApiSettings) -> str:
    async def inside() -> None:
        async with serving(settings, FakeControls(), FakeAgents(), CollectorRegistry()):
            pass

    with pytest.raises(ApiFault) as fault:
        asyncio.run(inside())
    return str(fault.value)


def test_why_it_cannot_be_served_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        assert (
            faults(ApiSettings(port=port))
            == f"the API cannot be served on {HOST}:{port}: Address already in use"
        )
    assert "192.0.2.1:9480" in faults(ApiSettings(address="192.0.2.1"))
    assert "nowhere.invalid:9480" in faults(ApiSettings(address="nowhere.invalid"))
    absent = ApiSettings(port=0, certificate=tmp_path / "chain.pem", key=tmp_path / "key.pem")
    assert "key.pem: No such file" in faults(absent)


def test_signals_are_left_to_the_gateway() -> None:
    async def inside() -> None:
        handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
        async with served():
            assert handlers == [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    asyncio.run(inside())


def test_a_request_under_way_is_answered_before_the_end() -> None:
    answers: list[asyncio.Task[httpx.Response]] = []

    async def inside() -> None:
        http = httpx.AsyncClient(headers=bearer("one"))
        async with served() as api:
            begun, go = asyncio.Event(), asyncio.Event()
            pause = api.controls.pause

            async def slow(call_id: str, actor: str, reason: str = "", ago_ns: int = 0) -> Result:
                begun.set()
                await go.wait()
                return await pause(call_id, actor, reason, ago_ns)

            api.controls.pause = slow  # type: ignore[method-assign]
            answers.append(asyncio.create_task(http.post(f"http://{HOST}:{api.port}/v1/calls/c1/pause")))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, go.set)
        assert (await answers[0]).status_code == 200
        await http.aclose()

    asyncio.run(inside())


def test_a_certificate_that_changes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOK_SECONDS", 0.01)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("recorder")

    def serial(port: int) -> int:
        context = ssl.create_default_context(cafile=str(authority.path))
        with (
            socket.create_connection((HOST, port)) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as tls,
        ):
            shown = tls.getpeercert()
            assert shown
            return int(str(shown["serialNumber"]), 16)

    async def inside() -> None:
        settings = ApiSettings(port=0, certificate=certificate, key=key)
        async with serving(settings, FakeControls(), FakeAgents(), CollectorRegistry()) as port:
            first = await asyncio.to_thread(serial, port)
            authority.issue("recorder", serial=first + 1)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await asyncio.to_thread(serial, port) == first:
                    pass

    asyncio.run(inside())
