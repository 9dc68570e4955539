"""What is written of a call, when, and what ends it."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.messages import (
    Close,
    Command,
    Event,
    Finished,
    MediaStopped,
    Open,
    Reformat,
    Refused,
    Write,
)
from gateway.recording.model import Role
from gateway.rtp.packets import PacketBatch
from gateway.storage import container
from gateway.storage.sealing import open_sealed
from tests.recording.simulation import (
    HOLD_BACK,
    KEY,
    MS,
    PCMA,
    PCMU,
    PLAN,
    SECOND,
    TICK,
    Datagram,
    batch,
    play,
    rtp,
    sent,
    speech,
)

OTHER = replace(
    PLAN,
    call_id=PLAN.call_id[:-1] + "7",
    recording_id=PLAN.recording_id[:-1] + "8",
    started_ns=PLAN.started_ns,
)
TIMEOUT = 10 * SECOND


class Desk:
    """An engine whose ticks are given one by one; times are ns after the calls' start."""

    def __init__(self, legs: int = 8) -> None:
        self.engine = Engine(EngineSettings(legs, HOLD_BACK, TIMEOUT, TICK), Random(7).randbytes)
        self.now = 0
        self.writes: list[Write] = []
        self.events: list[Event] = []

    def run(
        self, until: int, came: Iterable[Datagram] = (), commands: Sequence[Command] = (), call: Open = PLAN
    ) -> None:
        self._tick(None, commands)
        queue = sorted(came)
        while self.now < until:
            self.now += TICK
            due = [d for d in queue if d.arrival <= self.now]
            queue = queue[len(due) :]
            self._tick(batch(due, self.engine.legs(call.call_id), PLAN.started_ns) if due else None)

    def _tick(self, arrived: PacketBatch | None, commands: Sequence[Command] = ()) -> None:
        writes, events = self.engine.tick(PLAN.started_ns + self.now, arrived, commands)
        self.writes += writes
        self.events += events

    def told(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def authentic(writes: Iterable[Write], plan: Open = PLAN) -> dict[Role, dict[int, bytes]]:
    """Blocks by role and time in what segments of the parts are whole, as after a crash."""
    parts: dict[int, bytes] = defaultdict(bytes)
    for write in writes:
        if write.recording_id == plan.recording_id:
            parts[write.part] += write.data
    found: dict[Role, dict[int, bytes]] = {Role.EXTERNAL: {}, Role.AGENT: {}}
    for data in parts.values():
        plain = b"".join(open_sealed(io.BytesIO(data), KEY, plan.recording_id.encode(), torn=True))
        reader = container.read([plain])
        roles = {track.number: track.role for track in reader.tracks}
        for block in reader.blocks():
            found[roles[block.track]][block.time] = block.payload
    return found


@settings(max_examples=20)
@given(
    st.sampled_from([1, 3, 40, 250]),
    st.lists(st.integers(13, 60).map(lambda halves: halves * SECOND // 2), min_size=1, max_size=3),
    st.booleans(),
)
def test_audio_is_written_after_the_hold_back_and_sealed_within_two_seconds(
    every: int, moments: list[int], with_agent: bool
) -> None:
    stream = list(enumerate(sent(speech(30), start=700 * MS)))
    came = [(number, datagram) for number, datagram in stream if number % every in (0, 1)]
    queue = [d for _, d in came] + ([replace(d, leg=1) for _, d in came] if with_agent else [])
    desk = Desk()
    desk.run(TICK, commands=[PLAN])
    for moment in sorted(moments):
        desk.run(moment, [d for d in queue if desk.now < d.arrival <= moment])
        held = authentic(desk.writes)[Role.EXTERNAL]
        octets = {time + n: octet for time, payload in held.items() for n, octet in enumerate(payload)}
        for number, datagram in came:
            place = 5600 + number * 160
            if datagram.arrival < moment - HOLD_BACK - 2 * SECOND:
                assert bytes(octets.get(place + n, -1) for n in range(160)) == datagram.data[12:]
            elif datagram.arrival > moment - HOLD_BACK:
                assert place not in octets


def test_nothing_is_written_before_the_hold_back() -> None:
    desk = Desk()
    desk.run(HOLD_BACK, sent(speech(6)), [PLAN])
    assert not desk.writes


def test_silence_is_told_of_once_unless_held() -> None:
    desk = Desk()
    desk.run(TIMEOUT + 2 * SECOND, sent(speech(1)), [PLAN])
    assert desk.told(MediaStopped) == [MediaStopped(PLAN.call_id)]
    held = Desk()
    held.run(2 * SECOND, sent(speech(1)), [PLAN])
    held.run(60 * SECOND, commands=[Reformat(PLAN.call_id, PLAN.legs, held=True)])
    assert not held.told(MediaStopped)
    held.run(60 * SECOND + TIMEOUT, commands=[Reformat(PLAN.call_id, PLAN.legs)])
    assert not held.told(MediaStopped)
    held.run(62 * SECOND + TIMEOUT)
    assert held.told(MediaStopped) == [MediaStopped(PLAN.call_id)]


def test_a_call_without_media_is_told_of() -> None:
    desk = Desk()
    desk.run(TIMEOUT + SECOND, commands=[PLAN])
    assert desk.told(MediaStopped)


def test_a_call_closed_at_once_waits_for_nothing() -> None:
    desk = Desk()
    stream = sent(speech(3))
    desk.run(3 * SECOND, stream, [PLAN])
    desk.run(3 * SECOND + 600 * MS, commands=[Close(PLAN.call_id, PLAN.started_ns + desk.now, at_once=True)])
    assert len(desk.told(Finished)) == 1
    assert b"".join(authentic(desk.writes)[Role.EXTERNAL].values()) == speech(3)
    assert desk.writes[-1].last


def test_what_comes_long_after_the_end_is_not_kept() -> None:
    played = play(sent(speech(10)), closed=4 * SECOND)
    assert played.runs(Role.EXTERNAL) == [(0, 5 * 8000)]


def test_a_call_that_never_heard_anything_leaves_no_part() -> None:
    played = play([], closed=2 * SECOND)
    assert not played.writes
    assert played.finished.next_part == PLAN.part


@pytest.mark.parametrize("part", [1, 2, 7])
def test_parts_are_numbered_on(part: int) -> None:
    played = play(sent(speech(2), start=3 * SECOND), plan=replace(PLAN, part=part))
    assert sorted(played.parts) == [part]
    assert played.finished.next_part == part + 1
    assert played.runs(Role.EXTERNAL) == [(24000, 40000)]


def test_a_codec_not_declared_begins_a_new_part() -> None:
    alone = replace(PLAN, legs=tuple(replace(leg, formats=(PCMA,)) for leg in PLAN.legs))
    wider = tuple(replace(leg, formats=(PCMU,)) for leg in PLAN.legs)
    first, second = speech(2, 1), speech(2, 2)
    desk = Desk()
    desk.run(9 * SECOND, sent(first), [alone])
    later = sent(second, start=9 * SECOND + 1, sequence=1100, timestamp=77000, payload_type=0)
    desk.run(12 * SECOND, later, [Reformat(PLAN.call_id, wider)])
    desk.run(18 * SECOND, commands=[Close(PLAN.call_id, PLAN.started_ns + 12 * SECOND)])
    assert [(write.part, write.last) for write in desk.writes if write.last] == [(1, True), (2, True)]
    held = authentic(desk.writes)[Role.EXTERNAL]
    assert b"".join(held[time] for time in sorted(held)) == first + second
    assert min(time for time in held if time >= 16000) == 72000
    (finished,) = desk.told(Finished)
    assert isinstance(finished, Finished)
    assert finished.legs[0].codec == "PCMU"
    assert finished.next_part == 3


def test_a_leg_that_starts_late_is_where_it_was_spoken() -> None:
    played = play(sent(speech(30), 0) + sent(speech(5, 2), 1, start=20 * SECOND, ssrc=2))
    assert played.runs(Role.AGENT) == [(160_000, 200_000)]


def test_comfort_noise_and_gaps_between_are_no_loss() -> None:
    stream = sent(speech(2))
    noise = [
        Datagram(2 * SECOND + n * SECOND, 0, rtp(1100 + n, 21000 + n * 8000, b"\x40", payload_type=13))
        for n in range(3)
    ]
    after = sent(speech(1, 2), start=5 * SECOND, sequence=1103, timestamp=21000 + 24000)
    played = play(stream + noise + after)
    assert played.runs(Role.EXTERNAL) == [(0, 16000), (40000, 48000)]
    assert (played.finished.legs[0].packets, played.finished.legs[0].lost) == (153, 0)


def test_calls_one_after_the_other_on_the_same_legs_never_mix() -> None:
    desk = Desk(legs=2)
    first = sent(b"\x11" * 8000 * 3) + sent(b"\x22" * 8000 * 3, 1, ssrc=2)
    desk.run(3 * SECOND, first, [PLAN])
    desk.run(9 * SECOND, commands=[Close(PLAN.call_id, PLAN.started_ns + desk.now)])
    assert desk.told(Finished)
    again = sent(b"\x33" * 8000 * 2, start=10 * SECOND, ssrc=3) + sent(
        b"\x44" * 8000 * 2, 1, start=10 * SECOND, ssrc=4
    )
    desk.run(9 * SECOND + TICK, commands=[OTHER])
    desk.run(12 * SECOND, again, call=OTHER)
    desk.run(18 * SECOND, commands=[Close(OTHER.call_id, PLAN.started_ns + desk.now)])
    one, two = authentic(desk.writes), authentic(desk.writes, OTHER)
    for held, role, octet, length in (
        (one, Role.EXTERNAL, 0x11, 24000), (one, Role.AGENT, 0x22, 24000),
        (two, Role.EXTERNAL, 0x33, 16000), (two, Role.AGENT, 0x44, 16000),
    ):  # fmt: skip
        assert b"".join(held[role].values()) == bytes([octet]) * length


def test_calls_at_once_never_mix() -> None:
    desk = Desk()
    desk.run(TICK, commands=[PLAN, OTHER])
    for number in range(1, 40):
        until = TICK + number * TICK
        for call, octet in ((PLAN, 1), (OTHER, 2)):
            data = [
                Datagram(until, 0, rtp(number * 5 + n, (number * 5 + n) * 160, bytes([octet]) * 160))
                for n in range(5)
            ]
            desk.engine.receive(batch(data, desk.engine.legs(call.call_id), PLAN.started_ns))
        desk.run(until)
    desk.run(10 * SECOND)
    desk.writes += desk.engine.abandon()
    for call, octet in ((PLAN, 1), (OTHER, 2)):
        assert set(b"".join(authentic(desk.writes, call)[Role.EXTERNAL].values())) == {octet}


def test_giving_up_ends_each_part_once() -> None:
    desk = Desk()
    desk.run(8 * SECOND, sent(speech(8)), [PLAN, OTHER])
    ends = [write for write in desk.engine.abandon() if write.last]
    assert [write.recording_id for write in ends] == [PLAN.recording_id]


def test_commands_for_a_call_that_is_gone_are_passed_over() -> None:
    desk = Desk()
    desk.run(TICK, commands=[Close(PLAN.call_id, 1), Reformat(PLAN.call_id, PLAN.legs)])
    desk.run(
        8 * SECOND,
        commands=[
            PLAN,
            Close(PLAN.call_id, PLAN.started_ns + TICK),
            Close(PLAN.call_id, PLAN.started_ns + TICK),
        ],
    )
    assert len(desk.told(Finished)) == 1


def test_strays_are_told_of_when_the_call_ends() -> None:
    desk = Desk()
    lone = [Datagram(TICK, 0, rtp(n * 1000, 0, bytes(160), ssrc=n)) for n in range(1, 6)]
    desk.run(SECOND, lone, [PLAN])
    desk.run(9 * SECOND, commands=[Close(PLAN.call_id, PLAN.started_ns + desk.now)])
    assert sum(event.count for event in desk.told(Refused) if isinstance(event, Refused)) == 5


packets = st.tuples(
    st.integers(0, 20 * SECOND),
    st.sampled_from([0, 1]),
    st.one_of(
        st.binary(max_size=40),
        st.builds(
            rtp, st.integers(0, 70), st.integers(0, 2**32 - 1), st.binary(max_size=20),
            st.sampled_from([1, 1, 2]), st.sampled_from([8, 8, 0, 13, 101, 96]),
        ),
    ),
).map(lambda made: Datagram(*made))  # fmt: skip


@settings(max_examples=60)
@given(st.lists(packets, min_size=1, max_size=60))
def test_nothing_that_comes_ends_the_worker(came: list[Datagram]) -> None:
    played = play(came, tick=500 * MS)
    assert played.finished
    for role in Role:
        played.blocks(role)
