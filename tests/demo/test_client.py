from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.client import Client, ClientError, Digit, Ending, Leg, Network, Outcome, Party, Plan
from gateway.demo.client.__main__ import main
from gateway.demo.client.message import Message, MessageError, build, first_message, parse
from gateway.demo.client.transport import Transport

Reply = Callable[[bytes], None]


@dataclass
class ScriptedServer:
    """A recording server of a few lines: answers as told and keeps what arrives."""

    status: str = "200 OK"
    drop: int = 0  # requests left unanswered at first
    bye_after: int | None = None  # RTP packets
    refuse: tuple[int, ...] = ()  # streams answered with port 0
    repeat_answer: bool = False
    refuse_changes: bool = False
    noise: bytes = b""  # sent before each answer
    requests: list[Message] = field(default_factory=list)
    rtp: dict[int, list[bytes]] = field(default_factory=dict)  # by the port they came to
    ports: list[int] = field(default_factory=list)  # in the order answered
    address: tuple[str, int] = ("127.0.0.1", 0)
    accepted: list[asyncio.Transport] = field(default_factory=list)
    _sockets: list[socket.socket] = field(default_factory=list)

    async def start(self, transport: str) -> None:
        loop = asyncio.get_running_loop()
        if transport == "udp":
            endpoint, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=("127.0.0.1", 0)
            )
            self.address, self.close = endpoint.get_extra_info("sockname"), endpoint.close
        else:
            server = await loop.create_server(lambda: _Stream(self), "127.0.0.1", 0)
            self.address, self.close = server.sockets[0].getsockname(), server.close

    async def stop(self) -> None:
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            opened.close()
        self.close()
        for accepted in self.accepted:
            accepted.close()
        await asyncio.sleep(0)

    def received(self, data: bytes, reply: Reply) -> None:
        message = parse(data)
        self.requests.append(message)
        if self.drop > 0:
            self.drop -= 1
        elif message.method == "INVITE":
            self._invited(message, reply)
        elif message.method != "ACK" and message.status is None:
            refused = self.refuse_changes and message.method == "UPDATE"
            reply(self._response(message, "488 Not Acceptable Here" if refused else "200 OK"))

    def _invited(self, invite: Message, reply: Reply) -> None:
        self._invite, self._reply = invite, reply
        if self.noise:
            reply(self.noise)
        reply(self._response(invite, "100 Trying"))
        changed = self.refuse_changes and "tag=" in invite.get("to")
        if changed or not self.status.startswith("2"):
            status = "488 Not Acceptable Here" if changed else self.status
            reply(self._response(invite, status, ("Retry-After", "7 (busy)")))
            return
        offered = re.findall(rb"m=audio (\d+) RTP/AVP (\d+).*?a=label:(\S+)", invite.body, re.DOTALL)
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0"]
        self.ports = []
        for index, (_, kind, label) in enumerate(offered):
            port = 0 if index in self.refuse else self._listen()
            lines += [f"m=audio {port} RTP/AVP {kind.decode()}", "a=recvonly", f"a=label:{label.decode()}"]
        body = "\r\n".join([*lines, ""]).encode()
        host, port = self.address
        contact = ("Contact", f"<sip:srs@{host}:{port}>")
        answer = self._response(invite, self.status, contact, ("Content-Type", "application/sdp"), body=body)
        reply(answer)
        if self.repeat_answer:
            asyncio.get_running_loop().call_later(0.05, reply, answer)

    def _response(self, request: Message, status: str, *extra: tuple[str, str], body: bytes = b"") -> bytes:
        copied = [pair for name in ("via", "from", "to", "call-id", "cseq") for pair in request.all(name)]
        tagged = [
            (name, value if name != "to" or "tag=" in value else f"{value};tag=srs") for name, value in copied
        ]
        return build(f"SIP/2.0 {status}", [*tagged, *extra], body)

    def _listen(self) -> int:
        opened = socket.socket(type=socket.SOCK_DGRAM)
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)
        port = int(opened.getsockname()[1])
        self._sockets.append(opened)
        self.ports.append(port)
        self.rtp[port] = []
        asyncio.get_running_loop().add_reader(opened, self._packet, opened, port)
        return port

    def _packet(self, opened: socket.socket, port: int) -> None:
        self.rtp[port].append(opened.recv(2048))
        if self.bye_after is not None and sum(map(len, self.rtp.values())) >= self.bye_after:
            self.bye_after = None
            self._bye()

    def _bye(self) -> None:
        invite = self._invite
        headers = [
            ("Via", f"SIP/2.0/UDP {self.address[0]}:{self.address[1]};branch=z9hG4bKbye"),
            ("From", f"{invite.get('to')};tag=srs"),
            ("To", invite.get("from")),
            ("Call-ID", invite.get("call-id")),
            ("CSeq", "1 BYE"),
        ]
        self._reply(build("BYE sip:src@127.0.0.1 SIP/2.0", headers))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: ScriptedServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._server.received(data, lambda reply: self._transport.sendto(reply, addr))


