"""A notice is recognised whatever the network did to it, and nothing else is taken for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.recording import notice as matcher
from gateway.recording.notice import HOP, RATE, NoticeError, Reference, Spectrum
from tests.recording import noticed
from tests.recording.noticed import Pcm, heard, music, silence

NEAR = RATE // 20  # 50 ms: a codec's own delay, and a frame


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference("welcome", noticed.notice())


@pytest.fixture(scope="module")
def talk() -> Pcm:
    return np.concatenate(noticed.others())


def all_at_once(samples: Pcm) -> Pcm:
    talked_over = noticed.mixed(noticed.skewed(samples, 100), np.concatenate(noticed.others()), -10)
    return noticed.lossy(noticed.gsm(noticed.louder(talked_over, -15)), 0.05, 3)


CONDITIONS: dict[str, Callable[[Pcm], Pcm]] = {
    "as it is": lambda samples: samples,
    "PCMA": noticed.a_law,
    "PCMU": noticed.mu_law,
    "G722": noticed.g722,
    "GSM": noticed.gsm,
    "Opus 24 kbit/s": noticed.opus(24_000),
    "Opus 8 kbit/s": noticed.opus(8_000),
    "AMR 12.2": noticed.amr(12_200),
    "AMR 4.75": noticed.amr(4_750),
    "AMR 4.75 after GSM": lambda samples: noticed.amr(4_750)(noticed.gsm(samples)),
    **{
        f"{level:+} dB": noticed.through(partial(noticed.louder, decibels=level), noticed.a_law)
        for level in (-20, -10, 6)
    },
    "5 % loss": lambda samples: noticed.lossy(noticed.a_law(samples), 0.05, 1),
    "5 % loss in gaps of 100 ms": lambda samples: noticed.lossy(noticed.a_law(samples), 0.05, 5),
    "10 % loss in gaps of 60 ms": lambda samples: noticed.lossy(noticed.gsm(samples), 0.10, 3),
    "talked over at -6 dB": lambda samples: noticed.mixed(samples, np.concatenate(noticed.others()), -6),
    "noise at -10 dB": lambda samples: noticed.noise(samples, -10),
    "clock 500 ppm slow": lambda samples: noticed.skewed(samples, 500),
    "clock 500 ppm fast": lambda samples: noticed.skewed(samples, -500),
    "clock 5,000 ppm slow": lambda samples: noticed.skewed(samples, 5_000),
    "-36 dB": noticed.through(partial(noticed.louder, decibels=-36), noticed.a_law),
    "20 % loss in gaps of 80 ms": lambda samples: noticed.lossy(noticed.a_law(samples), 0.20, 4),
    "all at once": all_at_once,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_notice_is_heard_whole(reference: Reference, talk: Pcm, condition: str) -> None:
    for before in (music(3.33), talk[: RATE * 5 + 77]):
        call = np.concatenate((before, noticed.notice(), silence(0.2), talk))
        found = heard(reference, CONDITIONS[condition](call))
        assert found
        assert found.share >= 0.9
        assert abs(found.start - len(before)) < NEAR
        assert found.first < 0.1
        assert found.last > 0.9


@pytest.mark.parametrize("ppm", [-5_000, 0, 5_000])
def test_a_long_notice_is_heard_whole_at_another_pace(ppm: float) -> None:
    """At its ends a notice of 40 s is a tenth of a second off then."""
    spoken = np.resize(np.concatenate(noticed.others()), 40 * RATE)
    before = noticed.music(7.0)
    call = noticed.skewed(np.concatenate((before, spoken, silence(2))), ppm)
    found = heard(Reference("long", spoken), noticed.a_law(call))
    assert found is not None
    assert found.share > 0.98
    assert abs(found.start - len(before) * (1 + ppm * 1e-6)) < NEAR


def test_no_other_words_are_taken_for_it() -> None:
    """Those by the same voice neither; each in turn is the notice, all the others are the call."""
    everything = [noticed.notice(), *noticed.others()]
    for at, samples in enumerate(everything):
        rest = noticed.a_law(np.concatenate(everything[:at] + everything[at + 1 :]))
        found = heard(Reference("other", samples), rest)
        assert found is None or found.share < 0.4


@pytest.mark.parametrize(
    "sound",
    [
        silence(30),
        music(30),
        np.random.default_rng(1).normal(0, 1000, 30 * RATE).astype(np.int16),
        np.full(30 * RATE, 32_767, np.int16),
        (8000 * np.sin(np.arange(30 * RATE) * 2 * np.pi * 425 / RATE)).astype(np.int16),
        silence(0),
        silence(0.5),
        np.full(1, -32_768, np.int16),
    ],
    ids=["silence", "music", "noise", "full scale", "tone", "nothing", "a moment", "a sample"],
)
def test_what_is_no_speech_is_no_notice(reference: Reference, sound: Pcm) -> None:
    found = heard(reference, sound)
    assert found is None or found.share < 0.4


@pytest.mark.parametrize("after", ["silence", "talk"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.62, 0.75])
def test_a_notice_cut_off_is_heard_so_far(reference: Reference, talk: Pcm, share: float, after: str) -> None:
    stop = int(share * len(noticed.notice()))
    rest = silence(10) if after == "silence" else talk[: 10 * RATE]
    found = heard(reference, noticed.gsm(np.concatenate((music(4), noticed.notice()[:stop], rest))))
    assert found
    sounding = np.count_nonzero(reference.sounding[: stop // HOP]) / np.count_nonzero(reference.sounding)
    assert found.share == pytest.approx(sounding, abs=0.08)
    assert found.first == 0
    assert found.last <= share + 0.08


def test_a_notice_that_began_before_the_audio(reference: Reference, talk: Pcm) -> None:
    gone = 3 * RATE
    found = heard(reference, np.concatenate((noticed.notice()[gone:], talk)))
    assert found
    assert abs(found.start + gone) < NEAR
    assert found.first > 0.2
    assert found.last == 1


def test_the_same_words_in_another_order_are_not_the_notice(reference: Reference) -> None:
    middle = len(noticed.notice()) // 2
    found = heard(reference, np.concatenate((noticed.notice()[middle:], noticed.notice()[:middle])))
    assert found
    assert found.share < 0.75


def test_words_put_into_the_middle_are_not_the_notice(reference: Reference, talk: Pcm) -> None:
    middle = len(noticed.notice()) // 2
    pieces = noticed.notice()[:middle], talk[: RATE // 2], noticed.notice()[middle:]
    found = heard(reference, np.concatenate(pieces))
    assert found
    assert found.share < 0.75


def test_of_two_the_whole_one_counts(reference: Reference) -> None:
    first = noticed.notice()[: len(noticed.notice()) // 2]
    found = heard(reference, np.concatenate((first, silence(1), noticed.notice())))
    assert found
    assert found.share > 0.95
    assert abs(found.start - len(first) - RATE) < NEAR


def test_what_begins_too_late_does_not_count(reference: Reference) -> None:
    call = np.concatenate((music(20), noticed.notice()))
    assert heard(reference, call, within=21)
    late = heard(reference, call, within=15)
    assert late is None or late.share < 0.4


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3 * RATE), max_size=12))
def test_audio_may_come_in_pieces_of_any_length(sizes: list[int]) -> None:
    samples = noticed.notice()

    def pieces() -> Iterator[Pcm]:
        at = 0
        for size in sizes:
            yield samples[at : at + size]
            at += size
        yield samples[at:]

    whole, parts = Spectrum(), Spectrum()
    whole.take(samples)
    for piece in pieces():
        parts.take(piece)
    assert np.array_equal(whole.result().features, parts.result().features)
    assert np.array_equal(whole.result().known, parts.result().known)


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 20), st.floats(-20, 6))
def test_it_may_begin_anywhere_and_be_of_any_level(before: float, level: float) -> None:
    found = heard(
        Reference("welcome", noticed.notice()),
        noticed.a_law(noticed.louder(np.concatenate((silence(before), noticed.notice(), silence(3))), level)),
    )
    assert found
    assert found.share >= 0.9
    assert abs(found.start - int(before * RATE)) < NEAR


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (noticed.notice()[: 2 * RATE - 8], "it lasts 2.0 s, expected are 2 to 60 s"),
        (np.resize(noticed.notice(), 61 * RATE), "it lasts 61.0 s, expected are 2 to 60 s"),
        (silence(5), "it is silent but for moments"),
        (np.concatenate((noticed.notice()[:4000], silence(10))), "it is silent but for moments"),
    ],
)
def test_what_cannot_be_recognised_is_refused(samples: Pcm, why: str) -> None:
    with pytest.raises(NoticeError, match=why):
        Reference("welcome", samples)


def test_the_longest_notice_is_searched_for_in_the_longest_start(talk: Pcm) -> None:
    """No more memory and time than a process at the lowest priority may take."""
    longest = np.resize(np.concatenate((noticed.notice(), talk)), int(matcher.LONGEST_SECONDS) * RATE)
    reference = Reference("long", longest)
    found = heard(reference, np.concatenate((np.resize(music(30), 300 * RATE), longest)), within=300)
    assert found
    assert found.share > 0.95
