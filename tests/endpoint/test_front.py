"""One SIP address before many processes: what is forwarded where, and what a peer sees of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.endpoint.effects import Answered, Dropped, Effect, Given, Hop, ToOutside, ToSeat
from gateway.endpoint.front import Forwarder
from gateway.sip.message import Message, Request, Response, parse

HERE, INSIDE = Hop("udp", "192.0.2.1", 5070), ("127.0.0.1", 40_000)
TRUNK = Hop("udp", "198.51.100.1", 5060)
PROCESS_PORT = 50_003


def forwarder(seats: list[int | None], **proxies: Hop) -> Forwarder:
    left = iter(seats)
    return Forwarder(
        HERE, INSIDE, lambda: next(left), "secret", {k.replace("_", "."): v for k, v in proxies.items()}
    )


def request(
    method: str,
    call: str = "a",
    tag: str = "",
    via: str = "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx",
    *extra: str,
) -> bytes:
    lines = [
        f"{method} sip:practice@192.0.2.1:5070 SIP/2.0", f"Via: {via}", "From: <sip:1@trunk>;tag=1",
        f"To: <sip:practice@192.0.2.1>{';tag=' + tag if tag else ''}", f"Call-ID: {call}", f"CSeq: 1 {method}", *extra,
        *([] if "Contact:" in " ".join(extra) else ["Contact: <sip:1@198.51.100.1>"]),
        "Content-Length: 0",
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(to: Message, status: int, *extra: str) -> bytes:
    copied = [
        f"{k}: {v}"
        for k, v in to.headers.fields
        if k in ("Via", "Record-Route", "From", "To", "Call-ID", "CSeq")
    ]
    return ("\r\n".join([f"SIP/2.0 {status} X", *copied, *extra, "Content-Length: 0"]) + "\r\n\r\n").encode()


def only(effects: list[Effect]) -> ToSeat | ToOutside:
    (effect,) = (each for each in effects if not isinstance(each, Given | Answered))
    assert isinstance(effect, ToSeat | ToOutside)
    return effect


def invited(front: Forwarder, call: str = "a") -> tuple[int, Request]:
    effect = only(front.from_outside(request("INVITE", call), TRUNK))
    assert isinstance(effect, ToSeat)
    message = parse(effect.data)
    assert isinstance(message, Request)
    return effect.seat, message


def test_a_new_call_goes_to_the_process_chosen_and_all_of_its_dialog_after_it() -> None:
    front = forwarder([2, 0])
    assert invited(front)[0] == 2
    assert invited(front)[0] == 2, "what is sent again goes to the same"
    assert invited(front, "b")[0] == 0
    for method in ("ACK", "CANCEL", "BYE"):
        assert only(front.from_outside(request(method, "a", "2"), TRUNK)).seat == 2  # type: ignore[union-attr]
    assert (front.load(2), front.load(0), front.load(1)) == (1, 1, 0)


def test_the_process_sees_a_way_back_through_us_and_the_trunk_sees_nothing_of_it() -> None:
    front = forwarder([1])
    _, invite = invited(front)
    assert invite.headers.all("Record-Route") == ("<sip:127.0.0.1:40000;lr>",)
    assert invite.via.host == "127.0.0.1"
    back = only(front.from_inside(answer(invite, 200, "Contact: <sip:practice@192.0.2.1:5070>"), 1))
    assert isinstance(back, ToOutside)
    assert (back.hop, back.back) == (Hop("udp", "198.51.100.1", 5060), True)
    told = parse(back.data)
    assert len(told.headers.all("Via")) == 1
    assert told.headers.all("Record-Route") == ()
    assert b"127.0.0.1" not in back.data


def test_an_answer_goes_to_the_port_that_asked_for_it() -> None:
    front = forwarder([0])
    data = request("INVITE", via="SIP/2.0/UDP 10.0.0.5:5062;branch=z9hG4bKx;rport")
    effect = only(front.from_outside(data, Hop("udp", "198.51.100.1", 31_000)))
    back = only(front.from_inside(answer(parse(effect.data), 180), 0))
    assert isinstance(back, ToOutside)
    assert back.hop == Hop("udp", "198.51.100.1", 31_000)


def test_over_tcp_an_answer_takes_the_connection_of_its_request() -> None:
    front = forwarder([0])
    effect = only(
        front.from_outside(
            request("INVITE", via="SIP/2.0/TCP 10.0.0.5;branch=z9hG4bKx"), Hop("tcp", "198.51.100.1", 41_000)
        )
    )
    back = only(front.from_inside(answer(parse(effect.data), 200), 0))
    assert isinstance(back, ToOutside)
    assert (back.hop, back.back) == (Hop("tcp", "198.51.100.1", 41_000), True)


def test_the_cancel_of_an_invite_has_its_branch() -> None:
    front = forwarder([0])
    _, invite = invited(front)
    cancel = parse(only(front.from_outside(request("CANCEL"), TRUNK)).data)
    assert cancel.via.branch == invite.via.branch


def sent(front: Forwarder, data: bytes, seat: int = 3) -> tuple[Hop, Request]:
    effect = only(front.from_inside(data, seat))
    assert isinstance(effect, ToOutside)
    message = parse(effect.data)
    assert isinstance(message, Request)
    return effect.hop, message


TRUNK_VIA = "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKx"
OWN_VIA = f"SIP/2.0/UDP 127.0.0.1:{PROCESS_PORT};rport;branch=z9hG4bKpj"


def test_what_a_process_sends_comes_from_our_address_and_its_answer_finds_it() -> None:
    front = forwarder([])
    hop, out = sent(front, request("INVITE", "c", "", OWN_VIA, "Route: <sip:127.0.0.1:40000;lr>"))
    assert hop == Hop("udp", "192.0.2.1", 5070)
    assert out.headers.all("Route") == ()
    assert b"127.0.0.1" not in out.headers.get("Via").encode()  # type: ignore[union-attr]
    back = only(front.from_outside(answer(out, 200, "Record-Route: <sip:trunk;lr>"), TRUNK))
    assert isinstance(back, ToSeat)
    assert back.seat == 3
    told = parse(back.data)
    assert (told.via.host, told.via.port, told.via.branch) == ("127.0.0.1", PROCESS_PORT, "z9hG4bKpj")
    assert told.headers.all("Record-Route")[-1] == "<sip:127.0.0.1:40000;lr>"
    assert only(front.from_outside(request("BYE", "c", "2"), TRUNK)) == only(
        front.from_outside(request("BYE", "c", "2"), TRUNK)
    )


def test_a_proxy_takes_what_begins_and_not_what_goes_on() -> None:
    front = forwarder([], **{"192_0_2_1:5070": Hop("tcp", "203.0.113.9", 5065)})
    assert sent(front, request("INVITE", "c", "", OWN_VIA))[0] == Hop("tcp", "203.0.113.9", 5065)
    assert sent(front, request("BYE", "c", "9", OWN_VIA))[0] == Hop("tcp", "192.0.2.1", 5070)


def test_a_full_pool_is_busy() -> None:
    front = forwarder([None])
    count, effect = front.from_outside(request("INVITE"), TRUNK)
    assert count == Dropped("busy")
    assert isinstance(effect, ToOutside)
    told = parse(effect.data)
    assert isinstance(told, Response)
    assert told.status == 486


@pytest.mark.parametrize(("method", "tag", "status"), [("BYE", "9", 481), ("CANCEL", "", 481), ("OPTIONS", "", 200), ("REFER", "9", 405), ("MESSAGE", "", 405)])  # fmt: skip
def test_what_no_process_has_is_answered_here(method: str, tag: str, status: int) -> None:
    effect = only(forwarder([]).from_outside(request(method, "z", tag), TRUNK))
    told = parse(effect.data)
    assert isinstance(told, Response)
    assert told.status == status


def test_a_refused_call_and_a_lost_process_make_room() -> None:
    front = forwarder([0, 0, 1])
    _, invite = invited(front)
    front.from_inside(answer(invite, 488), 0)
    assert front.load(0) == 0
    _, invite = invited(front, "b")
    front.from_inside(answer(invite, 200), 0)
    front.from_inside(answer(invite, 491), 0)  # of a further INVITE in the dialog
    assert front.load(0) == 1
    front.seat_lost(0)
    assert front.load(0) == 0
    assert invited(front, "b")[0] == 1


def test_the_peers_of_a_lost_process_are_told() -> None:
    front = forwarder([0])
    extra = ("Contact: <sip:trunk@198.51.100.1:5066>", "Record-Route: <sip:198.51.100.9;lr>")
    effect = only(front.from_outside(request("INVITE", "a", "", TRUNK_VIA, *extra), TRUNK))
    front.from_inside(answer(parse(effect.data), 200), 0)
    _, out = sent(front, request("INVITE", "b", "", OWN_VIA), 0)
    _, ringing = sent(front, request("INVITE", "c", "", OWN_VIA), 0)
    front.from_outside(answer(out, 200, "Contact: <sip:phone@192.0.2.9:5062>"), TRUNK)
    _, over = sent(front, request("INVITE", "d", "", OWN_VIA), 0)
    front.from_outside(answer(over, 486), TRUNK)
    left = [each for each in front.seat_lost(0) if isinstance(each, ToOutside)]
    told = [(each.hop.host, each.hop.port, parse(each.data)) for each in left]
    assert [(host, port, m.method, m.uri) for host, port, m in told if isinstance(m, Request)] == [
        ("198.51.100.9", None, "BYE", "sip:trunk@198.51.100.1:5066"),
        ("192.0.2.9", 5062, "BYE", "sip:phone@192.0.2.9:5062"),
        ("192.0.2.1", 5070, "CANCEL", "sip:practice@192.0.2.1:5070"),
    ]
    assert told[2][2].via == ringing.via
    assert front.from_outside(answer(told[0][2], 200), TRUNK) == []
    assert front.seat_lost(0) == []


def test_transfers_by_the_peer_are_not_offered() -> None:
    front = forwarder([])
    _, out = sent(
        front,
        request(
            "INVITE", "c", "", OWN_VIA, "Allow: INVITE, REFER, BYE", "Supported: replaces, timer, outbound"
        ),
    )
    assert "REFER" not in out.headers.all("Allow")
    assert out.headers.all("Supported") == ("timer",)


def test_no_endless_way() -> None:
    told = parse(
        only(forwarder([0]).from_outside(request("INVITE", "a", "", OWN_VIA, "Max-Forwards: 0"), TRUNK)).data
    )
    assert isinstance(told, Response)
    assert told.status == 483


@given(
    st.binary(max_size=400)
    | st.builds(lambda a, b: request("INVITE")[:a] + b, st.integers(0, 200), st.binary(max_size=80))
)
def test_octets_of_strangers_are_counted_or_forwarded_never_raised(data: bytes) -> None:
    front = forwarder([0] * 3)
    for effects in (front.from_outside(data, TRUNK), front.from_inside(data, 0)):
        assert all(isinstance(effect, ToSeat | ToOutside | Dropped | Given | Answered) for effect in effects)


def statuses(effects: list[Effect]) -> list[int]:
    answers = [parse(each.data) for each in effects if isinstance(each, ToOutside)]
    return [each.status for each in answers if isinstance(each, Response)]


def test_the_hops_before_us_are_kept_from_the_process_and_come_back_as_they_were() -> None:
    front = forwarder([0])
    odd = "SIP/2.0/UDP proxy.example:5062 ;branch=z9hG4bK@{}|;x"
    _, invite = front.from_outside(request("INVITE", "a", "", f"{TRUNK_VIA}, {odd}"), TRUNK)
    assert isinstance(invite, ToSeat)
    assert len(parse(invite.data).headers.all("Via")) == 1
    back = only(front.from_inside(answer(parse(invite.data), 200), 0))
    assert parse(back.data).headers.all("Via")[1] == odd


def test_a_request_that_no_process_could_read_is_answered_here_and_takes_no_line() -> None:
    front = forwarder([0])
    effects = front.from_outside(request("INVITE", "a", "", TRUNK_VIA, "Contact: <<<"), TRUNK)
    assert Dropped("bad_address") in effects
    assert statuses(effects) == [400]
    assert front.load(0) == 0
    effects = front.from_outside(
        request("INVITE", "b").replace(b"Content-Length: 0", b"Content-Length: 9"), TRUNK
    )
    assert statuses(effects) == [400]
    assert front.from_outside(
        request("INVITE", "c").replace(b"Via:", b"X-Via:").replace(b"INVITE", b"ACK"), TRUNK
    ) == [Dropped("missing_header")]


def test_an_invite_of_which_its_process_says_nothing_is_refused_and_its_line_free() -> None:
    front = forwarder([0, 0])
    given, _ = front.from_outside(request("INVITE"), TRUNK)
    assert isinstance(given, Given)
    count, *refusal = front.unanswered(given.call_id)
    assert count == Dropped("unread")
    assert statuses(refusal) == [500]
    assert front.load(0) == 0
    assert front.unanswered(given.call_id) == []
    _, invite = invited(front, "b")
    front.from_inside(answer(invite, 100), 0)
    assert front.unanswered("b") == []
    assert front.load(0) == 1


def test_a_caller_who_is_not_yet_answered_is_refused_when_the_process_is_lost() -> None:
    front = forwarder([0])
    _, invite = invited(front)
    front.from_inside(answer(invite, 183), 0)
    assert statuses(front.seat_lost(0)) == [500]
    assert front.load(0) == 0


def test_who_picks_up_while_the_process_is_lost_is_let_go() -> None:
    front = forwarder([])
    _, ringing = sent(front, request("INVITE", "c", "", OWN_VIA), 0)
    cancel = parse(only(front.seat_lost(0)).data)
    crossed = front.from_outside(answer(ringing, 200, "Contact: <sip:phone@192.0.2.9:5062>"), TRUNK)
    left = [parse(each.data) for each in crossed if isinstance(each, ToOutside)]
    assert [(m.method, m.uri) for m in left if isinstance(m, Request)] == [
        ("ACK", "sip:phone@192.0.2.9:5062"), ("BYE", "sip:phone@192.0.2.9:5062"),
    ]  # fmt: skip
    assert (left[0].cseq.number, left[0].cseq.method) == (ringing.cseq.number, "ACK")
    (refused,) = front.from_outside(answer(ringing, 487), TRUNK)
    assert isinstance(refused, ToOutside)
    ack = parse(refused.data)
    assert isinstance(ack, Request)
    assert (ack.method, ack.via, cancel.via) == ("ACK", ringing.via, ringing.via)


def test_a_later_offer_with_fewer_lines_is_refused() -> None:
    """RFC 3264 section 8; pjsip ends at one."""

    def offer(method: str, tag: str, lines: int) -> list[Effect]:
        sdp = "v=0\r\nc=IN IP4 198.51.100.1\r\n" + "m=audio 4000 RTP/AVP 8\r\n" * lines
        data = request(method, "a", tag, TRUNK_VIA, "Content-Type: application/sdp")
        return front.from_outside(
            data.replace(b"Length: 0\r\n\r\n", f"Length: {len(sdp)}\r\n\r\n{sdp}".encode()), TRUNK
        )

    front = forwarder([0])
    assert isinstance(offer("INVITE", "", 2)[-1], ToSeat)
    assert statuses(offer("INVITE", "2", 1)) == [488]
    assert statuses(offer("UPDATE", "2", 1)) == [488]
    assert statuses(offer("UPDATE", "2", 3)) == [488]
    assert isinstance(only(offer("UPDATE", "2", 2)), ToSeat)
    assert isinstance(only(offer("INVITE", "2", 3)), ToSeat)
    assert statuses(offer("INVITE", "2", 2)) == [488]


def test_a_question_within_a_call_is_answered_while_there_is_one() -> None:
    front = forwarder([0])
    _, invite = invited(front)
    front.from_inside(answer(invite, 200, "Contact: <sip:practice@192.0.2.1:5070>"), 0)
    assert statuses(front.from_outside(request("OPTIONS", "a", "2"), TRUNK)) == [200]
    assert isinstance(only(front.from_outside(request("BYE", "a", "2"), TRUNK)), ToSeat)
    assert isinstance(only(front.from_outside(request("OPTIONS", "a", "2"), TRUNK)), ToSeat)
