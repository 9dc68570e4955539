"""Registration with a registrar that asks for digest authentication: sipp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.endpoint.messages import Bridged, Over
from gateway.io.endpoint import EndpointFault
from tests.endpoint.name_server import name_server
from tests.endpoint.phone import DEADLINE, HOST
from tests.endpoint.trunk import NEEDS_PJSUA, caller, run, trunk
from tests.ports import free_port

pytestmark = NEEDS_PJSUA
SCENARIO = Path(__file__).with_name("registrar.xml")


@asynccontextmanager
async def registrar(transport: str, port: int, folder: Path) -> AsyncIterator[None]:
    command = f"sipp -sf {SCENARIO} -t {transport[0]}1 -i {HOST} -p {port} -nostdin -trace_err -trace_msg"
    process = await asyncio.create_subprocess_exec(
        *command.split(), cwd=folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        if transport == "tcp":
            await _listening(port)
        yield
    finally:
        process.kill()
        await process.wait()


async def _listening(port: int) -> None:
    """Without a connection, which sipp would take for its only one."""
    place = f"{int.from_bytes(bytes(map(int, HOST.split('.'))), 'little'):08X}:{port:04X}"
    async with asyncio.timeout(DEADLINE):
        while not any(
            f" {place} " in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines()
        ):
            await asyncio.sleep(0.02)


def password(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "password"
    path.write_text(text + "\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_it_registers_and_takes_calls_and_ends_its_registration(tmp_path: Path, transport: str) -> None:
    port = free_port()

    async def work() -> None:
        async with registrar(transport, port, tmp_path):
            settings = {
                "registrar": f"{HOST}:{port}", "register_here": True, "transport": transport,
                "password_file": password(tmp_path, "opensesame"),
            }  # fmt: skip
            async with trunk(tmp_path, changes=settings) as line:
                await line.until(lambda: line.registered, "no answer of the registrar")
                assert line.registered == [True]
                one = await caller()
                call = one.call(line.server)
                await line.message(Bridged, call)
                one.request("BYE")
                await line.message(Over, call)
                await one.close()
        told = "".join(file.read_text() for file in tmp_path.glob("registrar_*messages.log"))
        assert f"<sip:practice@{HOST}:{line.server[1]}" in told
        assert ";transport=tcp" in told if transport == "tcp" else ";transport" not in told

    run(work())


def test_a_trunk_is_found_by_its_srv_records(tmp_path: Path) -> None:
    """The first of its hosts takes no connection."""
    port, away = free_port(), free_port()
    records = (
        f"--srv-host=_sip._tcp.trunk.test,a.trunk.test,{away},1,0", f"--srv-host=_sip._tcp.trunk.test,a.trunk.test,{port},2,0",
        f"--host-record=a.trunk.test,{HOST}",
    )  # fmt: skip

    async def work(server: str) -> None:
        async with registrar("tcp", port, tmp_path):
            settings = {
                "registrar": "trunk.test", "register_here": True, "transport": "tcp", "name_servers": [server],
                "password_file": password(tmp_path, "opensesame"),
            }  # fmt: skip
            async with trunk(tmp_path, changes=settings) as line:
                await line.until(lambda: line.registered, "no answer of the registrar")
                assert line.registered == [True]

    with name_server(*records) as server:
        run(work(server))


def test_a_wrong_password_is_told(tmp_path: Path) -> None:
    port = free_port()

    async def work() -> None:
        async with registrar("udp", port, tmp_path):
            settings = {
                "registrar": f"{HOST}:{port}",
                "register_here": True,
                "password_file": password(tmp_path, "no"),
            }
            async with trunk(tmp_path, changes=settings) as line:
                await line.until(lambda: line.registered, "no answer of the registrar")
                assert line.registered == [False]

    run(work())


def test_a_password_that_others_may_read_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with trunk(tmp_path, changes={"password_file": password(tmp_path, "opensesame", 0o644)}):
            pass

    with pytest.raises(EndpointFault, match="mode 0644 lets others read it"):
        run(work())


def test_a_lost_connection_is_made_anew_and_registered(tmp_path: Path) -> None:
    """Else the trunk could not reach us until the registration is due."""
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(request)
        lines = [
            line
            for line in request.split("\r\n")
            if line.startswith(("Via", "From", "To", "Call-ID", "CSeq", "Contact"))
        ]
        answer = "\r\n".join(["SIP/2.0 200 OK", *lines, "Content-Length: 0", "", ""])
        writer.write(answer.encode())
        await writer.drain()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(serve, HOST, 0)
        port = server.sockets[0].getsockname()[1]
        settings = {"registrar": f"{HOST}:{port}", "register_here": True, "transport": "tcp"}
        async with trunk(tmp_path, changes=settings) as line:
            await line.until(lambda: len(line.registered) >= 2, "not registered again")
            assert all(line.registered)
        server.close()

    run(work())
    assert all(request.startswith("REGISTER") for request in heard)
