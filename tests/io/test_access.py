"""Who gets a call in, by real sockets: 127.0.0.1 and 127.0.0.2 are two hosts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.client import Client, Leg, Login, Party, Plan
from gateway.io import admission, credentials
from gateway.io.credentials import CredentialsFault
from gateway.sip.digest import Algorithm, Credential
from gateway.siprec.effects import Established
from tests.io.bench_sip import OFFER, OTHER, Server, datagrams, request, serving, until

SDP = "Content-Type: application/sdp"
PLAN = Plan(Leg(Party("1"), b"\xd5" * 80, "1"), Leg(Party("2"), b"\xd5" * 80, "2"), 0.05)
MINE = {"access": {"peers": [f"{OTHER}/32"]}}
IGNORING = {"access": {"peers": [f"{OTHER}/32"], "strangers": "ignore"}}


def invite(number: int, *extra: str) -> bytes:
    return request("INVITE", number, OFFER, "UDP", SDP, *extra)


def test_strangers_are_told_a_few_times_and_leave_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        async with (
            serving(tmp_path, MINE) as server,
            datagrams(server) as stranger,
            datagrams(server, OTHER) as peer,
        ):
            for number in range(500):
                stranger.transport.sendto(invite(number))
            peer.transport.sendto(request("OPTIONS"))
            await until(lambda: peer.answers["200"] and server.refused["unknown_peer"] == 500)
            assert dict(stranger.answers) == {"403": 5}
            assert (server.events, server.machine.sessions(), server.machine.next_timer()) == ([], 0, None)
            peer.transport.sendto(invite(1))
            await until(lambda: peer.answers["200"] == 2)
            stranger.transport.sendto(request("BYE"))
            await until(lambda: server.refused["unknown_peer"] == 501)
            assert server.machine.sessions() == 1

    asyncio.run(play())


def test_strangers_are_ignored_where_that_is_wanted(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, IGNORING) as server, datagrams(server) as stranger:
            stranger.transport.sendto(request("OPTIONS"))
            reader, writer = await asyncio.open_connection(*server.address)
            (told,) = await asyncio.gather(reader.read(), return_exceptions=True)
            assert told == b"" or isinstance(told, ConnectionError)
            await until(lambda: server.refused["unknown_peer"] == 2)
            assert not stranger.answers
            writer.close()

    asyncio.run(play())


def test_a_stranger_s_connection_ends_with_its_first_message(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, MINE) as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(request("INVITE", 1, OFFER, "TCP", SDP) * 2)
            answer = await reader.read()
            assert answer.startswith(b"SIP/2.0 403 Forbidden")
            assert answer.count(b"SIP/2.0 403") <= 2
            writer.close()
            await until(lambda: not server.sip._connections)
            assert server.events == []

    asyncio.run(play())


def test_strangers_take_few_of_the_connections(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path, MINE) as server:
            crowd = [await asyncio.open_connection(*server.address) for _ in range(50)]
            await until(lambda: server.refused["unknown_peer"] == 34)
            assert len(server.sip._connections) == 16
            for _, writer in crowd:
                writer.close()

    asyncio.run(play())


def test_one_peer_s_many_requests_are_slowed_and_another_s_are_not(tmp_path: Path) -> None:
    rates: dict[str, Any] = {"access": {"requests_per_second": 10}}

    async def play() -> None:
        async with (
            serving(tmp_path, rates) as server,
            datagrams(server) as eager,
            datagrams(server, OTHER) as peer,
        ):
            for number in range(100):
                eager.transport.sendto(invite(number))
            peer.transport.sendto(invite(1000))
            await until(
                lambda: peer.answers["200"] == 1 and eager.answers["100"] + eager.answers["503"] >= 100
            )
            assert 20 <= eager.answers["100"] < 40
            assert eager.answers["503"] == server.refused["rate_limited"] == 100 - eager.answers["100"]

    asyncio.run(play())


def users(folder: Path, password: str, algorithm: str = "SHA-256") -> dict[str, Any]:
    stored = Credential.of("sbc", "hushtap", Algorithm(algorithm), password)
    credentials.write(folder / "users", [stored])
    return {"access": {"credentials": str(folder / "users"), "algorithms": [algorithm]}}


async def status(server: Server, login: Login | None, transport: str = "udp") -> int:
    async with Client(server.address, transport, login) as client:  # type: ignore[arg-type]
        return (await client.place(PLAN)).status


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_digest(tmp_path: Path, algorithm: str, transport: str) -> None:
    async def play() -> None:
        async with serving(tmp_path, users(tmp_path, "secret words", algorithm)) as server:
            assert await status(server, None, transport) == 401
            assert await status(server, Login("sbc", "other words"), transport) == 401
            assert server.events == []
            assert await status(server, Login("sbc", "secret words"), transport) == 200
            assert server.refused["wrong_credentials"] == 1
            assert server.refused["unauthenticated"] == 3

    asyncio.run(play())


def test_users_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "LOOK_SECONDS", 0.02)

    async def play() -> None:
        async with serving(tmp_path, users(tmp_path, "first words")) as server:
            watch = asyncio.create_task(server.admission.watch_forever())
            assert await status(server, Login("sbc", "first words")) == 200
            seen = server.admission._users
            users(tmp_path, "second words")
            await until(lambda: server.admission._users != seen)
            assert await status(server, Login("sbc", "first words")) == 401
            assert await status(server, Login("sbc", "second words")) == 200
            (tmp_path / "users").chmod(0o644)
            server.admission.reload()
            assert await status(server, Login("sbc", "second words")) == 200
            watch.cancel()

    asyncio.run(play())


def test_users_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [Credential.of(name, "hushtap", Algorithm.SHA256, "from outside") for name in ("sbc", "two")]
    monkeypatch.setenv(credentials.VARIABLE, " ".join(map(str, made)))

    async def play() -> None:
        async with serving(tmp_path) as server:
            assert await status(server, None) == 401
            assert await status(server, Login("two", "from outside")) == 200

    asyncio.run(play())


def test_unreadable_users_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "users"
    with pytest.raises(CredentialsFault, match="users: No such file"):
        credentials.read(path)
    path.touch(0o600)
    path.write_text("sbc:hushtap:secret\n")
    with pytest.raises(CredentialsFault, match=r"users: line 1 is not user:realm") as error:
        credentials.read(path)
    assert "secret" not in str(error.value)
    path.chmod(0o640)
    with pytest.raises(CredentialsFault, match="mode 0640 lets others read it"):
        credentials.read(path)


def test_a_dialog_is_changed_by_its_own_host_or_with_a_password(tmp_path: Path) -> None:
    async def play() -> None:
        login = Login("sbc", "secret words")
        async with (
            serving(tmp_path, users(tmp_path, login.password)) as server,
            Client(server.address, "udp", login) as client,
            datagrams(server, OTHER) as thief,
        ):
            call = asyncio.create_task(client.place(PLAN))
            await until(lambda: any(isinstance(event, Established) for event in server.events))
            (dialog,) = client._dialogs.values()
            thief.transport.sendto(dialog._build("BYE", 99, "z9hG4bKhijack", ()))
            await until(lambda: thief.answers["401"])
            assert server.machine.sessions() == 1
            await call

    asyncio.run(play())


def test_options_tell_the_load(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(tmp_path) as server, datagrams(server) as client:
            server.machine.busy(17)
            client.transport.sendto(request("OPTIONS", 1))
            await until(lambda: client.answers["503"])
            assert b"Retry-After: 17\r\n" in client.last
            server.machine.busy(None)
            client.transport.sendto(request("OPTIONS", 2))
            await until(lambda: client.answers["200"])
            assert b"Supported: siprec, timer\r\n" in client.last

    asyncio.run(play())
