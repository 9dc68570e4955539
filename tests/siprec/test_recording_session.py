from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sip.effects import Flow, Rejected, Send
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.sip.message import Request, Response, parse
from gateway.sip.sdp import parse as parse_sdp
from gateway.siprec.effects import Changed, Effect, Ended, Established, Offered, SessionId
from gateway.siprec.session import RecordingServer

SAMPLES = Path(__file__).parent / "samples"
UDP = Flow("udp", ("192.0.2.20", 5060), ("192.0.2.10", 5060))
TCP = Flow("tcp", ("192.0.2.20", 33000), ("192.0.2.10", 5060), connection=3)
FIRST = SessionId(1)


def sample(name: str) -> bytes:
    """An INVITE as it stands on the wire."""
    text = (SAMPLES / f"{name}.txt").read_bytes().replace(b"\n", b"\r\n")
    head, _, body = text.partition(b"\r\n\r\n")
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


TWO_LEGS = sample("invite_two_legs")


def server(max_sessions: int = 3) -> RecordingServer:
    numbers = count()
    return RecordingServer(
        supported=lambda name, rate, channels, fmtp: (name, rate) in {("PCMA", 8000), ("PCMU", 8000)},
        token=lambda: f"token{next(numbers)}",
        max_message_bytes=65_535,
        max_sessions=max_sessions,
    )


def offered(effects: list[Effect]) -> Offered:
    (found,) = [effect for effect in effects if isinstance(effect, Offered)]
    return found


def sent(effects: list[Effect]) -> list[Request | Response]:
    return [parse(effect.data) for effect in effects if isinstance(effect, Send)]


def statuses(effects: list[Effect]) -> list[int]:
    return [message.status for message in sent(effects) if isinstance(message, Response)]


