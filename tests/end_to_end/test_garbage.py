"""Garbage on every port while a call is recorded, and bad requests that deserve an answer."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from gateway.demo.client import Ending, Outcome, Plan
from tests.end_to_end import callers, judge
from tests.end_to_end.gateway import Gateway, until
from tests.patience import PATIENCE_SECONDS
from tests.ports import HOST

SECONDS = 6.0
FLOOD_SECONDS = 4.0
RATE = 200  # datagrams a second on the SIP port, and on each media port
STRANGER = b"\x80\x08"  # begins an RTP packet that is well-formed, of a codec in use, and of no known source


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {"media": {"hold_back_seconds": 1.0}}
    with Gateway(tmp_path_factory.mktemp("garbage"), settings) as gateway:
        yield gateway


def request(method: str = "OPTIONS", body: str = "", **changed: str | None) -> bytes:
    """A good request; headers are changed by name (with _ for -), and left out where None."""
    branch = random.randbytes(8).hex()
    headers: dict[str, str | None] = {
        "Via": f"SIP/2.0/UDP {HOST}:5060;rport;branch=z9hG4bK{branch}",
        "Max-Forwards": "70",
        "From": f"<sip:src@{HOST}>;tag={branch}",
        "To": f"<sip:srs@{HOST}>",
        "Call-ID": branch,
        "CSeq": f"1 {method}",
        "Contact": f"<sip:src@{HOST}>",
        "Content-Length": str(len(body)),
    }
    line = changed.pop("line", None) or f"{method} sip:srs@{HOST} SIP/2.0"
    headers |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, "", body]).encode()


def signalling(noise: random.Random) -> bytes:
    whole = request("INVITE", "v=0\r\n" * 20)
    match noise.randrange(4):
        case 0:
            return noise.randbytes(noise.randrange(5, 1200))
        case 1:
            return whole[: noise.randrange(5, len(whole))]
        case 2:
            return b"INVITE " + noise.randbytes(200) + b"\r\n\r\n"
        case _:
            return request(Call_ID=None)


def media(noise: random.Random) -> bytes:
    if noise.random() < 0.05:
        return STRANGER + noise.randbytes(170)
    return noise.randbytes(noise.randrange(1, 400))


async def flood(gateway: Gateway, ports: list[int]) -> tuple[int, int]:
    """Garbage for some seconds; how many datagrams went to the SIP port and to media ports."""
    noise, loop = random.Random(7), asyncio.get_running_loop()
    sent, began = 0, loop.time()
    with socket.socket(type=socket.SOCK_DGRAM) as source:
        while (now := loop.time() - began) < FLOOD_SECONDS:
            while sent < now * RATE:
                source.sendto(signalling(noise), gateway.server)
                for port in ports:
                    source.sendto(media(noise), (HOST, port))
                sent += 1
            await asyncio.sleep(0.005)
    return sent, sent * len(ports)


async def flood_streams(gateway: Gateway) -> int:
    """One TCP connection after the other with garbage on it, until the gateway closes it; how many."""
    noise, loop = random.Random(8), asyncio.get_running_loop()
    count, began = 0, loop.time()
    while loop.time() - began < FLOOD_SECONDS:
        reader, writer = await asyncio.open_connection(*gateway.server)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" if count % 2 else b"\xff" + noise.randbytes(80_000))
        with suppress(ConnectionError):  # closed with garbage unread
            await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        writer.close()
        count += 1
        await asyncio.sleep(0.02)
    return count


def _two(gateway: Gateway) -> list[int] | None:
    ports = gateway.media_ports_in_use()
    return ports if len(ports) == 2 else None


async def flooded(gateway: Gateway, plan: Plan) -> tuple[Outcome, tuple[int, int], int]:
    call = asyncio.create_task(callers.place_all([plan], gateway.server))
    ports = await asyncio.to_thread(until, "the call runs", lambda: _two(gateway))
    datagrams, streams = await asyncio.gather(flood(gateway, ports), flood_streams(gateway))
    assert not call.done()
    (outcome,) = await call
    return outcome, datagrams, streams


def test_a_running_call_is_not_disturbed(gateway: Gateway) -> None:
    plan = callers.call(1, SECONDS)
    outcome, (datagrams, packets), streams = asyncio.run(flooded(gateway, plan))
    gateway.wait_idle()
    assert (outcome.ending, outcome.problems) == (Ending.CLIENT, ())
    call = gateway.call_of(callers.number(1))
    assert call["state"] == "recorded"
    legs = judge.legs(judge.plaintexts(gateway.storage, call["recordings"][0]))
    for role, sent, counted in zip(("external", "agent"), outcome.legs, call["legs"], strict=True):
        audio = judge.octets(sent.audio().items())
        judge.placed(legs[role], audio)
        assert judge.length(legs[role]) == audio.size
        counts = {"packets": sent.packets, "lost": 0, "late": 0, "duplicated": 0}
        assert counted == counted | counts
    assert datagrams > 0.9 * RATE * FLOOD_SECONDS
    assert gateway.metric("hushtap_refused_requests_total") == datagrams + streams
    assert gateway.metric("hushtap_media_refused_datagrams_total") == packets
    assert len(gateway.calls()) == 1
    assert b"Traceback" not in gateway.log.read_bytes()


BAD = {
    "two Call-IDs": (request(Call_ID="one\r\nCall-ID: another"), 400, ""),
    "a CSeq without a number": (request(CSeq="first OPTIONS"), 400, ""),
    "CSeq of another method": (request(CSeq="1 INVITE"), 400, ""),
    "another version": (request(line=f"OPTIONS sip:srs@{HOST} SIP/3.0"), 505, ""),
    "an unknown method": (request("JUGGLE"), 405, "Allow: .*INVITE"),
    "an unknown extension": (request("INVITE", Require="siprec, levitation"), 420, "Unsupported: levitation"),
    "another scheme": (request(line="OPTIONS mailto:srs@example.net SIP/2.0"), 416, ""),
    "a body of another kind": (request("INVITE", "hello", Content_Type="text/html"), 415, "Accept: .*sdp"),
    "a body cut short": (request("INVITE", "hello", Content_Length="500"), 400, ""),
    "no dialog to end": (request("BYE", To=f"<sip:srs@{HOST}>;tag=none"), 481, ""),
    "nothing to cancel": (request("CANCEL"), 481, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_answered_and_counted(gateway: Gateway, name: str) -> None:
    data, status, header = BAD[name]
    before = gateway.metric("hushtap_refused_requests_total")
    with socket.socket(type=socket.SOCK_DGRAM) as source:
        source.settimeout(PATIENCE_SECONDS)
        source.connect(gateway.server)
        source.send(data)
        answer = source.recv(65_535).decode()
        while answer.startswith("SIP/2.0 100 "):
            answer = source.recv(65_535).decode()
    assert answer.startswith(f"SIP/2.0 {status} ")
    assert re.search(f"(?m)^{header}", answer)
    assert gateway.metric("hushtap_refused_requests_total") == before + 1


def test_a_message_too_large_is_answered_and_the_connection_closed(gateway: Gateway) -> None:
    with socket.create_connection(gateway.server, PATIENCE_SECONDS) as connection:
        connection.sendall(request("INVITE", Content_Length="70000"))
        answer = b""
        while received := connection.recv(65_535):
            answer += received
    assert answer.startswith(b"SIP/2.0 513 ")


def test_a_call_is_taken_afterwards(gateway: Gateway) -> None:
    (outcome,) = asyncio.run(callers.place_all([callers.call(2, 0.5)], gateway.server, "tcp"))
    assert outcome.ending is Ending.CLIENT
