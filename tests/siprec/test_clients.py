"""What every client is known to send, from its bytes to the parties' roles and what it is answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from gateway.recording.model import Direction, Role
from gateway.sip.effects import Flow, Send
from gateway.sip.message import Response, parse
from gateway.sip.sdp import parse as parse_sdp
from gateway.siprec.effects import Changed, Effect, Offered, SessionId
from gateway.siprec.parties import Parties
from gateway.siprec.roles import Assignment, assign
from gateway.siprec.session import RecordingServer

SAMPLES = Path(__file__).parent / "samples" / "clients"
FLOW = Flow("tcp", ("198.51.100.20", 5060), ("192.0.2.10", 5060), connection=1)
EXTENSIONS = [re.compile(r"\d{2,6}")]
E, A = Role.EXTERNAL, Role.AGENT
CODECS = {("PCMA", 8000), ("PCMU", 8000), ("G722", 8000), ("OPUS", 48000)}


def sample(name: str, tag: str = "") -> bytes:
    """A request as it stands on the wire."""
    text = (SAMPLES / f"{name}.txt").read_bytes().replace(b"\n", b"\r\n").replace(b"TAG", tag.encode())
    head, _, body = text.partition(b"\r\n\r\n")
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


class Recorder:
    """The pure machine with one session, driven as the gateway does."""

    def __init__(self) -> None:
        numbers = count()
        self.machine = RecordingServer(
            supported=lambda name, rate, *_: (name, rate) in CODECS,
            token=lambda: f"token{next(numbers)}",
            max_message_bytes=65_535,
            max_sessions=9,
        )
        self.tag = ""

    def invite(self, name: str) -> tuple[Offered, Response]:
        effects = self.machine.receive(sample(name), FLOW, 0)
        (offered,) = [effect for effect in effects if isinstance(effect, Offered)]
        return offered, self.answer(offered.session, len(offered.streams))

    def change(self, name: str) -> tuple[Changed, Response]:
        effects = self.machine.receive(sample(name, self.tag), FLOW, 1)
        (changed,) = [effect for effect in effects if isinstance(effect, Changed)]
        if changed.awaiting:
            assert changed.streams is not None
            return changed, self.answer(changed.session, len(changed.streams))
        return changed, response(effects)

    def answer(self, session: SessionId, lines: int) -> Response:
        ports = [40_000 + 2 * line for line in range(lines)]
        answered = response(self.machine.answer(session, ports, "192.0.2.10", 0))
        self.tag = (answered.headers.get("To") or "").rpartition("tag=")[2]
        cseq = answered.cseq
        if cseq.method == "INVITE":
            self.ack(answered)
        return answered

    def ack(self, answered: Response, body: bytes = b"") -> list[Effect]:
        get = answered.headers.get
        head = (
            f"ACK sip:srs@192.0.2.10 SIP/2.0\r\nVia: SIP/2.0/TCP 198.51.100.20;branch=z9hG4bKack{answered.cseq.number}\r\n"
            f"From: {get('From')}\r\nTo: {get('To')}\r\nCall-ID: {get('Call-ID')}\r\nCSeq: {answered.cseq.number} ACK\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return self.machine.receive(head.encode() + body, FLOW, 0)


def response(effects: list[Effect]) -> Response:
    found = [parse(effect.data) for effect in effects if isinstance(effect, Send)][-1]
    assert isinstance(found, Response)
    assert found.status == 200
    return found


def assigned(told: Offered | Changed, labels: list[str | None]) -> Assignment:
    return assign(told.metadata, labels, EXTENSIONS, "first")


def people(found: Assignment) -> list[tuple[Role, str | None, str | None]]:
    return [
        (p.role, p.number.reveal() if p.number else None, p.name.reveal() if p.name else None)
        for p in found.participants
    ]


@dataclass(frozen=True)
class Expected:
    labels: list[str | None]
    roles: dict[int, Role]
    direction: Direction
    people: list[tuple[Role, str | None, str | None]]
    notes: tuple[str, ...] = ()
    answered: str = "recvonly"


IN, OUT, UNKNOWN = Direction.INBOUND, Direction.OUTBOUND, Direction.UNKNOWN
TABLE = {
    "oracle": Expected(
        ["16777227", "16777228"], {0: E, 1: A}, IN, [(E, "+14155550142", "Orla Byrne"), (A, "2107", "2107")]
    ),
    "avaya": Expected(
        ["10", "20"],
        {0: A, 1: E},
        OUT,
        [(E, None, "Unknown"), (A, "3301", None)],
        ("a stream has no id", "a participant has the recorder's own address"),
    ),
    "broadworks": Expected(
        ["1", "2"],
        {0: E, 1: A},
        IN,
        [(E, "+12405550133", None), (A, "2405550199", "Smith & Sons")],
        ("no participant has a known extension: the caller is taken for the external party",),
    ),
    "webex": Expected(
        ["1", "2"],
        {0: E, 1: A},
        IN,
        [(E, "+19195550100", "Jo & Co"), (A, "5012", None)],
        ("the metadata has unescaped ampersands",),
    ),
    "metaswitch": Expected(
        ["1"],
        {0: E},
        IN,
        [(E, "+13035550170", None), (A, "7001", None)],
        ("the only stream is nobody's in particular: it is stored as the external party's",),
    ),
    "cube": Expected(
        ["1", "2"],
        {0: E, 1: A},
        IN,
        [(E, "+918025550101", None), (A, "6120", None)],
        (
            "a part of application/gtd was not read",
            "the metadata does not say who sends which stream: the order of participants is taken",
        ),
        "inactive",
    ),
    "cube_network": Expected(
        [None, None], {0: E, 1: A}, OUT, [(E, "+14085550123", None), (A, "4410", None)]
    ),
    "cucm_near": Expected(
        ["1"], {0: A}, UNKNOWN, [(E, "+16175550186", None), (A, "4002", "Lee Agent")]
    ),
    "cucm_far": Expected(
        ["1"], {0: E}, UNKNOWN, [(E, "+16175550186", None), (A, "4002", "Lee Agent")]
    ),
    "audiocodes": Expected(
        ["1", "2"], {0: A, 1: E}, OUT, [(E, "+97239550177", None), (A, "8811", None)], (), "inactive"
    ),
    "sonus": Expected(
        ["1", "2"], {0: E, 1: A}, IN, [(E, "+19785550144", None), (A, "2244", "Kim")]
    ),
    "opensips": Expected(
        ["0", "1"], {0: A, 1: E}, OUT, [(E, "0035315550120", None), (A, "1044", "Ali")]
    ),
    "netsapiens_1": Expected(
        ["1", "2"], {0: E, 1: A}, IN, [(E, "+18585550155", None), (A, "301", "Pat")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_roles_names_and_the_answer(name: str) -> None:
    offered, answered = Recorder().invite(name)
    expected = TABLE[name]
    labels = [stream.label for stream in offered.streams]
    found = assigned(offered, labels)
    assert labels == expected.labels
    assert people(found) == expected.people
    assert (found.roles, found.direction) == (expected.roles, expected.direction)
    assert {*offered.notes, *found.notes} == {*expected.notes}
    assert answered.headers.get("Content-Type") == "application/sdp"
    lines = parse_sdp(answered.body).media
    assert [line.label for line in lines] == expected.labels
    assert [line.port for line in lines] == [40_000 + 2 * place for place in range(len(lines))]
    assert {line.direction for line in lines} == {expected.answered}


def test_a_dummy_first_and_the_real_party_by_update() -> None:
    recorder = Recorder()
    offered, _ = recorder.invite("avaya")
    first = assigned(offered, ["10", "20"])
    parties = Parties(first, [first.roles[0], first.roles[1]])
    changed, answered = recorder.change("avaya_update")
    assert (changed.streams, answered.body) == (None, b"")
    transfer = parties.update(assigned(changed, ["10", "20"]))
    assert (transfer, parties.swapped) == (False, True)
    assert [parties.role(leg) for leg in parties.legs] == [E, A]
    assert [(p.role, p.number.reveal() if p.number else None) for p in parties.participants] == [
        (E, "+442079460111"),
        (A, "3301"),
    ]


@pytest.mark.parametrize(
    ("first", "then"), [("broadworks", "broadworks_pause"), ("audiocodes", "audiocodes_active")]
)
def test_pauses_by_plain_descriptions(first: str, then: str) -> None:
    recorder = Recorder()
    offered, _ = recorder.invite(first)
    paused = first == "audiocodes"
    assert [stream.paused for stream in offered.streams] == [paused, paused]
    changed, answered = recorder.change(then)
    assert changed.streams
    assert [stream.paused for stream in changed.streams] == [not paused, not paused]
    assert changed.metadata == offered.metadata
    assert {str(line.direction) for line in parse_sdp(answered.body).media} == {
        "recvonly" if paused else "inactive"
    }


def test_pause_and_resume() -> None:
    recorder = Recorder()
    recorder.invite("broadworks")
    recorder.change("broadworks_pause")
    changed, answered = recorder.change("broadworks_resume")
    assert changed.streams
    assert not any(stream.paused for stream in changed.streams)
    assert {str(line.direction) for line in parse_sdp(answered.body).media} == {"recvonly"}


def test_another_codec_in_mid_call() -> None:
    recorder = Recorder()
    offered, _ = recorder.invite("webex")
    assert [f.name for f in offered.streams[0].formats] == ["OPUS", "PCMU", "PCMA"]
    changed, _ = recorder.change("webex_reinvite")
    assert changed.streams
    assert [f.name for f in changed.streams[0].formats] == ["G722", "PCMU"]


def test_a_port_that_moves() -> None:
    recorder = Recorder()
    recorder.invite("metaswitch")
    changed, _ = recorder.change("metaswitch_moved")
    assert changed.streams
    assert changed.streams[0].remote == ("198.51.100.25", 31444)


def test_associations_that_come_later_and_a_transfer_in_the_dialog() -> None:
    recorder = Recorder()
    offered, _ = recorder.invite("cube")
    first = assigned(offered, ["1", "2"])
    parties = Parties(first, [first.roles[0], first.roles[1]])
    changed, _ = recorder.change("cube_active")
    assert not parties.update(assigned(changed, ["1", "2"]))
    changed, _ = recorder.change("cube_transfer")
    assert parties.update(assigned(changed, ["1", "2"]))
    assert not parties.swapped
    assert [(p.role, p.number.reveal()) for p in parties.participants if p.number] == [
        (E, "+918025550101"),
        (A, "6133"),
    ]


def test_a_built_in_bridge_is_a_pair_and_its_offer_is_ours() -> None:
    recorder = Recorder()
    near, answered = recorder.invite("cucm_near")
    far, _ = recorder.invite("cucm_far")
    assert near.pair
    assert far.pair
    assert near.pair.key == far.pair.key
    assert (near.pair.near, far.pair.near) == (True, False)
    (line,) = parse_sdp(answered.body).media
    assert [f.name for f in line.formats] == ["PCMA", "PCMU", "G722", "OPUS", "TELEPHONE-EVENT"]
    assert b"opus/48000/2" in answered.body


def test_the_answer_to_our_offer_comes_with_the_ack() -> None:
    recorder = Recorder()
    machine = recorder.machine
    effects = machine.receive(sample("cucm_near"), FLOW, 0)
    (offered,) = [effect for effect in effects if isinstance(effect, Offered)]
    answered = response(machine.answer(offered.session, [40_000], "192.0.2.10", 0))
    answer = b"v=0\r\no=- 1 1 IN IP4 198.51.100.27\r\ns=-\r\nc=IN IP4 198.51.100.60\r\nt=0 0\r\nm=audio 24000 RTP/AVP 0 101\r\na=sendonly\r\n"
    effects = recorder.ack(answered, answer)
    (changed,) = [effect for effect in effects if isinstance(effect, Changed)]
    assert changed.streams
    (stream,) = changed.streams
    assert (stream.remote, [f.name for f in stream.formats], stream.label, stream.events) == (
        ("198.51.100.60", 24000),
        ["PCMU"],
        "1",
        (101,),
    )
    assert not changed.awaiting
    assert recorder.ack(answered, answer) == []


def test_an_ack_without_answer_is_noted() -> None:
    recorder = Recorder()
    machine = recorder.machine
    (offered,) = [e for e in machine.receive(sample("cucm_far"), FLOW, 0) if isinstance(e, Offered)]
    answered = response(machine.answer(offered.session, [40_000], "192.0.2.10", 0))
    for body, note in ((b"", "the ACK brought no answer to the gateway's offer"),):
        (changed,) = [e for e in recorder.ack(answered, body) if isinstance(e, Changed)]
        assert changed.notes == (note,)
        assert changed.streams is None


def test_an_invite_without_offer_ends_a_hold() -> None:
    recorder = Recorder()
    recorder.invite("broadworks")
    recorder.change("broadworks_pause")
    bare = sample("broadworks_resume", recorder.tag).partition(b"\r\n\r\n")[0]
    bare = (
        re.sub(rb"Content-(Type|Length):[^\r]*\r?\n?", b"", bare).strip() + b"\r\nContent-Length: 0\r\n\r\n"
    )
    effects = recorder.machine.receive(bare, FLOW, 2)
    lines = parse_sdp(response(effects).body).media
    assert {str(line.direction) for line in lines} == {"recvonly"}
    assert [line.label for line in lines] == ["1", "2"]


def test_groups_are_told_by_two_sessions() -> None:
    recorder = Recorder()
    groups = {recorder.invite(f"netsapiens_{n}")[0].metadata.group_id for n in (1, 2)}  # type: ignore[union-attr]
    assert groups == {"2026031509-1144"}
