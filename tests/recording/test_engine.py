from __future__ import annotations

import struct
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from gateway.recording.engine import Engine, EngineSettings
from gateway.recording.leg import MAX_MASKS, LiveLeg
from gateway.recording.listening import INBAND, NO_TYPE
from gateway.recording.messages import (
    Command,
    Counted,
    Finished,
    MediaStopped,
    RecordingNow,
    Reformat,
    Refused,
    Status,
)
from gateway.recording.model import LegReport, Role
from gateway.redaction.digit import Digit
from gateway.redaction.rules import Rules
from gateway.rtp.packets import Ints
from gateway.rtp.tones import Tone
from tests.recording.simulation import (
    HOLD_BACK,
    MS,
    PLAN,
    SECOND,
    TICK,
    Datagram,
    Played,
    play,
    rtp,
    sent,
    speech,
)


def report(played: Played, role: Role) -> LegReport:
    (found,) = (leg for leg in played.finished.legs if leg.role == role)
    return found


def test_both_legs_come_back_bit_for_bit() -> None:
    caller, agent = speech(3, seed=1), speech(3, seed=2)
    played = play(sent(caller, 0) + sent(agent, 1, ssrc=0xA9E7))
    assert played.audio(Role.EXTERNAL) == caller
    assert played.audio(Role.AGENT) == agent
    assert report(played, Role.AGENT) == LegReport(Role.AGENT, "PCMA", packets=150, media_units=24000)
    assert played.finished.next_part == 2


@pytest.mark.parametrize("packet", [80, 160, 240, 320, 480])
def test_packet_lengths(packet: int) -> None:
    audio = speech(12)
    played = play(sent(audio, packet=packet))
    assert played.audio(Role.EXTERNAL) == audio
    assert max(len(payload) for _, payload in played.blocks(Role.EXTERNAL)) <= 800


def test_packets_that_change_their_length_in_mid_call() -> None:
    audio = speech(8)
    datagrams = sent(audio[:16000], packet=160)
    datagrams += sent(audio[16000:32000], start=2 * SECOND, sequence=1100, timestamp=5000 + 16000, packet=480)
    datagrams += sent(audio[32000:], start=4 * SECOND, sequence=1134, timestamp=5000 + 32000, packet=80)
    assert play(datagrams).audio(Role.EXTERNAL) == audio


def test_sequence_and_time_wrap() -> None:
    audio = speech(4)
    played = play(sent(audio, sequence=65500, timestamp=2**32 - 8000))
    assert played.audio(Role.EXTERNAL) == audio
    assert report(played, Role.EXTERNAL).lost == 0


def test_loss_reordering_and_duplicates_are_counted_exactly() -> None:
    random = Random(3)
    audio = speech(60)
    stream = sent(audio, sequence=64000, timestamp=2**32 - 100_000)
    lost = set(random.sample(range(1, len(stream) - 1), 900))
    arrived, copies = [], 0
    for number, datagram in enumerate(stream):
        if number in lost:
            continue
        for copy in range(1 + (random.random() < 0.05)):
            copies += copy
            late = random.randrange(200 * MS)
            arrived.append(Datagram(datagram.arrival + late, 0, datagram.data))
    played = play(arrived)
    leg = report(played, Role.EXTERNAL)
    assert (leg.packets, leg.lost, leg.late, leg.duplicated) == (len(stream) - 900, 900, 0, copies)
    placed = {
        (time + at) // 160: payload[at : at + 160]
        for time, payload in played.blocks(Role.EXTERNAL)
        for at in range(0, len(payload), 160)
    }
    (shift,) = {
        (time + at) % 160
        for time, payload in played.blocks(Role.EXTERNAL)
        for at in range(0, len(payload), 160)
    }
    assert shift / 8 < 20
    assert placed == {n: audio[n * 160 :][:160] for n in range(len(stream)) if n not in lost}


