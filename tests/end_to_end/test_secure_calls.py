"""A call over TLS, with a password and a session timer; and the same password asked of sipp, over UDP."""

from __future__ import annotations

import asyncio
import signal
import ssl
import subprocess
from pathlib import Path

from gateway.demo.client import Client, Ending, Login
from gateway.sip.digest import Algorithm, Credential
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, until
from tests.io.certificates import Authority
from tests.ports import HOST, free_port

PASSWORD = "eight words are too many for a test"
SCENARIO = Path(__file__).with_name("sipp_digest.xml")


def users(folder: Path, *algorithms: Algorithm) -> Path:
    path = folder / "users"
    path.touch(0o600)
    path.write_text("".join(f"{Credential.of('sbc', 'hushtap', each, PASSWORD)}\n" for each in algorithms))
    return path


def test_a_call_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    context = ssl.create_default_context(cafile=authority.path)
    context.load_cert_chain(*authority.issue("client"))
    port = free_port()
    settings: dict[str, dict[str, object]] = {
        "sip.tls": {
            "port": port,
            "certificate": str(certificate),
            "key": str(key),
            "client_ca": str(authority.path),
        },
        "sip.access": {"peers": ["127.0.0.0/8"], "credentials": str(users(tmp_path, Algorithm.SHA256))},
    }
    plan = callers.call(1, 3.0, session_seconds=1800, update_at=1.0, reinvite_at=2.0)
    with Gateway(tmp_path / "gateway", settings) as gateway:

        async def live() -> None:
            async with Client((HOST, port), "tls", Login("sbc", PASSWORD), context) as client:
                outcome = await client.place(plan)
                assert (outcome.ending, outcome.problems) == (Ending.CLIENT, ())
                authority.issue("server", serial=99)
                assert gateway.process is not None
                gateway.process.send_signal(signal.SIGHUP)
                read = lambda: "SIP certificate: read again" in gateway.log.read_text()
                await asyncio.to_thread(until, "it is read", read)
                assert await client.options() == 200, "an old connection goes on"
            _, writer = await asyncio.open_connection(HOST, port, ssl=context)
            assert writer.get_extra_info("peercert")["serialNumber"] == "63"
            writer.close()
            await writer.wait_closed()

        asyncio.run(live())
        gateway.wait_idle()
        (call,) = gateway.calls()
        assert call["state"] == "recorded"
        legs = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
        assert all(len(leg) for leg in legs.values())
        assert gateway.terminate() == 0


def test_sipp_proves_its_password(tmp_path: Path) -> None:
    """An independent client: MD5, as it knows no other."""
    access = {"credentials": str(users(tmp_path, Algorithm.MD5, Algorithm.SHA256)), "algorithms": ["MD5"]}
    with Gateway(tmp_path / "gateway", {"sip.access": access}) as gateway:

        def sipp(password: str) -> int:
            command = [
                "sipp", f"{HOST}:{gateway.server[1]}", "-sf", str(SCENARIO), "-m", "3", "-r", "10", "-i", HOST,
                "-p", str(free_port()), "-au", "sbc", "-ap", password, "-nostdin", "-timeout", "8", "-timeout_error",
            ]  # fmt: skip
            return subprocess.run(
                command, cwd=tmp_path, capture_output=True, timeout=30, check=False
            ).returncode

        assert sipp(PASSWORD) == 0
        assert sipp("another one") != 0
        assert gateway.metric("hushtap_refused_requests_total", reason="wrong_credentials") >= 1
        gateway.wait_idle()
        assert len(gateway.calls()) == 3