def within(method: str, cseq: int, body: bytes = b"", kind: str = "application/sdp") -> bytes:
    """A request of the dialog that the first sample made."""
    return (
        f"{method} sip:recorder@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK{method}{cseq}\r\n"
        f"From: <sip:client@192.0.2.20>;tag=9fxced76sl\r\nTo: <sip:recorder@192.0.2.10>;tag=token1\r\n"
        f"Call-ID: 3848276298220188511@192.0.2.20\r\nCSeq: {cseq} {method}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def established() -> RecordingServer:
    machine = server()
    machine.receive(TWO_LEGS, UDP, 0)
    machine.answer(FIRST, [40000, 40002], "192.0.2.10", 0)
    machine.receive(within("ACK", 1), UDP, 0)
    return machine


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_recording_session(flow: Flow) -> None:
    machine = server()
    effects = machine.receive(TWO_LEGS, flow, 0)
    assert statuses(effects) == [100]
    offer = offered(effects)
    assert [(s.label, s.direction, s.remote, s.acceptable) for s in offer.streams] == [
        ("96", "sendonly", ("192.0.2.20", 12240), True), ("97", "sendonly", ("192.0.2.20", 12242), True)
    ]  # fmt: skip
    assert [f.name for f in offer.streams[0].formats] == ["PCMA", "PCMU"]
    assert (offer.streams[0].events, offer.streams[0].ptime) == ((101,), 20)
    assert offer.metadata
    assert len(offer.metadata.participants) == 2
    assert "192.0.2" not in offer.call_id

    effects = machine.answer(offer.session, [40000, 40002], "192.0.2.10", 0.1)
    (ok,) = sent(effects)
    assert isinstance(ok, Response)
    assert ok.headers.get("Content-Type") == "application/sdp"
    assert (ok.headers.get("Contact") or "").endswith(">;+sip.srs")
    answer = parse_sdp(ok.body)
    assert [(m.port, m.label, m.direction) for m in answer.media] == [
        (40000, "96", "recvonly"),
        (40002, "97", "recvonly"),
    ]

    assert machine.receive(within("ACK", 1), flow, 0.2) == [Established(offer.session)]
    effects = machine.receive(within("BYE", 2), flow, 60)
    assert statuses(effects) == [200]
    assert effects[-1] == Ended(offer.session, "bye")
    assert machine.sessions() == 0


def test_metadata_first_with_video_and_a_third_part() -> None:
    machine = server()
    offer = offered(machine.receive(sample("invite_metadata_first"), UDP, 0))
    assert [(s.kind, s.label, s.acceptable) for s in offer.streams] == [
        ("audio", "16777227", True), ("audio", "16777228", True), ("video", "3", False)
    ]  # fmt: skip
    assert offer.metadata
    assert offer.notes == (
        "a part of application/gtd was not read",
        "the metadata has unescaped ampersands",
    )
    (ok,) = sent(machine.answer(offer.session, [40000, 40002, None], "192.0.2.10", 0))
    assert [m.port for m in parse_sdp(ok.body).media] == [40000, 40002, 0]


def test_invite_without_any_mark_of_siprec() -> None:
    offer = offered(server().receive(sample("invite_plain"), replace(TCP, peer=("192.0.2.40", 33000)), 0))
    assert offer.metadata is None
    assert [(s.label, s.direction) for s in offer.streams] == [(None, "sendrecv")]


def test_unreadable_metadata_costs_only_a_note() -> None:
    broken = TWO_LEGS.replace(b"</recording>", b"</recordinx>")
    offer = offered(server().receive(broken, UDP, 0))
    assert offer.metadata is None
    assert offer.notes == ("the metadata is not well-formed XML",)


@pytest.mark.parametrize(
    ("old", "new", "status", "kind"),
    [
        (b"boundary=foobar", b"boundary=barfoo", 400, "bad_body"),
        (b"v=0\r\no=SRC", b"x=0\r\no=SRC", 400, "bad_body"),
    ],
)
def test_offers_that_cannot_be_read(old: bytes, new: bytes, status: int, kind: str) -> None:
    machine = server()
    effects = machine.receive(TWO_LEGS.replace(old, new), UDP, 0)
    assert statuses(effects) == [100, status]
    assert Rejected(kind) in effects
    assert machine.sessions() == 0


def test_nothing_acceptable() -> None:
    machine = server()
    offer = offered(machine.receive(TWO_LEGS.replace(b"RTP/AVP", b"TCP/AVP"), UDP, 0))
    assert not any(stream.acceptable for stream in offer.streams)
    effects = machine.answer(offer.session, [None, None], "192.0.2.10", 0)
    assert statuses(effects) == [488]
    assert effects[-1] == Ended(offer.session, "no_acceptable_media")


def test_refusing() -> None:
    machine = server()
    machine.receive(TWO_LEGS, UDP, 0)
    effects = machine.refuse(FIRST, 503, "Disk full", 0, retry_after=30)
    (refusal,) = sent(effects)
    assert isinstance(refusal, Response)
    assert (refusal.status, refusal.reason, refusal.headers.get("Retry-After")) == (503, "Disk full", "30")
    assert effects[-1] == Ended(FIRST, "refused")
    assert machine.answer(FIRST, [1, 2], "192.0.2.10", 0) == []


def test_cancel() -> None:
    machine = server()
    machine.receive(TWO_LEGS, UDP, 0)
    cancel = TWO_LEGS.replace(b"INVITE", b"CANCEL")
    effects = machine.receive(cancel, UDP, 0)
    assert statuses(effects) == [200, 487]
    assert effects[-1] == Ended(FIRST, "cancel")


def test_ending() -> None:
    machine = established()
    ended, bye = machine.end(FIRST, 5, "media_timeout")
    assert ended == Ended(FIRST, "media_timeout")
    assert isinstance(bye, Send)
    assert machine.end(FIRST, 5, "again") == []


def test_no_ack() -> None:
    machine = server()
    machine.receive(TWO_LEGS, UDP, 0)
    machine.answer(FIRST, [40000, 40002], "192.0.2.10", 0)
    told: list[Effect] = []
    while (at := machine.next_timer()) is not None:
        told += machine.handle_timer(at)
    assert [effect for effect in told if not isinstance(effect, Send)] == [Ended(FIRST, "no_ack")]


def test_new_offer_is_answered_with_a_new_version() -> None:
    machine = established()
    moved = b"v=0\no=SRC 1 2 IN IP4 192.0.2.20\nc=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP 8\na=label:96\nm=audio 2 RTP/AVP 0\n"
    effects = machine.receive(within("INVITE", 2, moved), UDP, 10)
    (changed,) = [effect for effect in effects if isinstance(effect, Changed)]
    assert changed.awaiting
    assert changed.streams
    assert [s.direction for s in changed.streams] == ["inactive", "inactive"]
    assert changed.metadata
    (ok,) = sent(machine.answer(FIRST, [40000, 40002], "192.0.2.10", 10))
    assert b"o=- 1 2 IN" in ok.body
    assert ok.body.count(b"a=inactive") == 2
    assert machine.receive(within("ACK", 2), UDP, 10) == []
    machine.receive(within("UPDATE", 3, moved), UDP, 11)
    (again,) = sent(machine.answer(FIRST, [40000, 40002], "192.0.2.10", 11))
    assert again.body == ok.body


def test_metadata_alone_is_answered_at_once() -> None:
    machine = established()
    xml = b"<recording><datamode>partial</datamode><participant id='p3'/></recording>"
    effects = machine.receive(within("UPDATE", 2, xml, "application/rs-metadata+xml"), UDP, 10)
    (changed,) = [effect for effect in effects if isinstance(effect, Changed)]
    assert (changed.streams, changed.awaiting) == (None, False)
    assert changed.metadata
    assert [p.id for p in changed.metadata.participants][-1] == "p3"
    assert len(changed.metadata.participants) == 3
    (ok,) = sent(effects)
    assert ok.body == b""


def test_invite_without_offer_gets_what_holds() -> None:
    machine = established()
    effects = machine.receive(within("INVITE", 2), UDP, 10)
    assert statuses(effects) == [100, 200]
    assert b"m=audio 40000" in sent(effects)[1].body


def test_unreadable_change_leaves_the_session() -> None:
    machine = established()
    effects = machine.receive(within("UPDATE", 2, b"x"), UDP, 10)
    assert statuses(effects) == [400]
    machine.receive(within("INVITE", 3, b"v=0\nm=audio 1 RTP/AVP 8\n"), UDP, 10)
    assert statuses(machine.refuse(FIRST, 488, "No", 10)) == [488]
    assert machine.sessions() == 1


def test_cancelled_change_cannot_be_answered() -> None:
    machine = established()
    invite = within("INVITE", 2, b"v=0\nm=audio 1 RTP/AVP 8\n")
    machine.receive(invite, UDP, 10)
    assert statuses(machine.receive(within("CANCEL", 2).replace(b"bKCANCEL2", b"bKINVITE2"), UDP, 10)) == [
        200,
        487,
    ]
    assert machine.answer(FIRST, [40000], "192.0.2.10", 10) == []


def test_overload() -> None:
    machine = server(max_sessions=1)
    machine.receive(TWO_LEGS, UDP, 0)
    effects = machine.receive(sample("invite_plain"), UDP, 0)
    assert statuses(effects) == [100, 503]
    assert Rejected("overload") in effects
    assert machine.sessions() == 1


def test_lost_connection() -> None:
    machine = server()
    machine.receive(TWO_LEGS, TCP, 0)
    assert machine.connection_lost(TCP.connection, 1) == [Ended(FIRST, "connection_lost")]


def test_broken_stream_is_answered() -> None:
    framer = StreamFramer(65_535)
    with pytest.raises(BadMessage) as caught:
        framer.feed(TWO_LEGS.replace(b"Content-Length: ", b"Content-Length: 9"))
    effects = server().reject(caught.value, TCP)
    assert effects[0] == Rejected("too_large")
    assert statuses(effects) == [513]


@given(st.data())
def test_mutated_invites_never_raise(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TWO_LEGS)))
    noise = data.draw(st.binary(max_size=6))
    mutated = TWO_LEGS[:at] + noise + TWO_LEGS[at + data.draw(st.integers(0, 6)) :]
    machine = server()
    for effect in machine.receive(mutated, UDP, 0):
        if isinstance(effect, Offered):
            machine.answer(effect.session, [40000 + s.index for s in effect.streams], "192.0.2.10", 0)
    while (due := machine.next_timer()) is not None:
        machine.handle_timer(due)
    assert machine.sessions() == 0


