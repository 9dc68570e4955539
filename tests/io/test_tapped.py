"""What becomes of overheard calls, between their signalling and a worker that only listens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.io import taking_up
from gateway.io.tap_messages import AudioAlone, Unfollowed
from gateway.recording.messages import Close, Command, MediaFlow, Open, Pause, Press, Reformat, Resume, Split
from gateway.recording.model import CallFacts, CallState, Direction, Personal, Role
from gateway.redaction.digit import Digit
from gateway.rtp.suites import MasterKey
from gateway.sip.sdp import Format
from gateway.tap.effects import (
    Answered,
    End,
    KeyPressed,
    MediaAgreed,
    Over,
    PartiesChanged,
    Party,
    Seen,
    Side,
    TapEffect,
    TappedId,
    TappedStream,
)
from tests.io.test_calls import Bench, run, settled

CALL = TappedId(1)
CALLER, CALLEE = ("192.0.2.1", 4000), ("192.0.2.2", 5000)
PCMA = Format(8, "PCMA", 8000)


def party(number: str) -> Party:
    return Party(Personal(number), Personal(f"sip:{number}@h"))


def seen(call: TappedId = CALL) -> Seen:
    return Seen(call, 1000, "abc", party("+15550001"), party("201"), (CALLER, CALLEE))


def stream(
    side: Side, paused: bool = False, secret: bool = False, formats: Sequence[Format] = (PCMA,)
) -> TappedStream:
    source, to = (CALLER, CALLEE) if side is Side.CALLER else (CALLEE, CALLER)
    return TappedStream(side, to, source, tuple(formats), paused=paused, secret=secret)


def agreed(*streams: TappedStream, call: TappedId = CALL, at_ns: int = 2000) -> MediaAgreed:
    return MediaAgreed(call, at_ns, streams or (stream(Side.CALLER), stream(Side.CALLEE)))


def over(how: End = End.BYE, answered: bool = True, status: int = 0, call: TappedId = CALL) -> Over:
    return Over(call, 9000, how, answered, status)


def heard(folder: Path, *effects: TapEffect) -> Bench:
    async def play(bench: Bench) -> None:
        for effect in effects:
            bench.calls.tapped._act(0, [effect])
            await settled()

    return run(folder, play)


def only(bench: Bench) -> CallFacts:
    (facts,) = bench.store.facts.values()
    return facts


def of_kind(told: Sequence[Command], *kinds: type[Command]) -> list[Command]:
    return [command for command in told if isinstance(command, kinds)]


def test_a_call_is_opened_with_where_its_audio_goes_and_comes_from(tmp_path: Path) -> None:
    bench = heard(tmp_path, seen(), agreed(), Answered(CALL, 3000), over())
    opened, closed = bench.told
    assert isinstance(opened, Open)
    assert [(leg.role, leg.flow) for leg in opened.legs] == [
        (Role.EXTERNAL, MediaFlow(0, *CALLEE, *CALLER)),
        (Role.AGENT, MediaFlow(0, *CALLER, *CALLEE)),
    ]
    assert opened.started_ns == 1000
    assert isinstance(closed, Close)
    assert closed.at_ns == 9000
    assert only(bench).direction is Direction.INBOUND


def test_a_call_that_ends_while_it_is_set_up_is_closed(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.calls.tapped._act(0, [seen(), agreed(), over()])

    assert [type(command) for command in run(tmp_path, play).told] == [Open, Close]


def test_hold_pauses_whose_audio_is_not_meant_and_ends(tmp_path: Path) -> None:
    held = agreed(stream(Side.CALLER), stream(Side.CALLEE, paused=True), at_ns=3000)
    told = heard(tmp_path, seen(), agreed(), held, agreed(at_ns=4000)).told
    turns = of_kind(told, Pause, Resume)
    assert [(type(each), each.legs, each.at_ns) for each in turns if isinstance(each, Pause | Resume)] == [
        (Pause, (Role.AGENT,), 3000),
        (Resume, (Role.AGENT,), 4000),
    ]


def test_audio_that_moves_is_followed(tmp_path: Path) -> None:
    moved = TappedStream(Side.CALLEE, ("192.0.2.9", 7000), CALLEE, (PCMA,))
    told = heard(tmp_path, seen(), agreed(), agreed(stream(Side.CALLER), moved)).told
    (reformatted,) = of_kind(told, Reformat)
    assert isinstance(reformatted, Reformat)
    assert reformatted.legs[1].flow == MediaFlow(0, "192.0.2.9", 7000, *CALLEE)


def test_a_transfer_opens_a_segment_for_who_takes_over(tmp_path: Path) -> None:
    handed = PartiesChanged(CALL, 5000, party("+15550001"), party("202"), transfer=True)
    bench = heard(tmp_path, seen(), agreed(), handed)
    (split,) = of_kind(bench.told, Split)
    assert isinstance(split, Split)
    assert split.at_ns == 5000
    people = {(each.number and each.number.reveal(), each.segments) for each in only(bench).participants}
    assert people == {("+15550001", (1, 2)), ("201", (1,)), ("202", (2,))}


def test_somebody_who_is_better_known_is_no_transfer(tmp_path: Path) -> None:
    known = PartiesChanged(CALL, 5000, party("+15550001"), party("205"))
    bench = heard(tmp_path, seen(), agreed(), known)
    assert not of_kind(bench.told, Split)
    assert {each.number and each.number.reveal() for each in only(bench).participants} == {"+15550001", "205"}


def test_keys_are_whose_side_told_of_them(tmp_path: Path) -> None:
    told = heard(tmp_path, seen(), agreed(), KeyPressed(CALL, 5000, Side.CALLEE, Digit.FIVE, 100)).told
    (pressed,) = of_kind(told, Press)
    assert isinstance(pressed, Press)
    assert (pressed.role, pressed.digit, pressed.lasts_ns) == (Role.AGENT, Digit.FIVE, 100_000_000)


@pytest.mark.parametrize(
    ("effects", "reason"),
    [
        ((over(End.REFUSED, False, 486),), "the call was refused with 486"),
        ((over(End.CANCELLED, False),), "the caller hung up before the call was answered"),
        ((over(End.LOST, False),), "nothing more was heard of the call before it was answered"),
        ((over(),), "the signalling told of no audio"),
        (
            (agreed(stream(Side.CALLER, secret=True), stream(Side.CALLEE, secret=True)), over()),
            "the audio is SRTP whose keys the signalling does not tell",
        ),
        ((agreed(stream(Side.CALLER, formats=())), over()), "no codec that can be recorded was agreed"),
    ],
)
def test_what_is_not_recorded_is_explained(
    tmp_path: Path, effects: tuple[TapEffect, ...], reason: str
) -> None:
    bench = heard(tmp_path, seen(), *effects)
    assert not bench.told
    facts = only(bench)
    assert (facts.state, facts.reason) == (CallState.NOT_RECORDED, reason)
    assert facts.ended_ns is not None
    assert facts.ended_ns - facts.started_ns == pytest.approx(8000, abs=1e8)
    assert {each.number and each.number.reveal() for each in facts.participants} == {"+15550001", "201"}


def test_beyond_what_may_run_at_once_calls_are_explained(tmp_path: Path) -> None:
    calls = [TappedId(number) for number in range(3)]
    bench = heard(
        tmp_path,
        *(effect for call in calls for effect in (seen(call), agreed(call=call))),
        *(over(call=call) for call in calls),
    )
    assert len(of_kind(bench.told, Open)) == 2
    (refused,) = [each for each in bench.store.facts.values() if each.state is CallState.NOT_RECORDED]
    assert refused.reason == "as many calls as configured were running already"


def test_of_a_call_with_one_secret_side_the_other_is_recorded(tmp_path: Path) -> None:
    bench = heard(tmp_path, seen(), agreed(stream(Side.CALLER), stream(Side.CALLEE, secret=True)))
    (opened,) = of_kind(bench.told, Open)
    assert isinstance(opened, Open)
    assert [leg.role for leg in opened.legs] == [Role.EXTERNAL]
    (live,) = bench.calls._running
    assert "the audio is SRTP whose keys the signalling does not tell" in live.call._problems


def test_keys_of_descriptions_are_told_to_the_worker(tmp_path: Path) -> None:
    key = MasterKey("AES_CM_128_HMAC_SHA1_80", bytes(30))
    keyed = TappedStream(Side.CALLER, CALLEE, CALLER, (PCMA,), keys=(key,))
    (opened,) = of_kind(heard(tmp_path, seen(), agreed(keyed)).told, Open)
    assert isinstance(opened, Open)
    assert [each.secret for each in opened.legs[0].keys] == [bytes(30).hex()]


def test_audio_of_a_call_that_is_explained_is_not_told_of_once_more(tmp_path: Path) -> None:
    secret = TappedStream(Side.CALLER, CALLEE, CALLER, (PCMA,), secret=True)

    async def play(bench: Bench) -> None:
        bench.calls.tapped._act(0, [seen(), agreed(secret)])
        await settled()
        bench.calls.tapped.hear(AudioAlone(0, 1000, 2000, *CALLER, *CALLEE))

    assert run(tmp_path, play).store.facts == {}


def test_audio_without_signalling_is_explained_and_by_tls_where_that_was_seen(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        bench.calls.tapped.hear(AudioAlone(0, 1000, 2000, "192.0.2.1", 4000, "192.0.2.2", 4002))
        bench.calls.tapped.hear(Unfollowed(0, "sip_tls", 0, 1))
        bench.calls.tapped.hear(AudioAlone(0, 3000, 4000, "192.0.2.1", 4000, "192.0.2.2", 4002))

    facts = sorted(run(tmp_path, play).store.facts.values(), key=lambda each: each.started_ns)
    assert [each.reason for each in facts] == [
        "audio went both ways of which no signalling was seen",
        "audio went both ways whose signalling was not seen, or was SIP over TLS, which cannot be read",
    ]


def test_a_flood_of_calls_that_nobody_answers_fills_no_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_up, "MAX_EXPLAINED", 3)

    async def play(bench: Bench) -> None:
        for number in range(10):
            call = TappedId(number)
            bench.calls.tapped._act(0, [seen(call), over(End.LOST, False, call=call)])

    assert len(run(tmp_path, play).store.facts) == 3


def test_a_gateway_that_stops_ends_and_explains_all(tmp_path: Path) -> None:
    async def play(bench: Bench) -> None:
        other = TappedId(2)
        bench.calls.tapped._act(0, [seen(), agreed(), seen(other)])
        await settled()
        bench.calls.tapped.stop()

    bench = run(tmp_path, play)
    assert len(of_kind(bench.told, Close)) == 1
    assert {each.reason for each in bench.store.facts.values()} >= {"the gateway was stopped"}
