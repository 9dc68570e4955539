from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gateway.codecs.concealment import CONTEXT_MS, bridge, cross_fade

RATE = 8000
NOTHING = np.zeros(0, np.int16)

Samples = npt.NDArray[np.int16]


def samples(longest: int) -> st.SearchStrategy[Samples]:
    return arrays.arrays(np.int16, st.integers(0, longest))


def loudest(*stretches: Samples) -> int:
    return max((int(np.abs(stretch.astype(int)).max()) for stretch in stretches if stretch.size), default=0)


@given(samples(400), samples(400), st.integers(1, 480))
def test_a_bridge_is_never_louder_than_its_banks(before: Samples, after: Samples, length: int) -> None:
    bridged = bridge(before, after, length, RATE)
    assert bridged.size == length
    assert loudest(bridged) <= loudest(before, after)


def test_between_nothing_there_is_silence() -> None:
    assert bridge(NOTHING, NOTHING, 80, RATE).tolist() == [0] * 80


def test_one_bank_alone_fades_to_nothing() -> None:
    tone = (8000 * np.sin(2 * np.pi * 200 * np.arange(CONTEXT_MS * 8) / RATE)).astype(np.int16)
    bridged = bridge(tone, NOTHING, 480, RATE)
    tenths = [loudest(bridged[at : at + 48]) for at in range(0, 480, 48)]
    assert tenths == sorted(tenths, reverse=True)
    assert tenths[0] > 7000
    assert tenths[-1] < 300


def test_a_tone_is_carried_across() -> None:
    tone = (8000 * np.sin(2 * np.pi * 125 * np.arange(1000) / RATE)).astype(np.int16)
    bridged = bridge(tone[:400], tone[480:], 80, RATE)
    assert np.abs(bridged.astype(int) - tone[400:480]).max() < 200


@given(samples(80))
def test_equal_stretches_are_kept_exactly(stretch: Samples) -> None:
    assert cross_fade(stretch, stretch).tolist() == stretch.tolist()
