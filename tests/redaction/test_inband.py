"""Keys in the audio: found under all that telephones and networks do to them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.inband import BASE, DIGITS, GUARD, Point, Spandsp, Wave, a_law, listen, masked, multimon, tones
from gateway.codecs.g711 import A_LAW
from gateway.demo.speech import DIALOGUES, load
from gateway.redaction.inband import Found, Listener
from gateway.redaction.inband_echo import echoes
from gateway.redaction.inband_exact import HIGH, LOW, RATE
from gateway.redaction.inband_runs import Gap

WORST = Point(level=-36, twist=8, low=1.5, high=-1.5, length=40, noise=15)
POINTS = [
    replace(BASE, length=40),
    replace(BASE, length=40, twist=8, low=1.5, high=1.5),
    replace(BASE, length=40, twist=-4, low=-1.5, high=-1.5),
    replace(BASE, length=40, noise=15),
    replace(BASE, length=40, level=-36),
    WORST,
    replace(WORST, twist=-4, low=-1.5, high=1.5),
    replace(WORST, twist=0, level=-3, length=65),
]


def rows_pressed(found: list[Found]) -> list[int]:
    return sorted(tone.row for tone in found if tone.press)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_every_tone_of_forty_milliseconds_is_a_key_once(point: Point) -> None:
    rows, starts = tones(point)
    found = listen(rows)
    assert rows_pressed(found) == list(range(len(rows)))
    assert all(tone.digit is DIGITS[tone.row % 16] for tone in found)
    stop = starts + round(point.length * RATE / 1000)
    for tone in found:  # and its place is told to a few milliseconds
        assert abs(tone.start - starts[tone.row]) <= 32
        assert abs(tone.stop - stop[tone.row]) <= 32


@pytest.mark.parametrize("point", [replace(point, length=23) for point in POINTS[:-1]], ids=str)
def test_every_tone_of_twenty_three_milliseconds_is_masked_and_none_is_a_key(point: Point) -> None:
    rows, _ = tones(point)
    found = listen(rows)
    assert rows_pressed(found) == []
    assert {tone.row for tone in found} == set(range(len(rows)))


@pytest.mark.parametrize(
    "point", [BASE, replace(BASE, level=-60), replace(BASE, length=23), replace(BASE, noise=8)]
)
def test_other_detectors_find_no_key_in_what_is_left(point: Point) -> None:
    rows, _ = tones(point)
    assert multimon(rows[:16].ravel())
    left = masked(rows, listen(rows))
    assert multimon(left.ravel()) == ""
    assert Spandsp().digits(left.ravel()) == ""


@pytest.mark.parametrize("part", [0.6, 0.4, 0.25])
@pytest.mark.parametrize("twist", [-4.0, 0.0])
def test_tones_whose_peaks_are_cut_off_are_keys(part: float, twist: float) -> None:
    """What is too loud for the line is clipped, and other detectors still name it."""
    rows, _ = tones(replace(BASE, level=-6, twist=twist, low=1.0, high=-1.0))
    peak = part * np.abs(rows).max()
    rows = a_law(np.clip(rows, -peak, peak))
    found = listen(rows)
    assert rows_pressed(found) == list(range(len(rows)))
    left = masked(rows, found)
    assert multimon(left.ravel()) == ""
    assert Spandsp().digits(left.ravel()) == ""


@pytest.mark.parametrize("gain", [4, 15, 60])
def test_nothing_is_found_in_what_is_said_far_too_loud(gain: int) -> None:
    for dialogue in DIALOGUES:
        for role in ("agent", "external"):
            loud = np.clip(spoken(dialogue, role) * gain, -32_000, 32_000)
            assert listen(a_law(loud)[None]) == []


def test_nothing_is_found_in_what_people_say() -> None:
    for dialogue in DIALOGUES:
        for role in ("agent", "external"):
            assert listen(spoken(dialogue, role)[None]) == []


def spoken(dialogue: str, role: str) -> Wave:
    return A_LAW.decode(load(dialogue, role, "PCMA")).astype(np.float32)


def chord(*hertz: float, seconds: float = 1.0, level: float = -10.0) -> Wave:
    peak = 32_768 * 10 ** ((level - 3.14) / 20)
    time = np.arange(int(seconds * RATE)) / RATE
    return a_law(sum((peak * np.sin(2 * np.pi * each * time) for each in hertz), np.zeros(len(time))))


@pytest.mark.parametrize(
    "hertz",
    [
        *(
            (350, 440),
            (400, 450),
            (440, 480),
            (480, 620),
            (425,),
            (1100,),
            (2100,),
            (914, 1371),
            (1371,),
            (1777,),
        ),
        *(
            (440, 554, 659),
            (523, 659, 784),
            (880, 1108, 1318),
            (697,),
            (1209,),
            (770, 941),
            (980, 1180),
            (1004,),
            # Harmonics of a high voice next to keys' tones.
            (751, 1502),
            (680, 1360),
            (966, 1449),
        ),
    ],
    ids=str,
)
def test_what_a_network_plays_is_no_key(hertz: tuple[float, ...]) -> None:
    assert listen(chord(*hertz)[None]) == []


def test_a_whistle_that_glides_is_no_key() -> None:
    time = np.arange(4 * RATE) / RATE
    glide = 4000 * np.sin(2 * np.pi * (600 * time + 150 * time**2))
    assert listen(a_law(glide + 0.6 * np.roll(glide, 9))[None]) == []


@settings(max_examples=25)
@given(pieces=st.lists(st.integers(1, 900), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_what_is_found_does_not_depend_on_the_pieces(pieces: list[int], seed: int) -> None:
    rows, gaps = tones(replace(WORST, length=60), seed)[0][:4], [Gap(1, 1300, 1460), Gap(2, 1500, 1580)]
    for gap in gaps:
        rows[gap.row, gap.start : gap.stop] = 0
    assert in_pieces(rows, pieces, gaps) == in_pieces(rows, [rows.shape[1]], gaps)


def in_pieces(rows: Wave, lengths: list[int], gaps: list[Gap]) -> dict[tuple[int, int, int], tuple[int, int]]:
    """By row, start and digit: where each tone ends, and how often it was a key. Rows come in unlike pieces."""
    listener = Listener(len(rows))
    told: dict[tuple[int, int, int], tuple[int, int]] = {}
    ends, turn = [0] * len(rows), 0
    while min(ends) < rows.shape[1]:
        sizes = [
            min(lengths[(turn + row) % len(lengths)], rows.shape[1] - end) for row, end in enumerate(ends)
        ]
        wave = np.zeros((len(rows), max(sizes)), np.float32)
        lost = []
        for row, (end, size) in enumerate(zip(ends, sizes, strict=True)):
            wave[row, :size] = rows[row, end : end + size]
            lost += [
                Gap(row, max(gap.start, end), min(gap.stop, end + size))
                for gap in gaps
                if gap.row == row and gap.start < end + size and gap.stop > end
            ]
            ends[row] += size
        turn += 1
        for tone in listener.find(wave, np.arange(len(rows)), np.array(sizes), lost):
            name = tone.row, tone.start, tone.digit.value
            told[name] = tone.stop, told.get(name, (0, 0))[1] + tone.press
    return told


@pytest.mark.parametrize("hole", [80, 160, 240])
@pytest.mark.parametrize("into", [0, 100, 200, 320])
def test_a_loss_inside_a_tone_neither_doubles_the_key_nor_uncovers_it(hole: int, into: int) -> None:
    rows, starts = tones(replace(BASE, length=70))
    gaps = [Gap(row, start + into, start + into + hole) for row, start in enumerate(starts.tolist())]
    for gap in gaps:
        rows[gap.row, gap.start : gap.stop] = 0
    listener = Listener(len(rows))
    found = listener.find(rows, np.arange(len(rows)), np.full(len(rows), rows.shape[1]), gaps)
    assert rows_pressed(found) == sorted(set(rows_pressed(found)))
    left = masked(rows, found)
    assert multimon(left.ravel()) == ""


def test_the_same_key_twice_is_two_keys_and_a_click_in_one_is_not() -> None:
    tone, _ = tones(replace(BASE, length=60))
    start = int(np.flatnonzero(np.abs(tone[0]) > 100)[0])
    once = tone[0, start : start + 480]
    twice = np.concatenate((np.zeros(800), once, np.zeros(320), once, np.zeros(800))).astype(np.float32)
    assert rows_pressed(listen(twice[None])) == [0, 0]
    clicked = np.concatenate((np.zeros(800), once, np.zeros(64), once, np.zeros(800))).astype(np.float32)
    assert rows_pressed(listen(clicked[None])) == [0]


def test_an_echo_under_speech_is_found_by_its_key() -> None:
    speech = spoken("inbound", "agent")[: 4 * RATE]
    key = DIGITS[5]
    time = np.arange(800) / RATE
    echo = 400 * (np.sin(2 * np.pi * LOW[1] * time) + np.sin(2 * np.pi * HIGH[1] * time))
    quiet = int(np.argmin(np.convolve(speech**2, np.ones(800), "valid")))
    speech[quiet : quiet + 800] += echo.astype(np.float32)
    spans = echoes(speech, key)
    assert min(start for start, _ in spans) - GUARD <= quiet
    assert max(stop for _, stop in spans) + GUARD >= quiet + 800
    assert echoes(speech[:quiet], key) == []
