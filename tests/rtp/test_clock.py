"""Where the clock places audio, against when it was truly sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.rtp.clock import FALL_NS, LegClock
from gateway.rtp.packets import Ints

MS = 1_000_000
SECOND = 1000 * MS
STARTED = 50 * SECOND
HOLD_BACK = 5 * SECOND
Path = Callable[[Ints], Ints]


def place(media: Ints, arrivals: Ints, slice_ns: int = SECOND // 2) -> Ints:
    """Call time (ns) given to packets by a leg that commits what has waited, slice by slice."""
    clock = LegClock(STARTED)
    placed = np.empty(len(media), np.int64)
    done, now, latest = 0, STARTED + HOLD_BACK, np.maximum.accumulate(arrivals)
    while done < len(media):
        now += slice_ns
        come = int(np.searchsorted(latest, now, side="right"))
        aged = np.flatnonzero(arrivals[done:come] <= now - HOLD_BACK)
        if not len(aged):
            continue
        count = int(aged[-1]) + 1
        waiting = slice(done, come)
        delays = clock.follow(arrivals[waiting] - media[waiting], arrivals[waiting], np.full(count, 20 * MS))
        placed[done : done + count] = media[done : done + count] + delays - STARTED
        done += count
    return placed


def jitter(most_ms: int, seed: int = 1) -> Path:
    random = np.random.default_rng(seed)
    return lambda sent: sent + random.integers(0, most_ms * MS + 1, len(sent))


def straight(sent: Ints) -> Ints:
    return sent


def times(seconds: float, packet_ms: int = 20, first: int = 0) -> Ints:
    return np.arange(first, int(seconds * SECOND), packet_ms * MS)


@pytest.mark.parametrize("ppm", [-200, -100, 0, 100, 200])
@pytest.mark.parametrize("most_ms", [0, 40])
def test_skew_for_hours_stays_within_ten_milliseconds(ppm: int, most_ms: int) -> None:
    spoken = times(2 * 3600, 60)
    media = spoken + spoken * ppm // 1_000_000 + 77 * SECOND
    error = place(media, STARTED + jitter(most_ms)(spoken)) - spoken
    assert np.abs(error).max() <= 10 * MS


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 90), st.sampled_from([10, 20, 60]))
def test_jitter_moves_nothing(seed: int, most_ms: int, packet_ms: int) -> None:
    spoken = times(40, packet_ms)
    error = place(spoken, STARTED + jitter(most_ms, seed)(spoken)) - spoken
    assert len(np.unique(error)) == 1
    assert 0 <= error[0] <= most_ms * MS


@pytest.mark.parametrize("step_ms", [30, -30, 80, -80])
def test_a_step_of_the_network_delay_moves_audio_by_no_more(step_ms: int) -> None:
    spoken = times(600)
    under_way = np.where(spoken < 300 * SECOND, 0, step_ms * MS) + 100 * MS
    error = place(spoken, STARTED + spoken + under_way) - spoken - 100 * MS
    assert np.abs(error).max() <= abs(step_ms) * MS
    assert abs(error[0]) <= 1
    assert abs(error[-1] - step_ms * MS) <= 8 * MS


@settings(max_examples=60)
@given(
    st.one_of(st.integers(-3600, -1), st.integers(1, 3600)),
    st.integers(3, 17),
    st.sampled_from([0, 30]),
    st.integers(0, 99),
)
def test_a_jump_of_timestamps_moves_nothing(jump_s: int, at_s: int, most_ms: int, seed: int) -> None:
    spoken = times(20)
    media = spoken + np.where(spoken < at_s * SECOND, 0, jump_s * SECOND) + 7200 * SECOND
    error = place(media, STARTED + jitter(most_ms, seed)(spoken)) - spoken
    assert error.min() >= -1
    assert error.max() <= most_ms * MS


def test_many_jumps_in_one_commit() -> None:
    spoken = times(30)
    media = spoken + spoken // SECOND * 1000 * SECOND
    error = place(media, STARTED + spoken) - spoken
    assert np.abs(error).max() == 0


@pytest.mark.parametrize("pause_s", [0.4, 1, 3, 20, 600])
def test_timestamps_that_stood_still(pause_s: float) -> None:
    media = times(20)
    spoken = media + np.where(media < 8 * SECOND, 0, int(pause_s * SECOND))
    error = place(media, STARTED + spoken) - spoken
    assert np.abs(error).max() == 0


@pytest.mark.parametrize("late_ms", [50, 200, 2000])
def test_first_packets_that_were_held_up(late_ms: int) -> None:
    spoken = times(20, first=3 * SECOND)
    arrivals = np.maximum(spoken, spoken[0] + late_ms * MS)
    error = place(spoken, STARTED + arrivals) - spoken
    assert np.abs(error).max() <= 1


@pytest.mark.parametrize("ahead_ms", [15, 200, 400])
def test_what_was_spoken_before_the_call_keeps_its_order(ahead_ms: int) -> None:
    media = times(3600, 60)
    arrivals = np.maximum(media - ahead_ms * MS, 5 * MS)
    placed = place(media, STARTED + arrivals)
    assert placed[0] == 0
    assert np.diff(placed).min() >= 50 * MS  # the excess is given back in steps of the deadband
    assert abs(placed[-1] - (media[-1] - ahead_ms * MS)) <= 10 * MS


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_packet_now_and_then(ppm: int) -> None:
    spoken = times(3 * 3600, 20_000)
    media = spoken + spoken * ppm // 1_000_000
    error = place(media, STARTED + spoken) - spoken
    assert np.abs(error).max() <= 10 * MS


@example([(0, 0), (0, 1), (0, FALL_NS), (0, FALL_NS)])
@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3 * SECOND), st.one_of(st.integers(0, SECOND), st.integers(-(10**15), 10**15))
        ),
        min_size=1,
        max_size=80,
    )
)
def test_whatever_comes_is_placed_and_never_after_it_came(steps: list[tuple[int, int]]) -> None:
    arrivals = STARTED + np.cumsum([arrival for arrival, _ in steps])
    media = np.cumsum([media for _, media in steps])
    placed = place(media, arrivals)
    # Packets that had waited somewhere before the call keep their distances: by so much the last of them may be ahead.
    ahead = np.diff(media, prepend=0) - np.diff(arrivals, prepend=STARTED)
    waited = np.cumsum(np.where((ahead > 0) & (ahead <= FALL_NS), ahead, 0))
    assert (placed <= arrivals - STARTED + SECOND + waited).all()


@pytest.mark.parametrize("late_ms", [-7, 0, 3, 7])
def test_another_sender_goes_on_where_the_leg_ended(late_ms: int) -> None:
    clock, spoken = LegClock(STARTED), times(1)
    lengths = np.full(len(spoken), 20 * MS)
    first = clock.follow(STARTED + spoken - spoken, STARTED + spoken, lengths)
    clock.restart()
    media = spoken + 31 * SECOND
    arrivals = STARTED + SECOND + spoken + late_ms * MS
    second = clock.follow(arrivals - media, arrivals, lengths)
    assert (media + second)[0] == (spoken + first)[-1] + 20 * MS


@pytest.mark.parametrize("late_ms", [-40, 40])
def test_another_sender_that_begins_elsewhere_stays_there(late_ms: int) -> None:
    clock, spoken = LegClock(STARTED), times(1)
    lengths = np.full(len(spoken), 20 * MS)
    clock.follow(STARTED + spoken - spoken, STARTED + spoken, lengths)
    clock.restart()
    arrivals = STARTED + SECOND + spoken + late_ms * MS
    placed = spoken + clock.follow(arrivals - spoken, arrivals, lengths)
    assert (placed == arrivals).all()


def test_a_sender_that_falls_behind_and_catches_up_is_not_taken_for_a_clock() -> None:
    spoken = times(25)
    arrivals = STARTED + spoken + np.where(spoken < 7 * SECOND, 15 * MS, 0)
    placed = place(spoken, arrivals)
    assert len(set((placed - spoken).tolist())) == 1