class _Stream(asyncio.Protocol):
    def __init__(self, server: ScriptedServer) -> None:
        self._server, self._buffer = server, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.accepted.append(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while found := first_message(self._buffer):
            message, self._buffer = found
            self._server.received(message, self._transport.write)


AUDIO = bytes(range(256)) * 40
CALL = Plan(
    Leg(Party("+15551234567", "Ada & Co"), AUDIO, "1", sequence=65_530, timestamp=2**32 - 800),
    Leg(Party("201", "Desk"), AUDIO[7:], "2"),
    seconds=0.3,
)


def call(server: ScriptedServer, plan: Plan, transport: Transport = "udp") -> Outcome:
    """Place one call and wait until the server has seen its last packet."""

    async def run() -> Outcome:
        await server.start(transport)
        try:
            async with Client(server.address, transport) as client:
                return await client.place(plan)
        finally:
            await server.stop()

    return asyncio.run(run())


def test_what_it_says_it_sent_is_what_arrived() -> None:
    server = ScriptedServer()
    outcome = call(server, CALL)
    assert (outcome.ending, outcome.status, outcome.problems) == (Ending.CLIENT, 200, ())
    assert [request.method for request in server.requests] == ["INVITE", "ACK", "BYE"]
    for leg, port in zip(outcome.legs, server.ports, strict=True):
        assert [sent.datagram for sent in leg.datagrams] == server.rtp[port]
        assert leg.packets == 15
    assert list(outcome.legs[0].stretches()) == [(0, AUDIO[:2400])]
    assert list(outcome.legs[1].stretches()) == [(0, AUDIO[7:2407])]


def test_sequence_and_timestamp_wrap() -> None:
    server = ScriptedServer()
    outcome = call(server, CALL)
    heads = [sent.datagram[2:8] for sent in outcome.legs[0].datagrams]
    assert [int.from_bytes(head[:2]) for head in heads] == [*range(65_530, 65_536), *range(9)]
    assert [int.from_bytes(head[2:]) for head in heads[4:7]] == [2**32 - 160, 0, 160]


def test_over_tcp_with_a_new_invite_and_an_update() -> None:
    server = ScriptedServer()
    plan = replace(CALL, codec="PCMU", reinvite_at=0.1, update_at=0.2, updated=Party("+15557654321", "Bo"))
    outcome = call(server, plan, "tcp")
    methods = [request.method for request in server.requests]
    assert methods == ["INVITE", "ACK", "INVITE", "ACK", "UPDATE", "BYE"]
    assert outcome.problems == ()
    assert b"rs-metadata" not in server.requests[2].body
    assert b"+15557654321" in server.requests[4].body
    assert len(server.rtp) == 4
    assert all(server.rtp.values())
    arrived = b"".join(packet[12:] for port in list(server.rtp)[::2] for packet in server.rtp[port])
    assert arrived == AUDIO[:2400]


def test_metadata_names_both_parties_and_their_streams() -> None:
    server = ScriptedServer()
    call(server, replace(CALL, seconds=0.02))
    body = server.requests[0].body
    xml = body[body.index(b"<?xml") : body.index(b"</recording>") + 12]
    space = {"r": "urn:ietf:params:xml:ns:recording:1"}
    recording = ElementTree.fromstring(xml)  # noqa: S314 (made here)
    aors = [name.get("aor") for name in recording.iterfind("r:participant/r:nameID", space)]
    assert aors == ["sip:+15551234567@127.0.0.1", "sip:201@127.0.0.1"]
    assert recording.findtext("r:participant/r:nameID/r:name", namespaces=space) == "Ada & Co"
    labels = {
        s.get("stream_id"): s.findtext("r:label", namespaces=space)
        for s in recording.iterfind("r:stream", space)
    }
    sends = [
        a.findtext("r:send", namespaces=space) for a in recording.iterfind("r:participantstreamassoc", space)
    ]
    assert [labels[stream] for stream in sends] == ["1", "2"]


def test_the_planned_network_is_the_same_each_time() -> None:
    bad = replace(
        CALL, network=Network(loss=0.2, duplicate=0.2, jitter_ms=50, reorder=0.1, seed=5), seconds=0.5
    )
    runs = [call(ScriptedServer(), bad).legs for _ in range(2)]
    first, second = ([[sent.position for sent in leg.datagrams] for leg in legs] for legs in runs)
    assert first == second
    leg = runs[0][0]
    assert leg.packets + leg.lost == 25
    assert leg.lost
    assert leg.duplicated == len(leg.datagrams) - leg.packets
    assert first[0] != sorted(first[0])


def test_a_new_ssrc_goes_on_in_the_audio() -> None:
    caller = replace(CALL.caller, ssrc_change_at=0.1)
    outcome = call(ScriptedServer(), replace(CALL, caller=caller))
    ssrcs = [sent.datagram[8:12] for sent in outcome.legs[0].datagrams]
    assert len(set(ssrcs[:5])) == len(set(ssrcs[5:])) == 1
    assert len(set(ssrcs)) == 2
    assert list(outcome.legs[0].stretches()) == [(0, AUDIO[:2400])]


def test_a_digit_takes_the_place_of_audio() -> None:
    caller = replace(CALL.caller, digits=(Digit(0.1, "#", 60),))
    outcome = call(ScriptedServer(), replace(CALL, caller=caller))
    events = [sent for sent in outcome.legs[0].datagrams if not sent.media]
    assert [event.payload.hex() for event in events] == [
        "0b0a00a0",
        "0b0a0140",
        "0b8a01e0",
        "0b8a01e0",
        "0b8a01e0",
    ]
    assert [event.datagram[1] for event in events] == [101 | 0x80, 101, 101, 101, 101]
    assert len({event.datagram[4:8] for event in events}) == 1
    assert [start for start, _ in outcome.legs[0].stretches()] == [0, 1600]


def test_skew_makes_the_packets_come_sooner() -> None:
    caller = replace(CALL.caller, skew_ppm=100_000)
    outcome = call(ScriptedServer(), replace(CALL, caller=caller))
    fast, true = (leg.datagrams for leg in outcome.legs)
    assert fast[-1].at == pytest.approx(true[-1].at / 1.1)


def test_a_refusal_is_told() -> None:
    server = ScriptedServer(status="503 Service Unavailable")
    outcome = call(server, CALL)
    assert (outcome.ending, outcome.status, outcome.retry_after) == (Ending.REFUSED, 503, 7)
    assert [request.method for request in server.requests] == ["INVITE", "ACK"]


def test_a_refused_change_is_told_and_the_call_goes_on() -> None:
    server = ScriptedServer(refuse_changes=True)
    outcome = call(server, replace(CALL, reinvite_at=0.1, update_at=0.2))
    assert outcome.problems == (
        "the re-INVITE was answered 488 Not Acceptable Here",
        "the UPDATE was answered 488 Not Acceptable Here",
    )
    assert b"".join(packet[12:] for packet in server.rtp[server.ports[0]]) == AUDIO[:2400]
    assert outcome.legs[0].packets == 15


def test_an_answer_that_takes_one_stream_only_is_an_error() -> None:
    server = ScriptedServer(refuse=(1,))
    with pytest.raises(ClientError, match="takes 1 of 2 streams"):
        call(server, CALL)
    assert server.requests[-1].method == "BYE"


@pytest.mark.parametrize("request_line", ["OPTIONS", "UPDATE", "INFO"])
def test_the_server_may_ask(request_line: str) -> None:
    stranger = build(f"{request_line} sip:src SIP/2.0", [("Call-ID", "none"), ("CSeq", f"1 {request_line}")])
    server = ScriptedServer(noise=stranger)
    call(server, replace(CALL, seconds=0.02))
    assert [request.status for request in server.requests if request.status] == [481]


def test_noise_from_the_server_is_counted_and_harms_nothing() -> None:
    server = ScriptedServer(noise=b"\x00\xff not SIP")

    async def run() -> tuple[Outcome, int]:
        await server.start("udp")
        async with Client(server.address) as client:
            outcome = await client.place(CALL)
        await server.stop()
        return outcome, client.malformed

    outcome, malformed = asyncio.run(run())
    assert (outcome.status, malformed) == (200, 1)


def test_the_server_may_end_the_call() -> None:
    server = ScriptedServer(bye_after=6)
    outcome = call(server, replace(CALL, seconds=60.0))
    assert outcome.ending is Ending.SERVER
    assert outcome.media_seconds < 5
    assert server.requests[-1].status == 200


def test_a_lost_invite_is_sent_again_and_a_repeated_answer_acknowledged_again() -> None:
    server = ScriptedServer(drop=1, repeat_answer=True)
    outcome = call(server, CALL)
    assert outcome.status == 200
    assert [request.method for request in server.requests] == ["INVITE", "INVITE", "ACK", "ACK", "BYE"]
    assert server.requests[0].branch == server.requests[1].branch


def test_a_call_may_fall_silent() -> None:
    server = ScriptedServer()
    assert call(server, replace(CALL, bye=False)).ending is Ending.SILENT
    assert [request.method for request in server.requests] == ["INVITE", "ACK"]


def test_load_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    server = ScriptedServer()

    async def run() -> int:
        await server.start("udp")
        host, port = server.address
        options = [
            "--server",
            f"{host}:{port}",
            "--calls",
            "4",
            "--seconds",
            "0.2",
            "--loss",
            "0.2",
            "--json",
        ]
        code = await asyncio.to_thread(main, [*options, "--seed", "3"])
        await server.stop()
        return code

    assert asyncio.run(run()) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["calls"], summary["answered"], summary["refused"]) == (4, 4, {})
    assert summary["packets"] + summary["lost_on_purpose"] == 4 * 2 * 10
    assert summary["packets"] == sum(map(len, server.rtp.values()))


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(1, 50))
def test_messages_are_found_in_a_stream_however_it_is_cut(bodies: list[bytes], step: int) -> None:
    sent = [build("SIP/2.0 200 OK", [("Via", "x")], body) for body in bodies]
    stream, buffer, found = b"\r\n\r\n".join([b"", *sent]), b"", []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        while whole := first_message(buffer):
            message, buffer = whole
            found.append(message)
    assert found == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_the_documented_error(data: bytes) -> None:
    with contextlib.suppress(MessageError):
        parse(data)


def test_packets_of_any_codec_are_sent_as_given() -> None:
    packets = tuple(bytes((0x78, number)) * (number + 1) for number in range(4))
    legs = [replace(leg, packets=packets) for leg in (CALL.caller, CALL.callee)]
    opus = replace(CALL, codec="opus", clock_rate=48_000, channels=2, parameters="useinbandfec=1")
    server = ScriptedServer()
    outcome = call(server, replace(opus, caller=legs[0], callee=legs[1], payload_type=96))
    offer = server.requests[0].body
    assert (
        b"a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=rtpmap:101 telephone-event/48000\r\n"
        in offer
    )
    sent = [datagram.datagram for datagram in outcome.legs[1].datagrams]
    assert sent == server.rtp[server.ports[1]]
    assert [datagram[12:] for datagram in sent] == [packets[number % 4] for number in range(15)]
    times = [int.from_bytes(datagram[4:8]) for datagram in sent]
    assert [(time - times[0]) % 2**32 for time in times] == list(range(0, 15 * 960, 960))
