"""TLS by real sockets: who gets in, what is spoken, and that new files are taken while it runs."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import SettingsError, parse
from gateway.config.sip import TlsSettings
from gateway.demo.client import Client
from gateway.io import admission
from gateway.io.tls import TlsError, make_context
from gateway.siprec.effects import Offered
from tests.io.bench_sip import HOST, OFFER, Server, request, serving, until
from tests.io.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def tls(authority: Authority, **more: Any) -> dict[str, Any]:
    certificate, key = authority.issue("server")
    return {"tls": {"certificate": str(certificate), "key": str(key), **more}}


def trusting(authority: Authority, client: str = "") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.path)
    if client:
        context.load_cert_chain(*authority.issue(client))
    return context


async def options(server: Server, context: ssl.SSLContext) -> int:
    async with Client(server.secure, "tls", None, context) as client:
        return await client.options()


async def serial(server: Server, context: ssl.SSLContext) -> int:
    """Of the certificate shown."""
    _, writer = await asyncio.open_connection(*server.secure, ssl=context)
    shown = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return int(shown, 16)


def test_a_request_over_tls(authority: Authority, tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, tls(authority)) as server:
            assert await options(server, trusting(authority)) == 200
            await until(lambda: not server.sip._connections)

    asyncio.run(play())


@pytest.mark.parametrize(
    ("version", "welcome"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_versions(authority: Authority, tmp_path: Path, version: ssl.TLSVersion, welcome: bool) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = version

    async def play() -> None:
        async with serving(tmp_path, tls(authority)) as server:
            if welcome:
                assert await options(server, context) == 200
                return
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await options(server, context)
            await until(lambda: server.refused["tls_handshake"] == 1)

    asyncio.run(play())


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_client_certificates(authority: Authority, tmp_path: Path, mode: str) -> None:
    (tmp_path / "other").mkdir()
    foreign = trusting(authority)
    foreign.load_cert_chain(*Authority(tmp_path / "other").issue("stranger"))

    async def welcome(server: Server, context: ssl.SSLContext) -> bool:
        before = server.refused["tls_handshake"]
        asking = asyncio.create_task(options(server, context))
        # TLS 1.3: the refusal comes after the client's handshake, and no answer ever does.
        await until(lambda: asking.done() or server.refused["tls_handshake"] > before)
        asking.cancel()
        (outcome,) = await asyncio.gather(asking, return_exceptions=True)
        assert outcome == 200 or isinstance(outcome, OSError | asyncio.CancelledError), outcome
        return outcome == 200

    async def play() -> None:
        settings = tls(authority, client_ca=str(authority.path), client_certificate=mode)
        async with serving(tmp_path, settings) as server:
            assert await welcome(server, trusting(authority, "client"))
            assert await welcome(server, trusting(authority)) == (mode == "optional")
            assert not await welcome(server, foreign)
            assert not server.sip._connections

    asyncio.run(play())


def test_new_files_are_taken_and_bad_ones_are_not(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.02)

    async def play() -> None:
        async with serving(tmp_path, tls(authority)) as server:
            context = trusting(authority)
            watch = asyncio.create_task(server.admission.watch_forever())
            _, old = await asyncio.open_connection(*server.secure, ssl=context)
            assert await serial(server, context) == 2
            before = server.admission.tls and server.admission.tls.context
            authority.issue("server", serial=77)
            await until(lambda: server.admission.tls and server.admission.tls.context is not before)
            await asyncio.sleep(0.1)
            assert await serial(server, context) == 77
            (tmp_path / "server.key").write_bytes(b"not a key")
            await asyncio.sleep(0.1)
            server.admission.reload()
            assert await serial(server, context) == 77
            assert not old.is_closing(), "a connection keeps what it began with"
            old.close()
            watch.cancel()

    asyncio.run(play())


def test_a_slow_handshake_is_cut_off_and_disturbs_nobody(authority: Authority, tmp_path: Path) -> None:
    async def play() -> None:
        settings = tls(authority, handshake_seconds=0.5) | {"max_tcp_connections_per_peer": 20}
        async with serving(tmp_path, settings) as server:
            silent = [await asyncio.open_connection(*server.secure) for _ in range(19)]
            silent[0][1].write(b"\x16\x03\x01")
            assert await options(server, trusting(authority)) == 200
            assert [await reader.read() for reader, _ in silent] == [b""] * 19
            assert server.refused["tls_handshake"] == 19
            await until(lambda: not server.sip._connections)
            for _, writer in silent:
                writer.close()

    asyncio.run(play())


def test_strangers_pay_for_no_handshake(authority: Authority, tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, tls(authority) | {"access": {"peers": ["192.0.2.0/24"]}}) as server:
            with pytest.raises(ConnectionError):
                await options(server, trusting(authority))
            assert server.refused == {"unknown_peer": 1}

    asyncio.run(play())


def test_bytes_that_come_with_the_end_of_the_handshake(authority: Authority, tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, tls(authority)) as server:
            for number in range(20):
                reader, writer = await asyncio.open_connection(*server.secure, ssl=trusting(authority))
                writer.write(request("OPTIONS", number, b"", "TLS"))
                assert (await reader.readline()).startswith(b"SIP/2.0 200")
                writer.close()
                await writer.wait_closed()

    asyncio.run(play())


def chosen(folder: Path, **names: str) -> TlsSettings:
    return TlsSettings(**{name: folder / value for name, value in names.items()})


def test_what_is_wrong_is_said_in_one_sentence(authority: Authority, tmp_path: Path) -> None:
    authority.issue("one")
    authority.issue("two")
    (tmp_path / "two.key").chmod(0o640)
    (tmp_path / "bad.pem").write_text("nothing")
    for names, sentence in [
        (
            {"certificate": "one.pem", "key": "two.key"},
            "mode 0640 lets others read the key, 0600 is expected",
        ),
        ({"certificate": "two.pem", "key": "one.key"}, "the key is not that of the certificate"),
        ({"certificate": "no.pem", "key": "one.key"}, "no.pem: No such file"),
        ({"certificate": "one.pem", "key": "no.key"}, "no.key: No such file"),
        ({"certificate": "bad.pem", "key": "one.key"}, "not a certificate and its key"),
        ({"certificate": "one.pem", "key": "one.key", "client_ca": "bad.pem"}, "holds no certificate"),
    ]:
        with pytest.raises(TlsError) as error:
            make_context(chosen(tmp_path, **names))
        assert sentence in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(SettingsError, match="belong together"):
        parse({"sip": {"tls": {"certificate": "one.pem"}}}, "test", tmp_path)


def test_the_connection_says_tls_and_where(authority: Authority, tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, tls(authority)) as server:
            reader, writer = await asyncio.open_connection(*server.secure, ssl=trusting(authority))
            writer.write(request("INVITE", 1, OFFER, "TLS", "Content-Type: application/sdp"))
            await until(lambda: server.events)
            (offered,) = server.events
            assert isinstance(offered, Offered)
            assert offered.flow.transport == "tls"
            assert b"100 Trying" in await reader.readuntil(b"\r\n\r\n")
            answer = await reader.readuntil(b"\r\n\r\n")
            assert f"Contact: <sip:{HOST}:{server.secure[1]};transport=tls>;+sip.srs".encode() in answer
            writer.close()

    asyncio.run(play())
