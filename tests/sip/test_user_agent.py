"""The user agent server, as a peer finds it: dialogs, transactions, limits, and what is wrong or hostile."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.effects import Acknowledged, Flow, Invited, Modified, Send
from gateway.sip.message import Request, parse
from gateway.sip.server import TRANSACTIONS_PER_DIALOG
from tests.sip.client import MAX_DIALOGS, TCP, UDP, Client, answer, names

RFC_REPEATS = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_dialogue(flow: Flow) -> None:
    client = Client(flow)
    invite = client.request(
        "INVITE", 1, "Record-Route: <sip:p@192.0.2.2;lr>", "Timestamp: 54", branch="z9hG4bKinvite"
    )
    trying = client.give(invite)
    assert names(trying) == ["100", "Invited"]
    assert answer(trying).headers.get("Timestamp") == "54"
    assert names(client.give(invite)) == ["100"]
    accepted = client.server.respond(1, 200, 0.2, fields=(("Content-Type", "application/sdp"),), body=b"sdp")
    ok = answer(client.keep(accepted))
    assert ok.body == b"sdp"
    assert ok.headers.get("Record-Route") == "<sip:p@192.0.2.2;lr>"
    assert (ok.headers.get("Contact") or "").endswith(";+sip.srs")
    assert names(client.give(invite)) == []
    acknowledged = client.give(client.request("ACK", 1), at=1)
    assert isinstance(acknowledged[0], Acknowledged)
    assert acknowledged[0].first
    assert names(client.give(client.request("ACK", 1))) == []
    bye = client.request("BYE", 2)
    assert names(client.give(bye)) == ["200", "hung up: bye"]
    client.run(100)
    assert len(client.server._layer) == 0
    assert client.server.next_timer() is None


def test_answer_is_repeated_until_given_up_with_bye() -> None:
    client = Client(TCP)
    client.give(client.request("INVITE", 1))
    client.keep(client.server.respond(1, 200, 0))
    repeated = client.run(32)
    assert [at for at, _ in repeated[:10]] == RFC_REPEATS
    assert repeated[10:] == [(32, "hung up: no_ack"), (32, "BYE")]
    assert client.run(100) == []
    assert client.server._dialogs == {}


def test_cancel_before_and_after_the_answer() -> None:
    client = Client()
    client.give(client.request("INVITE", 1, branch="z9hG4bKi"))
    cancel = client.request("CANCEL", 1, branch="z9hG4bKi")
    assert names(client.give(cancel)) == ["200", "487", "hung up: cancel"]
    assert names(client.give(cancel)) == ["200"]
    assert client.run(1) == [(0.5, "487")]
    client.give(client.request("ACK", 1, branch="z9hG4bKi"))
    assert client.run(50) == []
    assert names(client.give(client.request("CANCEL", 1, branch="z9hG4bKi"))) == [
        "unknown_transaction",
        "481",
    ]


def test_bye_before_the_answer() -> None:
    client = Client()
    client.give(client.request("INVITE", 1))
    assert names(client.give(client.request("BYE", 2, tag="token1"))) == ["200", "487", "hung up: bye"]


def test_hanging_up() -> None:
    client = Client()
    client.establish()
    assert names(client.keep(client.server.hang_up(1, "media_timeout", 5))) == [
        "hung up: media_timeout",
        "BYE",
    ]
    bye = client.effects[-1]
    assert isinstance(bye, Send)
    assert bye.flow.peer == ("192.0.2.2", 5070)
    request = parse(bye.data)
    assert isinstance(request, Request)
    assert request.uri == "sip:src@192.0.2.2:5070"
    assert request.headers.get("From") == "<sip:srs@192.0.2.1>;tag=token1"
    assert client.run(6) == [(5.5, "BYE")]
    reply = bye.data.replace(b"BYE sip:src@192.0.2.2:5070 SIP/2.0", b"SIP/2.0 200 OK")
    assert names(client.give(reply)) == []
    assert client.run(100) == []
    assert names(client.give(reply)) == ["stray_response"]


def test_crossing_byes() -> None:
    client = Client()
    client.establish()
    client.server.hang_up(1, "ended_here", 5)
    assert names(client.give(client.request("UPDATE", 2))) == ["unknown_dialog", "481"]
    assert names(client.give(client.request("BYE", 3, "Require: anything"))) == ["200"]


def test_hanging_up_waits_for_the_ack() -> None:
    client = Client()
    client.give(client.request("INVITE", 1))
    client.keep(client.server.respond(1, 200, 0))
    assert names(client.server.hang_up(1, "ended_here", 0.1)) == ["hung up: ended_here"]
    assert names(client.give(client.request("ACK", 1))) == ["BYE"]


def test_hanging_up_before_the_answer() -> None:
    client = Client()
    client.give(client.request("INVITE", 1))
    assert names(client.server.hang_up(1, "ended_here", 0)) == ["480", "hung up: ended_here"]


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_modification(method: str) -> None:
    client = Client()
    client.establish()
    request = client.request(method, 2)
    modified = client.give(request)
    assert isinstance(modified[-1], Modified)
    assert names(client.give(client.request("UPDATE", 3))) == ["request_pending", "500"]
    assert names(client.server.respond(1, 200, 0)) == ["200"]
    if method == "INVITE":
        assert names(client.give(client.request("INVITE", 4))) == ["request_pending", "491"]
        assert client.give(client.request("ACK", 2)) == [Acknowledged(1, client_request(client), False)]
    assert names(client.give(client.request("BYE", 5))) == ["200", "hung up: bye"]


def client_request(client: Client) -> Request:
    told = client.effects[-1]
    assert isinstance(told, Acknowledged)
    return told.request


def test_refused_modification_leaves_the_dialog() -> None:
    client = Client()
    client.establish()
    client.give(client.request("INVITE", 2, branch="z9hG4bKre"))
    assert names(client.server.respond(1, 488, 0)) == ["488"]
    client.give(client.request("ACK", 2, branch="z9hG4bKre"))
    assert names(client.give(client.request("BYE", 3))) == ["200", "hung up: bye"]


@pytest.mark.parametrize(
    ("method", "uri", "extra", "words", "field"),
    [
        ("OPTIONS", "sip:a", (), ["200"], ("Supported", "siprec")),
        ("OPTIONS", "sip:a", ("Max-Forwards: 0",), ["200"], ("Accept", "application/sdp")),
        ("REGISTER", "sip:a", (), ["unknown_method", "405"], ("Allow", "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO")),
        ("INVITE", "http://a", (), ["unsupported_scheme", "416"], ("CSeq", "1 INVITE")),
        ("INVITE", "sip:a", ("Require: siprec, timer, x",), ["unsupported_extension", "420"], ("Unsupported", "timer, x")),
        ("INVITE", "sip:a", ("Content-Type: text/plain",), ["unsupported_body", "415"], ("Accept", "application/sdp")),
        ("INVITE", "sip:a", ("Content-Encoding: gzip",), ["unsupported_encoding", "415"], ("Accept-Encoding", "identity")),
        ("BYE", "sip:a", (), ["unknown_dialog", "481"], ("CSeq", "1 BYE")),
        ("UPDATE", "sip:a", (), ["unknown_dialog", "481"], ("CSeq", "1 UPDATE")),
    ],
)  # fmt: skip
def test_answered_at_once(
    method: str, uri: str, extra: tuple[str, ...], words: list[str], field: tuple[str, str]
) -> None:
    client = Client()
    body = b"x" if method == "INVITE" else b""
    effects = client.give(client.request(method, 1, *extra, uri=uri, body=body))
    assert names(effects) == words
    assert answer(effects[-1:]).headers.get(field[0]) == field[1]
    assert len(client.server._layer) == 0


def test_siprec_may_be_required() -> None:
    client = Client()
    assert names(client.give(client.request("INVITE", 1, "Require: siprec"))) == ["100", "Invited"]


@pytest.mark.parametrize(
    ("method", "cseq", "tag", "words"),
    [
        ("BYE", 2, "other", ["unknown_dialog", "481"]),
        ("UPDATE", 0, None, ["old_sequence", "500"]),
        ("OPTIONS", 2, None, ["200"]),
        ("INFO", 2, None, ["200", "Informed"]),
        ("ACK", 9, None, []),
        ("ACK", 9, "other", []),
    ],
)
def test_within_a_dialog(method: str, cseq: int, tag: str | None, words: list[str]) -> None:
    client = Client()
    client.establish()
    assert names(client.give(client.request(method, cseq, tag=tag))) == words


def test_merged_request() -> None:
    client = Client()
    client.give(client.request("INVITE", 1, branch="z9hG4bKa"))
    assert names(client.give(client.request("INVITE", 1, branch="z9hG4bKb", tag=""))) == [
        "merged_request",
        "482",
    ]


def test_without_the_magic_cookie() -> None:
    client = Client()
    invite = client.request("INVITE", 1, branch="1")
    client.give(invite)
    assert names(client.give(invite)) == ["100"]
    client.keep(client.server.respond(1, 200, 0))
    assert names(client.give(client.request("ACK", 1, branch="1"))) == ["Acknowledged"]


def test_answers_follow_via() -> None:
    client = Client()
    client.flow = replace(UDP, peer=("192.0.2.2", 40000))
    plain = client.give(client.request("OPTIONS", 1))
    with_port = client.give(
        client.request("OPTIONS", 1).replace(b"Via: SIP/2.0/UDP 192.0.2.2", b"Via: SIP/2.0/UDP h;rport")
    )
    assert [e.flow.peer for e in (*plain, *with_port) if isinstance(e, Send)] == [
        ("192.0.2.2", 5060), ("192.0.2.2", 40000)
    ]  # fmt: skip
    assert "received=192.0.2.2" in (answer(with_port).headers.get("Via") or "")


def test_limits() -> None:
    client = Client()
    for number in range(MAX_DIALOGS):
        assert names(client.give(client.request("INVITE", 1, call=str(number), tag=""))) == ["100", "Invited"]
    refused = client.give(client.request("INVITE", 1, call="over", tag=""))
    assert names(refused) == ["overload", "503"]
    assert answer(refused[1:]).headers.get("Retry-After")
    assert names(client.give(client.request("BYE", 2, call="0", tag="token1"))) == [
        "200",
        "487",
        "hung up: bye",
    ]


def test_refused_invites_hold_bounded_memory_and_hang_up_nobody() -> None:
    client = Client()
    client.establish()
    for number in range(1000):
        client.give(client.request("INVITE", 1, call=f"flood{number}", tag=""))
        for effect in client.effects[-1:]:
            if isinstance(effect, Invited):
                client.server.respond(effect.dialog, 488, 0)
    assert len(client.server._layer) <= TRANSACTIONS_PER_DIALOG * MAX_DIALOGS
    assert names(client.give(client.request("BYE", 2, tag="token1"))) == ["200", "hung up: bye"]


def test_flood_within_a_dialog_is_bounded() -> None:
    client = Client()
    client.establish()
    for number in range(200):
        client.give(client.request("OPTIONS", number + 2))
    assert names(client.effects[-2:]) == ["overload", "503"]


def test_lost_connection() -> None:
    client = Client(TCP)
    client.establish()
    assert client.server.connection_lost(TCP.connection + 1, 1) == []
    client.give(client.request("INVITE", 1, call="second", tag=""))
    assert names(client.server.connection_lost(TCP.connection, 1)) == ["hung up: connection_lost"]
    client.flow = replace(TCP, connection=8)
    assert names(client.give(client.request("BYE", 2, tag="token1"))) == ["200", "hung up: bye"]


def test_hanging_up_without_a_connection() -> None:
    client = Client(TCP)
    client.establish()
    assert client.server.connection_lost(TCP.connection, 1) == []
    assert names(client.server.hang_up(1, "media_timeout", 2)) == ["hung up: media_timeout"]
    assert client.server._dialogs == {}


def test_bad_messages_are_counted_and_answered_where_possible() -> None:
    client = Client()
    assert names(client.give(b"\r\n\r\n")) == []
    assert names(client.give(b"garbage")) == ["malformed_start_line"]
    short = client.request("OPTIONS", 1).replace(b"h: 0", b"h: 7")
    assert names(client.give(short)) == ["truncated", "400"]
    assert names(client.give(client.request("OPTIONS", 1, body=b"x" * 70_000))) == ["too_large", "513"]
    assert names(client.give(client.request("INVITE", 1).replace(b"<sip:src@192.0.2.2>", b"<broken"))) == [
        "bad_address",
        "400",
    ]


def test_odd_contact_and_route_cost_nothing() -> None:
    client = Client()
    invite = client.request("INVITE", 1, "Record-Route: <nonsense>").replace(
        b"<sip:src@192.0.2.2:5070>", b"<broken"
    )
    assert names(client.give(invite)) == ["100", "Invited"]
    client.keep(client.server.respond(1, 200, 0))
    client.give(client.request("ACK", 1))
    assert names(client.server.hang_up(1, "ended_here", 1)) == ["hung up: ended_here", "BYE"]


def test_bye_behind_nat_and_strict_routes() -> None:
    client = Client()
    client.flow = replace(UDP, peer=("203.0.113.9", 61000))
    client.give(client.request("INVITE", 1, "Record-Route: <sip:strict.example.com>"))
    client.keep(client.server.respond(1, 200, 0))
    client.give(client.request("ACK", 1))
    sent = client.server.hang_up(1, "ended_here", 1)[-1]
    assert isinstance(sent, Send)
    assert sent.flow.peer == ("203.0.113.9", 61000)
    bye = parse(sent.data)
    assert isinstance(bye, Request)
    assert (bye.uri, bye.headers.get("Route")) == ("sip:strict.example.com", "<sip:src@192.0.2.2:5070>")


@pytest.mark.parametrize(
    "host", ["srs.example.com", "999.1.1.1", "[::::]", "[2001:db8::9]", "0.0.0.0", "239.1.1.1"]
)
def test_bye_goes_only_where_the_socket_reaches(host: str) -> None:
    client = Client()
    client.give(client.request("INVITE", 1).replace(b"src@192.0.2.2:5070", f"src@{host}:5070".encode()))
    client.keep(client.server.respond(1, 200, 0))
    client.give(client.request("ACK", 1))
    sent = client.server.hang_up(1, "ended_here", 1)[-1]
    assert isinstance(sent, Send)
    assert sent.flow.peer == UDP.peer


def test_bye_is_taken_however_much_is_under_way() -> None:
    client = Client()
    client.establish()
    asked = [answer(client.give(client.request("OPTIONS", 2))).status for _ in range(100)]
    assert asked[-1] == 503
    assert names(client.give(client.request("BYE", 3))) == ["200", "hung up: bye"]


def test_a_dialog_moves_to_the_connection_that_its_requests_come_over() -> None:
    client = Client(TCP)
    client.establish()
    assert client.server.carries(TCP.connection)
    client.server.connection_lost(TCP.connection, 1)
    client.flow = replace(TCP, connection=8)
    assert not client.server.carries(8)
    client.give(client.request("OPTIONS", 2))
    assert client.server.carries(8)


@given(st.data())
def test_mutated_messages_never_raise(data: st.DataObject) -> None:
    client = Client()
    client.establish()
    for method in ("INVITE", "ACK", "CANCEL", "BYE"):
        text = client.request(method, 2, "Record-Route: <sip:p;lr>", "Require: siprec", tag="token1")
        at = data.draw(st.integers(0, len(text)))
        mutated = text[:at] + data.draw(st.binary(max_size=4)) + text[at + data.draw(st.integers(0, 4)) :]
        client.server.receive(mutated, UDP, 1)
    client.server.hang_up(1, "ended_here", 2)
    client.run(100)


def test_lost_connection_under_our_bye() -> None:
    client = Client(TCP)
    client.establish()
    client.server.hang_up(1, "ended_here", 1)
    client.flow = replace(TCP, connection=8)
    assert names(client.give(client.request("UPDATE", 2))) == ["unknown_dialog", "481"]
    assert client.server.connection_lost(TCP.connection, 2) == []
    assert client.server._dialogs == {}