def test_stream_without_media_is_closed_not_refused() -> None:
    machine = established()
    machine.receive(within("UPDATE", 2, b"v=0\nm=audio 0 RTP/AVP 8\nm=audio 0 RTP/AVP 8\n"), UDP, 10)
    assert statuses(machine.answer(FIRST, [None, None], "192.0.2.10", 10)) == [200]
    refused = machine.receive(within("UPDATE", 3, b"v=0\nm=audio 9 RTP/AVP 18\n"), UDP, 10)
    assert statuses(refused) == [488]
    assert machine.sessions() == 1


def test_session_from_single_bytes_of_a_stream() -> None:
    machine, framer = server(), StreamFramer(65_535)
    messages = [m for byte in TWO_LEGS + b"\r\n\r\n" for m in framer.feed(bytes([byte]))]
    assert messages == [TWO_LEGS]
    assert statuses(machine.receive(messages[0], TCP, 0)) == [100]


CALLS = st.sampled_from([b"z9hG4bK", b"z9hG4bKother", b"old"])
FLOWS = st.sampled_from([UDP, TCP, replace(TCP, connection=4)])
REQUESTS = st.builds(
    lambda method, cseq, tag, body: (
        within(method, cseq, body)
        .replace(b"token1", tag)
        .replace(b"branch=z9hG4bKCANCEL", b"branch=z9hG4bKINVITE")
    ),
    st.sampled_from(["INVITE", "ACK", "BYE", "CANCEL", "UPDATE", "OPTIONS"]),
    st.integers(1, 4),
    st.sampled_from([b"token1", b"token1", b"token2"]),
    st.sampled_from([b"", b"v=0\nm=audio 1 RTP/AVP 8\n"]),
)
INVITES = st.builds(
    lambda call: TWO_LEGS.replace(b"z9hG4bK", call).replace(b"Call-ID: ", b"Call-ID: " + call), CALLS
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), INVITES | REQUESTS, FLOWS),
        st.tuples(st.sampled_from(["answer", "refuse", "end", "lose", "wait"]), st.just(b""), FLOWS),
    ),
    max_size=25,
)


