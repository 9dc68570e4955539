"""Session timers and probes through the whole user agent, against a peer of a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest

from gateway.sip.answers import Profile
from gateway.sip.effects import Effect, Flow, HungUp, Invited, Probed, Send
from gateway.sip.message import Request, Response, parse
from gateway.sip.server import UserAgentServer
from gateway.sip.session_timer import Policy

UDP = Flow("udp", ("192.0.2.2", 5060), ("192.0.2.1", 5060))
TLS = Flow("tls", ("192.0.2.2", 33000), ("192.0.2.1", 5061), connection=7)
OURS = ("Supported: timer", "Session-Expires: 200;refresher=uas")
THEIRS = ("Supported: timer", "Session-Expires: 200;refresher=uac")
UPDATES = "Allow: INVITE, ACK, BYE, UPDATE"
PLAIN = "Allow: INVITE, ACK, BYE"


class Peer:
    """A client in one call; what it is asked lies in `asked` until it answers."""

    def __init__(self, *extra: str, flow: Flow = UDP) -> None:
        numbers = count()
        self.flow, self.now, self.sequence = flow, 0.0, 0
        self.server = UserAgentServer(
            token=lambda: f"token{next(numbers)}", profile=Profile(options=("timer",)),
            max_message_bytes=65_535, max_dialogs=4, session_policy=Policy(wanted=300, least=100),
        )  # fmt: skip
        self.told: list[Effect] = []
        self.responses: list[Response] = []
        self.asked: list[Request] = []
        self.tag = ""
        self.send("INVITE", *extra)
        if any(isinstance(effect, Invited) for effect in self.told):
            self.take(self.server.respond(1, 200, 0, body=b"v=0"))
            self.send("ACK")

    def send(self, method: str, *extra: str) -> None:
        self.sequence += method != "ACK"
        lines = [
            f"{method} sip:srs@192.0.2.1 SIP/2.0",
            f"Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK{method}{self.sequence}",
            "From: <sip:src@192.0.2.2>;tag=peer",
            "To: <sip:srs@192.0.2.1>" + (f";tag={self.tag}" if self.tag else ""),
            "Call-ID: call",
            f"CSeq: {self.sequence} {method}",
            "Contact: <sip:src@192.0.2.2:5070>",
            *extra,
        ]
        self.take(self.server.receive("\r\n".join([*lines, "", ""]).encode(), self.flow, self.now))

    def take(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if not isinstance(effect, Send):
                self.told.append(effect)
                continue
            match parse(effect.data):
                case Request() as request:
                    self.asked.append(request)
                case Response() as answer:
                    self.responses.append(answer)
                    self.tag = (answer.headers.get("To") or "").partition(";tag=")[2]

    def answer(self, status: int, *extra: str) -> Request:
        """Answer what was asked last."""
        request = self.asked[-1]
        kept = [f"{name}: {request.headers.get(name)}" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        data = "\r\n".join([f"SIP/2.0 {status} X", *kept, *extra, "", ""]).encode()
        self.take(self.server.receive(data, self.flow, self.now))
        return request

    def wait(self, until: float) -> None:
        while (at := self.server.next_timer()) is not None and at <= until:
            self.now = at
            self.take(self.server.handle_timer(at))
        self.now = until

    @property
    def causes(self) -> list[str]:
        return [effect.cause for effect in self.told if isinstance(effect, HungUp)]


def test_a_session_without_refresh_is_ended() -> None:
    peer = Peer(*THEIRS)
    assert peer.responses[-1].headers.get("Session-Expires") == "200;refresher=uac"
    assert peer.responses[-1].headers.all("Require") == ("timer",)
    peer.wait(167)
    assert peer.causes == []
    peer.wait(168)
    assert peer.causes == ["session_expired"]
    assert peer.asked[-1].method == "BYE"


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_refresh_begins_the_time_anew(method: str) -> None:
    peer = Peer(*THEIRS)
    for at in range(100, 1000, 100):
        peer.wait(at)
        peer.send(method, *THEIRS)
        peer.take(peer.server.respond(1, 200, peer.now))
        peer.send("ACK")
    assert peer.causes == []
    assert peer.responses[-1].headers.get("Session-Expires") == "200;refresher=uac"
    peer.wait(900 + 168)
    assert peer.causes == ["session_expired"]


def test_a_change_that_speaks_of_no_timer_ends_the_timer() -> None:
    peer = Peer(*THEIRS)
    peer.send("UPDATE")
    peer.take(peer.server.respond(1, 200, 0))
    assert peer.responses[-1].headers.get("Session-Expires") is None
    assert not peer.server.timed(1)
    peer.wait(10_000)
    assert peer.causes == []


def test_too_short_sessions_are_refused_without_state() -> None:
    peer = Peer("Supported: timer", "Session-Expires: 99")
    assert [answer.status for answer in peer.responses] == [422]
    assert peer.responses[0].headers.get("Min-SE") == "100"
    assert len(peer.server._layer) == len(peer.server._dialogs) == 0


@pytest.mark.parametrize("flow", [UDP, TLS])
def test_we_refresh_by_update(flow: Flow) -> None:
    peer = Peer(*OURS, UPDATES, flow=flow)
    for at in range(100, 1100, 100):
        peer.wait(at)
        update = peer.answer(200, "Session-Expires: 200;refresher=uac")
        assert update.method == "UPDATE"
        assert update.headers.get("Session-Expires") == "200;refresher=uac"
        assert (update.headers.get("Via") or "").startswith(f"SIP/2.0/{flow.transport.upper()} ")
        assert update.headers.get("Contact")
    assert len(peer.asked) == 10
    assert peer.causes == []


def test_we_refresh_by_invite_where_the_client_knows_no_update() -> None:
    peer = Peer(*OURS, PLAIN)
    peer.wait(100.6)
    assert [request.method for request in peer.asked] == ["INVITE", "INVITE"], "it is sent again over UDP"
    assert peer.asked[0].body == b"v=0"
    peer.answer(100)
    invite = peer.answer(200)
    peer.asked.insert(0, invite)
    ack = peer.asked[-1]
    assert (ack.method, ack.uri, ack.cseq.number) == ("ACK", "sip:src@192.0.2.2:5070", invite.cseq.number)
    assert ack.via.branch != invite.via.branch
    peer.asked.append(invite)
    peer.answer(200)
    assert peer.asked[-1].method == "ACK", "for a repeated 200 as well"
    peer.wait(199)
    assert peer.causes == []


def test_a_refused_reinvite_is_acknowledged_and_tried_again() -> None:
    peer = Peer(*OURS, PLAIN)
    peer.wait(100)
    invite = peer.answer(491)
    assert peer.asked[-1].method == "ACK"
    assert peer.asked[-1].via.branch == invite.via.branch
    peer.wait(110)
    assert peer.asked[-1].method == "INVITE"
    peer.answer(200)
    peer.wait(200)
    assert peer.causes == []


def test_a_client_that_lied_about_update_is_asked_by_invite() -> None:
    peer = Peer(*OURS, UPDATES)
    peer.wait(100)
    peer.answer(501)
    peer.wait(100)
    assert peer.asked[-1].method == "INVITE"


def test_a_session_too_short_for_the_client_grows() -> None:
    peer = Peer(*OURS, UPDATES)
    peer.wait(100)
    peer.answer(422, "Min-SE: 500")
    peer.wait(100)
    assert peer.asked[-1].headers.get("Session-Expires") == "500;refresher=uac"
    for _ in range(50):
        peer.answer(422, "Min-SE: 500")
    assert len(peer.asked) == 2, "a client that insists is not asked at the network's speed"


@pytest.mark.parametrize("status", [408, 481])
def test_a_client_that_forgot_the_call_ends_it(status: int) -> None:
    peer = Peer(*OURS, UPDATES)
    peer.wait(100)
    peer.answer(status)
    assert peer.causes == ["session_expired"]


@pytest.mark.parametrize("allow", [UPDATES, PLAIN])
def test_a_client_that_does_not_answer_ends_the_call(allow: str) -> None:
    peer = Peer(*OURS, allow)
    peer.wait(140)
    assert peer.causes == ["session_expired"]
    peer.wait(300)
    assert len(peer.server._layer) == len(peer.server._dialogs) == 0


def test_refreshes_that_are_always_refused_do_not_keep_a_session() -> None:
    peer = Peer(*OURS, UPDATES)
    peer.wait(100)
    while not peer.causes:
        peer.answer(500)
        peer.wait(peer.now + 10)
    assert peer.now == 170


@pytest.mark.parametrize(
    ("status", "alive"), [(200, True), (405, True), (503, True), (481, False), (408, False)]
)
def test_probe(status: int, alive: bool) -> None:
    peer = Peer()
    peer.take(peer.server.probe(1, 5))
    assert peer.asked[-1].method == "OPTIONS"
    assert "tag=peer" in (peer.asked[-1].headers.get("To") or "")
    peer.answer(status)
    peer.answer(status)
    assert peer.told[2:] == [Probed(1, alive)]
    assert peer.causes == [], "what follows is not decided here"


def test_nobody_answers_the_probe() -> None:
    peer = Peer()
    peer.take(peer.server.probe(1, 0))
    peer.wait(31.9)
    assert Probed(1, False) not in peer.told
    peer.wait(32)
    assert peer.told[-1] == Probed(1, False)


def test_a_probe_whose_connection_is_gone() -> None:
    peer = Peer(flow=TLS)
    peer.take(peer.server.probe(1, 0))
    peer.take(peer.server.connection_lost(TLS.connection, 1))
    assert peer.told[-1] == Probed(1, False)
    peer.take(peer.server.probe(1, 2))
    assert peer.told[-2:] == [Probed(1, False), Probed(1, False)]


def test_late_answers_to_an_ended_call_do_nothing() -> None:
    peer = Peer(*OURS, UPDATES)
    peer.take(peer.server.probe(1, 0))
    peer.wait(100)
    update = peer.asked[-1]
    peer.take(peer.server.hang_up(1, "ended_here", peer.now))
    peer.asked.append(update)
    peer.answer(200, "Session-Expires: 200;refresher=uac")
    peer.wait(1000)
    assert peer.causes == ["ended_here"]
    assert len(peer.server._layer) == len(peer.server._dialogs) == 0
    assert peer.server.next_timer() is None


def test_contact_over_tls() -> None:
    assert Profile().contact(TLS, "sip:srs@192.0.2.1") == "<sip:192.0.2.1:5061;transport=tls>"
    assert Profile().contact(TLS, "sips:srs@192.0.2.1") == "<sips:192.0.2.1:5061>"
    assert Profile().contact(UDP) == "<sip:192.0.2.1:5060>"
