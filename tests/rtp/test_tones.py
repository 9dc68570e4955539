"""Which keys telephone-events tell of, each once, however they come."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.registry import by_name
from gateway.redaction.digit import Digit
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import MAX_PRESSES, Tone
from tests.recording.simulation import HOLD_BACK, MS, SECOND, Datagram, batch, rtp

EVENTS = frozenset({101, 96})
Report = tuple[int, bool, int]  # code, end, duration


def event(*reports: Report) -> bytes:
    return b"".join(struct.pack(">BBH", code, 0x80 * end | 10, ticks) for code, end, ticks in reports)


class Leg:
    """A leg whose stream has begun with a second of audio."""

    def __init__(self) -> None:
        self.table = LegTable(2, HOLD_BACK + 2 * SECOND)
        self.number = self.table.open({8: by_name("PCMA", 8000)}, EVENTS)
        self.sequence = 0
        self.tones: list[Tone] = []
        self.take(*(self.audio(160 * place) for place in range(50)))

    def packet(self, timestamp: int, payload: bytes, payload_type: int = 101, ssrc: int = 0xCA11) -> bytes:
        self.sequence += 1
        return rtp(self.sequence, timestamp, payload, ssrc, payload_type)

    def audio(self, timestamp: int, ssrc: int = 0xCA11) -> bytes:
        return self.packet(timestamp, bytes(160), 8, ssrc)

    def take(self, *packets: bytes) -> list[Tone]:
        """One batch."""
        at = self.sequence * 20 * MS
        tones, _ = self.table.receive(batch([Datagram(at, 0, data) for data in packets], [self.number], 0))
        self.tones += tones
        return tones

    @property
    def digits(self) -> list[int]:
        return [int(tone.digit) for tone in self.tones if tone.digit is not None]

    def press(self, code: int, start: int, steps: int = 5, payload_type: int = 101) -> list[bytes]:
        """The packets of a press: one each 20 ms, the last three times."""
        told = [(code, False, 160 * step) for step in range(1, steps)] + [(code, True, 160 * steps)] * 3
        return [self.packet(start, event(report), payload_type) for report in told]


@given(
    st.lists(st.tuples(st.integers(0, 16), st.integers(3, 20), st.integers(1, 9)), min_size=1, max_size=8),
    st.integers(),
    st.sampled_from([0.0, 0.2, 0.6]),
)
def test_each_press_is_told_once_whatever_is_lost_late_or_double(
    keyed: list[tuple[int, int, int]], seed: int, loss: float
) -> None:
    leg, random, start = Leg(), Random(seed), 8000
    came: list[tuple[float, bytes]] = []
    expected = []
    for code, rest, steps in keyed:
        packets = leg.press(code, start, steps, random.choice((101, 96)))
        kept = [packet for packet in packets if random.random() >= loss]
        expected += [code] if kept and code < 16 else []
        came += [(start / 160 + place + random.uniform(0, 3), packet) for place, packet in enumerate(kept)]
        came += [(start / 160 + random.uniform(0, 9), packet) for packet in kept if random.random() < 0.2]
        start += 160 * (steps + rest)
        came.append((start / 160, leg.audio(start)))
    came.sort(key=lambda pair: pair[0])
    size = random.choice((1, 3, 50))
    for at in range(0, len(came), size):
        leg.take(*(packet for _, packet in came[at : at + size]))
    assert sorted(leg.digits) == sorted(expected)
    if loss == 0:
        spans = [(tone.start, tone.start + tone.ticks) for tone in leg.tones]
        place = 8000
        for _, rest, steps in keyed:
            assert (place, place + 160 * steps) in spans
            place += 160 * (steps + rest)


def test_a_flash_is_no_key_and_masked() -> None:
    leg = Leg()
    (tone,) = leg.take(*leg.press(16, 8000))
    assert (tone.digit, tone.start, tone.ticks, tone.way) == (None, 8000, 800, "rfc4733")


def test_events_that_share_a_packet_follow_each_other() -> None:
    leg = Leg()
    leg.take(leg.packet(8000, event((1, True, 400))))
    leg.take(leg.packet(8000, event((1, True, 400), (1, True, 320), (2, False, 160))))
    leg.take(leg.packet(8400, event((1, True, 320), (2, True, 480))))
    leg.take(leg.packet(8720, event((2, True, 480))))
    assert leg.digits == [1, 1, 2]
    assert max(tone.start + tone.ticks for tone in leg.tones) == 8720 + 480
    assert min(tone.start for tone in leg.tones) == 8000


@pytest.mark.parametrize("lost", [(), (1,), (2,), (1, 2)])
def test_a_long_event_is_one_press_in_segments(lost: tuple[int, ...]) -> None:
    leg = Leg()
    packets = [
        leg.packet(8000, event((5, False, 0xF000))),
        leg.packet(8000, event((5, False, 0xFFFF))),
        leg.packet(8000 + 0xFFFF, event((5, False, 800))),
        leg.packet(8000 + 0xFFFF, event((5, True, 1600))),
        leg.packet(8000 + 0xFFFF + 2400, event((5, True, 800))),
    ]
    for place, packet in enumerate(packets):
        if place not in lost:
            leg.take(packet)
    assert leg.digits == [5, 5]
    assert max(tone.start + tone.ticks for tone in leg.tones) == 8000 + 0xFFFF + 3200


def test_a_long_event_told_by_a_slower_clock_than_its_timestamps() -> None:
    leg = Leg()
    for start, ticks, end in ((8000, 0xFFFF, False), (8000 + 6 * 0xFFFF, 800, True)):
        leg.take(leg.packet(start, event((5, end, ticks))))
    assert leg.digits == [5]


def test_a_sender_that_moves_the_timestamp_on_with_each_packet() -> None:
    leg = Leg()
    for step in range(6):
        leg.take(leg.packet(8000 + 160 * step, event((7, step == 5, 160 * (step + 1)))))
    leg.take(*leg.press(7, 12000))
    assert leg.digits == [7, 7]


def test_the_same_key_again_whose_first_end_was_lost() -> None:
    leg = Leg()
    leg.take(*leg.press(7, 8000)[:2])
    leg.take(*leg.press(7, 9600)[-1:])
    assert leg.digits == [7, 7]


def test_another_stream_tells_of_other_presses() -> None:
    leg = Leg()
    leg.take(*leg.press(7, 8000))
    for place in range(60):
        leg.take(leg.audio(160 * place, ssrc=2))
    leg.take(leg.packet(8000, event((7, True, 400)), ssrc=2))
    assert leg.digits == [7, 7]


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\x05\x80\x01", b"\x05\x80\x00\x00\x07"])
def test_payloads_too_short_tell_of_nothing_more(payload: bytes) -> None:
    leg = Leg()
    leg.take(leg.packet(8000, payload))
    assert leg.digits == [5] * (len(payload) >= 4)


def test_a_flood_of_events_becomes_one_tone() -> None:
    leg, spans = Leg(), set()
    for second in range(12):
        for tick in range(10):
            packets = [
                leg.packet(8000 * second + 800 * tick + place, event(*[(place % 16, True, 1)] * 4))
                for place in range(100)
            ]
            tones = leg.take(*packets)
            spans |= {tone.start for tone in tones}
            leg.table.committed[leg.number] = leg.table.highest[leg.number]  # as a leg that commits at once
    assert len(spans) <= MAX_PRESSES + 1
    assert len(tones) == 1
    assert tones[0].digit is None
    assert tones[0].start + tones[0].ticks >= 8000 * 11 + 7200 + 99
    assert len(leg.digits) <= MAX_PRESSES


def test_a_tone_prints_no_digit() -> None:
    assert "REDACTED" in repr(Tone(0, 1, 2, 3, 101, Digit.NINE))
    assert "NINE" not in repr(Tone(0, 1, 2, 3, 101, Digit.NINE))