def test_a_new_source_goes_on_at_its_own_time() -> None:
    first, second = speech(2, 1), speech(2, 2)
    datagrams = sent(first, ssrc=1) + sent(second, start=3 * SECOND, ssrc=2, sequence=9, timestamp=77)
    played = play(datagrams)
    assert played.audio(Role.EXTERNAL) == first + second
    assert played.runs(Role.EXTERNAL) == [(0, 16000), (24000, 40000)]
    assert report(played, Role.EXTERNAL).lost == 0


def test_a_timestamp_jump_moves_nothing() -> None:
    audio = speech(4)
    datagrams = sent(audio[:16000]) + sent(
        audio[16000:], start=2 * SECOND, sequence=1100, timestamp=4_000_000_000
    )
    played = play(datagrams)
    assert played.audio(Role.EXTERNAL) == audio
    assert played.runs(Role.EXTERNAL) == [(0, 32000)]


def test_timestamps_that_stood_still_during_a_pause() -> None:
    audio = speech(4)
    datagrams = sent(audio[:16000]) + sent(
        audio[16000:], start=5 * SECOND, sequence=1100, timestamp=5000 + 16000
    )
    assert play(datagrams).runs(Role.EXTERNAL) == [(0, 16000), (40000, 56000)]


def test_an_outage_is_a_gap_on_the_clock() -> None:
    audio = speech(60)
    stream = sent(audio)
    played = play(stream[:500] + stream[2500:])
    leg = report(played, Role.EXTERNAL)
    assert (leg.packets, leg.lost) == (1000, 2000)
    assert played.runs(Role.EXTERNAL) == [(0, 500 * 160), (2500 * 160, 3000 * 160)]


def test_late_packets_are_counted_and_not_lost() -> None:
    stream = sent(speech(20))
    delayed = stream[100]
    played = play([*stream[:100], *stream[101:], Datagram(delayed.arrival + 7 * SECOND, 0, delayed.data)])
    leg = report(played, Role.EXTERNAL)
    assert (leg.packets, leg.lost, leg.late) == (999, 0, 1)


def test_legs_stay_together_through_an_hour_of_skew() -> None:
    hour, packet = bytes(8000 * 3600), 960
    played = play(
        sent(hour, 0, packet=packet, skew_ppm=100) + sent(hour, 1, packet=packet, ssrc=2, skew_ppm=-100),
        tick=SECOND,
    )
    for role, skew in ((Role.EXTERNAL, 100e-6), (Role.AGENT, -100e-6)):
        spoken = 0
        for time, payload in played.blocks(role):
            said_at = spoken * (1 - skew)  # by the true clock
            assert abs(time - said_at) < 10 * 8
            spoken += len(payload)
        assert spoken == len(hour)


def test_jitter_does_not_move_audio() -> None:
    random = Random(5)
    jittered = [Datagram(d.arrival + random.randrange(60 * MS), 0, d.data) for d in sent(speech(30))]
    assert len(play(jittered).runs(Role.EXTERNAL)) == 1


def event(sequence: int, timestamp: int, duration: int, end: bool) -> bytes:
    return rtp(sequence, timestamp, struct.pack(">BBH", 5, 0x80 * end | 10, duration), payload_type=101)


def test_telephone_events_are_never_stored_and_mask_what_is_beside_them() -> None:
    audio = speech(4)
    stream = sent(audio)
    start = 5000 + 100 * 160
    tone = [
        Datagram(2 * SECOND + n * 20 * MS, 0, event(1100 + n, start, 160 * (n + 1), n >= 4)) for n in range(7)
    ]
    rest = [
        Datagram(d.arrival, 0, rtp(1107 + n, start + n * 160, d.data[12:]))
        for n, d in enumerate(stream[100:])
    ]
    played = play(stream[:100] + tone + rest)
    (mask,) = played.finished.redactions
    guard = Rules().guard_ns * 8 // MS
    begins, ends = 16000 - guard, 16000 + 7 * 160 + guard
    assert (mask.start, mask.end, mask.legs, mask.cause) == (begins, ends, (Role.EXTERNAL,), "dtmf")
    kept = played.audio(Role.EXTERNAL)
    assert kept == audio[:begins] + audio[ends:]
    assert report(played, Role.EXTERNAL).lost == 0