@given(STEPS)
def test_whatever_happens_every_offer_ends_once_and_nothing_is_left(
    steps: list[tuple[str, bytes, Flow]],
) -> None:
    machine, now, told = server(), 0.0, list[Effect]()
    for step, data, flow in steps:
        lines = {e.session: len(e.streams) for e in told if isinstance(e, Offered | Changed) and e.streams}
        match step:
            case "receive":
                told += machine.receive(data, flow, now)
            case "answer":
                told += [
                    e for s, n in lines.items() for e in machine.answer(s, [40000] * n, "192.0.2.10", now)
                ]
            case "refuse" | "end" if lines:
                last = max(lines)
                told += (
                    machine.refuse(last, 486, "", now) if step == "refuse" else machine.end(last, now, "over")
                )
            case "lose":
                told += machine.connection_lost(flow.connection or TCP.connection, now)
            case "wait":
                now += 3
                told += machine.handle_timer(now)
    for effect in [e for e in told if isinstance(e, Offered)]:
        told += machine.end(effect.session, now, "over")
    while (due := machine.next_timer()) is not None:
        told += machine.handle_timer(due)
    ended = [e.session for e in told if isinstance(e, Ended)]
    assert sorted(ended) == sorted(e.session for e in told if isinstance(e, Offered))
    agent = machine._agent
    assert (machine.sessions(), len(agent._layer), agent._dialogs, agent._numbers, agent._pending) == (
        0,
        0,
        {},
        {},
        {},
    )
