"""Keys that come beside the audio under an SSRC of their own are heard where nobody can send a leg anything, and there alone."""

from __future__ import annotations

import struct

import pytest

from gateway.codecs.registry import by_name
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import Tone
from tests.recording.simulation import HOLD_BACK, MS, SECOND, Datagram, batch, rtp

TALKER, KEYS = 0xCA11, 0x0E05_384E
STEP = 20 * MS


class Leg:
    """A leg on which somebody talks all the time, a batch for each packet."""

    def __init__(self, heard: bool = True) -> None:
        self.table = LegTable(2, HOLD_BACK + 2 * SECOND)
        self.number = self.table.open({8: by_name("PCMA", 8000)}, frozenset({101}), aside=heard)
        self.step = self.keyed = 0
        self.tones: list[Tone] = []
        self.talk(50)

    def talk(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            self.take(rtp(self.step, 160 * self.step, bytes(160), TALKER, 8))

    def press(self, code: int, timestamp: int, steps: int = 5, ssrc: int = KEYS) -> None:
        for ticks in (*range(1, steps), steps, steps, steps):
            self.keyed += 1
            event = struct.pack(">BBH", code, 0x80 * (ticks == steps) | 10, 160 * ticks)
            self.take(rtp(self.keyed, timestamp, event, ssrc, 101))
            self.talk(1)

    def take(self, data: bytes) -> None:
        tones, _ = self.table.receive(batch([Datagram(self.step * STEP, 0, data)], [self.number], 0))
        self.tones += tones

    @property
    def digits(self) -> list[int]:
        return [int(tone.digit) for tone in self.tones if tone.digit is not None]


def test_a_press_is_told_once_and_where_it_sounds() -> None:
    leg = Leg()
    leg.press(1, 3_000_000_000)
    leg.talk(25)
    leg.press(2, 3_000_000_000 + 32 * 160)
    assert leg.digits == [1, 2]
    starts = sorted({tone.start for tone in leg.tones})
    # In the time of the audio, whose first packet is at 0: what was said when the first packet came.
    assert starts == [pytest.approx(50 * 160, abs=320), pytest.approx(82 * 160, abs=320)]
    assert max(tone.ticks for tone in leg.tones) == 800


def test_the_audio_goes_on_under_its_own_ssrc() -> None:
    leg = Leg()
    leg.press(1, 77)
    assert leg.table.ssrc[leg.number] == TALKER
    assert leg.table.packets[leg.number] == leg.step


def test_timestamps_that_mean_nothing_are_told_by_when_they_come() -> None:
    leg = Leg()
    leg.press(3, 9)
    leg.talk(100)
    leg.press(3, 10)  # by its timestamp in the middle of the press before
    assert leg.digits == [3, 3]


def test_one_packet_alone_is_no_press() -> None:
    leg = Leg()
    leg.take(rtp(5, 0, struct.pack(">BBH", 1, 0x8A, 800), KEYS, 101))
    assert leg.tones == []


def test_a_leg_with_a_socket_hears_none() -> None:
    """Anybody can send datagrams there; a key may end a recording."""
    leg = Leg(heard=False)
    leg.press(1, 0)
    assert leg.tones == []
