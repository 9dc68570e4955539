"""Where a trunk's name leads (RFC 3263): dnsmasq answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from gateway.io.names import Names, Place
from tests.endpoint.name_server import HOST, name_server
from tests.ports import free_port

RECORDS = (
    "--srv-host=_sip._udp.trunk.test,two.trunk.test,5082,20,0", "--srv-host=_sip._udp.trunk.test,one.trunk.test,5081,10,0",
    "--srv-host=_sip._tcp.trunk.test,three.trunk.test,5083,10,0", "--host-record=one.trunk.test,127.0.0.11",
    "--host-record=two.trunk.test,127.0.0.12", "--host-record=three.trunk.test,127.0.0.13", "--host-record=trunk.test,127.0.0.10",
    "--srv-host=_sip._udp.none.test", "--host-record=none.test,127.0.0.20",
)  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with name_server(*RECORDS) as place:
        yield place


def asked(server: str, work: Callable[[Names], Awaitable[object]]) -> object:
    async def main() -> object:
        return await work(Names([server], ["trunk.test"]))

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "port", "transport", "places"),
    [
        ("trunk.test", None, "udp", [("127.0.0.11", 5081), ("127.0.0.12", 5082)]),
        ("trunk.test", None, "tcp", [("127.0.0.13", 5083)]),
        ("trunk.test", 5090, "udp", [("127.0.0.10", 5090)]),
        ("one.trunk.test", None, "udp", [("127.0.0.11", 5060)]),
        ("none.test", None, "udp", [("127.0.0.20", 5060)]),
        ("192.0.2.1", None, "udp", [("192.0.2.1", 5060)]),
    ],
)
def test_a_name_leads_to_its_services_by_priority_or_to_its_address(
    server: str, host: str, port: int | None, transport: str, places: list[Place]
) -> None:
    assert asked(server, lambda names: names.find(host, port, transport)) == tuple(places)


def test_a_name_that_nobody_knows_is_told(server: str) -> None:
    with pytest.raises(OSError, match="no address is known"):
        asked(server, lambda names: names.find("nowhere.test", None, "udp"))


def test_the_next_place_is_tried_where_one_does_not_answer_and_from_all_of_them_sip_may_come(
    server: str,
) -> None:
    async def work(names: Names) -> None:
        assert names.known("trunk.test", None, "udp") is None
        await names.find("trunk.test", None, "udp")
        assert names.known("trunk.test", None, "udp") == ("127.0.0.11", 5081)
        names.failed("trunk.test", None, "udp")
        assert names.known("trunk.test", None, "udp") == ("127.0.0.12", 5082)
        assert names.holds("127.0.0.11")
        assert names.holds("127.0.0.12")
        await names.find("none.test", None, "udp")
        assert not names.holds("127.0.0.20"), "a host that a peer named is no peer for it"

    asked(server, work)


def test_what_was_found_is_used_on_while_no_name_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.io.names.ASK_SECONDS", 0.2)
    monkeypatch.setattr("gateway.io.names.MOST_SECONDS", 0.0)  # asked anew each time

    async def work() -> None:
        with name_server(*RECORDS) as place:
            names = Names([place])
            found = await names.find("trunk.test", None, "udp")
        assert await names.find("trunk.test", None, "udp") == found

    asyncio.run(work())


def test_the_system_is_asked_where_no_server_is_set() -> None:
    async def work() -> None:
        assert await Names().find("localhost", 5070, "udp") == ((HOST, 5070),)

    asyncio.run(work())


def test_a_server_that_is_not_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.io.names.ASK_SECONDS", 0.2)
    with pytest.raises(OSError, match="no address is known"):
        asked(f"{HOST}:{free_port()}", lambda names: names.find("trunk.test", None, "udp"))