def test_garbage_disturbs_nothing_and_is_counted() -> None:
    random = Random(11)
    audio = speech(10)
    rubbish = [
        Datagram(random.randrange(10 * SECOND), 0, random.randbytes(random.randrange(300)))
        for _ in range(2000)
    ]
    forged = [
        Datagram(
            random.randrange(10 * SECOND),
            0,
            rtp(random.randrange(65536), random.randrange(2**32), bytes(160), random.randrange(2**32)),
        )
        for _ in range(200)
    ]
    played = play(sent(audio) + rubbish + forged)
    assert played.audio(Role.EXTERNAL) == audio
    counted = sum(event.count for event in played.events if isinstance(event, Refused))
    assert counted == 2200


@pytest.mark.parametrize("closed", [3 * SECOND, 4 * SECOND])  # halfway between two reports, and at one
def test_what_was_counted_of_a_call_is_told_before_its_end(closed: int) -> None:
    rubbish = [Datagram(at, 0, b"no media") for at in range(0, closed + HOLD_BACK - 5 * TICK, TICK)]
    played = play(sent(speech(2)) + rubbish, closed=closed)
    told = [event for event in played.events if isinstance(event, Refused | Finished)]
    assert isinstance(told[-1], Finished)
    assert sum(event.count for event in told if isinstance(event, Refused)) == len(rubbish)


def test_nothing_is_committed_before_the_hold_back() -> None:
    stream = sent(speech(9))
    played = play(stream, closed=9 * SECOND)
    sizes = [len(write.data) for write in played.writes]
    assert sum(sizes) > 72000
    early = [event for event in played.events if isinstance(event, Counted)][:5]
    assert [event.counts[-1] for event in early] == [0] * 5


def test_media_is_awaited_anew_after_a_hold() -> None:
    engine = Engine(EngineSettings(8, HOLD_BACK, 60 * SECOND, TICK), Random(7).randbytes)

    def stopped(at: int, *commands: Command) -> bool:
        """Whether the engine says within a second after `at` (s) that media stopped."""
        start = PLAN.started_ns + at * SECOND
        ticks = [engine.tick(start + n * TICK, None, commands if n == 0 else ()) for n in range(10)]
        return any(isinstance(event, MediaStopped) for _, events in ticks for event in events)

    assert not stopped(0, replace(PLAN, held=True))
    assert not stopped(300)
    assert not stopped(301, Reformat(PLAN.call_id, PLAN.legs, held=False))
    assert not stopped(350)
    assert stopped(362)


def test_keys_in_the_last_audio_are_acted_on_before_the_call_is_finished() -> None:
    def hear_at_the_end(_: int, engine: Engine) -> None:
        def look(legs: Ints, now: int, final: bool = False) -> list[Tone]:
            keys = (Digit.STAR, Digit.SEVEN) if final else ()
            return [Tone(1, 0, 5000, 800, NO_TYPE, key, INBAND) for key in keys]

        engine._listening.look = look  # type: ignore[method-assign]

    played = play(sent(speech(1), 0) + sent(speech(1, seed=2), 1, ssrc=0xA9E7), before=hear_at_the_end)
    told = [event for event in played.events if isinstance(event, Status | Finished)]
    status, finished = told[-2:]
    assert isinstance(status, Status)
    assert status.state is RecordingNow.PAUSED
    assert isinstance(finished, Finished)


def test_of_a_flood_of_tones_all_are_masked_and_few_are_kept_apart() -> None:
    heard: list[LiveLeg] = []
    starts = range(0, 1600 * (MAX_MASKS + 200), 1600)

    def flood(_: int, engine: Engine) -> None:
        def look(legs: Ints, now: int, final: bool = False) -> list[Tone]:
            heard[:] = heard or [leg for call in engine._calls.values() for leg in call.legs[:1]]
            return [Tone(0, 1000, start, 80, NO_TYPE, None, INBAND) for start in starts if final]

        engine._listening.look = look  # type: ignore[method-assign]

    play(sent(speech(1)), before=flood)
    (leg,) = heard
    assert len(leg.mask.spans) == MAX_MASKS
    places = np.array(starts)
    assert not len(leg.mask.outside(places, places + 80)[0])
