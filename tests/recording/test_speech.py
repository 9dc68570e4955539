"""Talk, silence and overtalk of constructed audio, and of the speech that ships with the demonstration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import webrtcvad
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.g711 import A_LAW
from gateway.demo import speech as dialogues
from gateway.recording.model import Role, Speech
from gateway.recording.speech import FRAME_MS, HANGOVER_MS, Detector, Frames, SpeechMeter

RATE = 8000
FRAME = RATE * FRAME_MS // 1000
TALK, NOISE, NOTHING = 1000, 1, 0


def loud(frame: bytes) -> bool:
    return int(np.frombuffer(frame, np.int16).max()) == TALK


def leg(*stretches: tuple[int, int]) -> Frames:
    """Stretches of (level, milliseconds)."""
    return np.concatenate([np.full(ms * RATE // 1000, level, np.int16) for level, ms in stretches])


def measured(*legs: Frames, detector: Detector = loud) -> list[tuple[int, int, int]]:
    """Talk, silence and overtalk of each leg, ms."""
    meter = SpeechMeter(dict.fromkeys(list(Role)[: len(legs)], detector), RATE)
    meter.take(np.stack(legs, axis=1))
    return [(found.talk_ms, found.silence_ms, found.overtalk_ms) for found in meter.result()]


def test_talk_and_silence_are_the_whole_call() -> None:
    assert measured(leg((NOISE, 1000), (TALK, 600), (NOTHING, 400))) == [(600, 1400, 0)]


def test_talk_lasts_through_the_hangover() -> None:
    assert measured(leg((TALK, 100), (NOISE, 900))) == [(100 + HANGOVER_MS, 900 - HANGOVER_MS, 0)]
    assert measured(leg((TALK, 100), (NOISE, HANGOVER_MS), (TALK, 100))) == [(200 + HANGOVER_MS, 0, 0)]


def test_redacted_and_missing_audio_is_silence_at_once() -> None:
    assert measured(leg((TALK, 100), (NOTHING, 500), (NOISE, 400))) == [(100, 900, 0)]
    assert measured(leg((NOTHING, 500)), detector=lambda frame: True) == [(0, 500, 0)]


def test_overtalk_is_when_both_talk() -> None:
    first = leg((TALK, 600), (NOTHING, 400))
    second = leg((NOTHING, 400), (TALK, 500), (NOTHING, 100))
    assert measured(first, second) == [(600, 400, 200), (500, 500, 200)]


def test_a_call_of_nothing() -> None:
    assert measured(leg((NOTHING, 0)), leg((NOTHING, 0))) == [(0, 0, 0), (0, 0, 0)]


def test_an_unfinished_frame_is_no_longer_than_it_is() -> None:
    assert measured(leg((TALK, 30)), leg((TALK, 30))) == [(30, 0, 30), (30, 0, 30)]


@given(st.lists(st.integers(0, 3 * FRAME), max_size=12), st.lists(st.booleans(), min_size=30, max_size=30))
def test_pieces_of_any_length_give_the_same(cuts: Sequence[int], spoken: Sequence[bool]) -> None:
    samples = np.repeat(np.where(spoken, TALK, NOISE).astype(np.int16), FRAME)[:, None]
    meter = SpeechMeter({Role.AGENT: loud}, RATE)
    at = 0
    for length in cuts:
        meter.take(samples[at : at + length])
        at += length
    meter.take(samples[at:])
    whole = SpeechMeter({Role.AGENT: loud}, RATE)
    whole.take(samples)
    assert meter.result() == whole.result()


def webrtc() -> Detector:
    detector = webrtcvad.Vad(2)
    return lambda frame: bool(detector.is_speech(frame, RATE))


@pytest.mark.parametrize("dialogue", dialogues.DIALOGUES)
def test_a_dialogue_is_heard_as_its_loudness_tells(dialogue: str) -> None:
    """Made speech without noise: what is louder than a whisper within a quarter of a second is talk."""
    legs = [A_LAW.decode(dialogues.load(dialogue, role, "PCMA")) for role in ("external", "agent")]
    length = min(map(len, legs))
    for pcm, (talk, silence, _) in zip(legs, both := measured_speech(legs, length), strict=True):
        blocks = np.abs(pcm[: length // 160 * 160].astype(np.int32)).reshape(-1, 160).max(axis=1) > 200
        loudness = int(np.convolve(blocks, np.ones(10), "same").astype(bool).sum()) * 20
        assert talk == pytest.approx(loudness, rel=0.25)
        assert talk + silence == length * 1000 // RATE
    (one, _, over), (other, _, again) = both
    assert over == again <= min(one, other)


def measured_speech(legs: Sequence[Frames], length: int) -> list[tuple[int, int, int]]:
    meter = SpeechMeter({Role.EXTERNAL: webrtc(), Role.AGENT: webrtc()}, RATE)
    meter.take(np.stack([pcm[:length] for pcm in legs], axis=1))
    return [(found.talk_ms, found.silence_ms, found.overtalk_ms) for found in meter.result()]


def test_line_noise_and_silence_are_not_talk() -> None:
    noise = np.random.default_rng(1).normal(0, 100, 10 * RATE).astype(np.int16)
    meter = SpeechMeter({Role.EXTERNAL: webrtc(), Role.AGENT: webrtc()}, RATE)
    meter.take(np.stack((noise, np.full(10 * RATE, 8, np.int16)), axis=1))
    hiss, idle = meter.result()
    assert hiss.talk_ms < 1000
    assert idle == Speech(Role.AGENT, 0, 10_000, 0)
