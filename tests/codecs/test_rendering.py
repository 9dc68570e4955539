from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.g711 import A_LAW, MU_LAW
from gateway.codecs.registry import by_name
from gateway.codecs.rendering import Block, Frames, in_order, render
from gateway.recording.model import Redaction, Role

PCMA, PCMU = by_name("PCMA", 8000), by_name("PCMU", 8000)
BOTH = (Role.EXTERNAL, Role.AGENT)


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()


def voice(size: int, hertz: float = 130.0, phase: int = 0) -> bytes:
    """A steady voiced sound, in A-law."""
    time = (np.arange(size) + phase) / 8000
    wave = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in (1, 2, 3)) * 6000
    levels = np.argsort(A_LAW.table, kind="stable")
    nearest = np.searchsorted(A_LAW.table[levels], wave).clip(0, 255)
    return bytes(levels[nearest].astype(np.uint8))


def pcm(blocks: list[Block], length: int = 0, redactions: tuple[Redaction, ...] = ()) -> Frames:
    """The external leg alone."""
    return np.concatenate(list(render(blocks, (Role.EXTERNAL,), length, redactions)))[:, 0]


def block(time: int, payload: bytes, role: Role = Role.EXTERNAL) -> Block:
    return Block(role, time, PCMA, payload)


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40), st.integers(0, 20_000), st.randoms())
def test_any_split_in_any_order_renders_the_same(sizes: list[int], start: int, random: Random) -> None:
    payload, blocks, at = noise(sum(sizes)), [], 0
    for size in sizes:
        blocks.append(block(start + at, payload[at : at + size]))
        at += size
    random.shuffle(blocks)
    expected = [0] * start + A_LAW.decode(payload).tolist()
    assert pcm(blocks).tolist() == expected


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 500), st.integers(1, 300)), max_size=6))
def test_what_is_already_there_changes_nothing(copies: list[tuple[int, int, int]]) -> None:
    payload = noise(4000)
    blocks = [block(at, payload[at : at + 1000]) for at in range(0, 4000, 1000)]
    blocks += [block(at := 1000 * of + by, payload[at : at + size]) for of, by, size in copies]
    assert pcm(blocks).tolist() == A_LAW.decode(payload).tolist()


@given(st.integers(481, 60_000), st.integers(0, 3000))
def test_a_long_gap_is_silence_in_its_place(gap: int, tail: int) -> None:
    first, second = noise(160, 2), noise(160, 3)
    out = pcm([block(0, first), block(160 + gap, second)], 320 + gap + tail)
    assert out.size == 320 + gap + tail
    assert out[:160].tolist() == A_LAW.decode(first).tolist()
    assert out[160 + gap : 320 + gap].tolist() == A_LAW.decode(second).tolist()
    assert not out[160 : 160 + gap].any()
    assert not out[320 + gap :].any()


@pytest.mark.parametrize("gap", [80, 160, 320, 480])
def test_a_short_gap_carries_the_voice_on_and_touches_nothing_else(gap: int) -> None:
    whole = A_LAW.decode(voice(4000))
    coded = voice(4000)
    out = pcm([block(0, coded[:1600]), block(1600 + gap, coded[1600 + gap :])])
    assert out[:1600].tolist() == whole[:1600].tolist()
    assert out[1600 + gap :].tolist() == whole[1600 + gap :].tolist()
    steepest = np.abs(np.diff(whole.astype(int))).max()
    assert np.abs(np.diff(out.astype(int))).max() <= steepest * 1.2
    near = slice(1600, 1600 + min(gap, 160))
    assert np.abs(out[near].astype(int) - whole[near]).mean() < 0.25 * np.abs(whole.astype(int)).mean()


def test_a_bridge_is_the_same_however_the_audio_behind_it_is_cut() -> None:
    coded = voice(2000)
    whole = pcm([block(0, coded[:800]), block(960, coded[960:])])
    cut = pcm([block(0, coded[:800]), *(block(at, coded[at : at + 40]) for at in range(960, 2000, 40))])
    assert cut.tolist() == whole.tolist()


@pytest.mark.parametrize("step", [-160, -80, -8, -1, 1, 8, 64, 79])
@pytest.mark.parametrize("size", [80, 800])
def test_a_small_step_of_the_clock_is_played_over(step: int, size: int) -> None:
    coded = voice(1600 + 8000 * 22)
    later = [block(at + step, coded[at : at + size]) for at in range(1600, len(coded), size)]
    out = pcm([block(0, coded[:1600]), *later]).astype(int)
    whole = A_LAW.decode(coded).astype(int)
    assert out.size == whole.size + step
    assert out[:1600].tolist() == whole[:1600].tolist()
    back = 1600 + abs(step) * 1000 + abs(step)
    assert out[back + step :].tolist() == whole[back:].tolist()
    assert np.abs(np.diff(out)).max() <= np.abs(np.diff(whole)).max() * 1.05


def test_steps_that_follow_each_other_add_up() -> None:
    coded = voice(8000 * 60)
    times = [0, 8000 + 20, 16_000 + 60, 24_000 + 30]
    blocks = [
        block(time, coded[at : at + 8000]) for at, time in zip(range(0, 32_000, 8000), times, strict=True)
    ]
    blocks += [block(at + 30, coded[at : at + 8000]) for at in range(32_000, len(coded), 8000)]
    out = pcm(blocks).astype(int)
    whole = A_LAW.decode(coded).astype(int)
    assert out[-8000:].tolist() == whole[-8000:].tolist()
    assert np.abs(np.diff(out)).max() <= np.abs(np.diff(whole)).max() * 1.05


def test_a_step_at_the_end_of_a_run_leaves_no_trace_behind_it() -> None:
    coded = voice(1600)
    out = pcm([block(0, coded[:800]), block(760, coded[800:]), block(80_000, coded)])
    assert not out[1700:80_000].any()
    assert out[80_000:].tolist() == A_LAW.decode(coded).tolist()


@given(st.integers(0, 2000), st.integers(1, 1000))
def test_a_redaction_is_silent_to_the_sample_and_never_concealed(start: int, length: int) -> None:
    payload = noise(3000, 4).replace(b"\xd5", b"\x00").replace(b"\x55", b"\x00")
    redacted = Redaction(start, start + length, (Role.EXTERNAL,), "pause")
    kept = [(0, start), (start + length, 3000)]
    out = pcm([block(a, payload[a:b]) for a, b in kept if a < b], 3000, (redacted,))
    assert not out[start : start + length].any()
    for a, b in kept:
        assert out[a:b].tolist() == A_LAW.decode(payload[a:b]).tolist()


def test_audio_stored_under_a_redaction_is_not_rendered() -> None:
    out = pcm([block(0, voice(1000))], 1000, (Redaction(300, 420, (Role.EXTERNAL,), "dtmf"),))
    assert not out[300:420].any()
    assert out[:300].any()
    assert out[420:].tolist() == A_LAW.decode(voice(1000))[420:].tolist()


def test_a_redaction_of_the_other_leg_does_not_silence_this_one() -> None:
    out = pcm([block(0, noise(1000))], 1000, (Redaction(300, 420, (Role.AGENT,), "dtmf"),))
    assert out.tolist() == A_LAW.decode(noise(1000)).tolist()


def test_both_legs_start_together_and_last_the_same() -> None:
    blocks = [
        block(400, noise(160, 5)),
        Block(Role.AGENT, 700, PCMU, noise(160, 6)),
    ]
    out = np.concatenate(list(render(blocks, BOTH, 1000)))
    assert out.shape == (1000, 2)
    assert out[400:560, 0].tolist() == A_LAW.decode(noise(160, 5)).tolist()
    assert out[700:860, 1].tolist() == MU_LAW.decode(noise(160, 6)).tolist()
    assert not out[:400].any()
    assert not out[860:].any()


def test_a_call_without_audio_is_silence() -> None:
    assert pcm([], 2000).tolist() == [0] * 2000


def test_audio_past_the_end_of_the_call_is_kept() -> None:
    assert pcm([block(900, noise(300))], 1000).size == 1200


@pytest.mark.parametrize("cut", [79_900, 80_000, 80_100])
def test_chunks_meet_without_a_trace(cut: int) -> None:
    coded = voice(240_000)
    blocks = [block(at, coded[at : min(at + 800, cut - 200)]) for at in range(0, cut - 200, 800)]
    blocks += [block(at, coded[at : at + 800]) for at in range(cut, 240_000, 800)]
    chunks = list(render(blocks, (Role.EXTERNAL,), 240_000))
    assert [len(chunk) for chunk in chunks] == [80_000] * 3
    out = np.concatenate(chunks)[:, 0]
    assert out[: cut - 200].tolist() == A_LAW.decode(coded[: cut - 200]).tolist()
    assert out[cut:].tolist() == A_LAW.decode(coded[cut:]).tolist()
    alone = [block(0, coded[70_000 : cut - 200]), block(cut - 70_000, coded[cut:100_000])]
    assert out[cut - 200 : cut].tolist() == pcm(alone)[cut - 70_200 : cut - 70_000].tolist()


def test_an_hour_is_rendered_a_few_seconds_at_a_time() -> None:
    drawn = 0

    def hour() -> Iterator[Block]:
        nonlocal drawn
        payload = noise(8000)
        for second in range(3600):
            drawn = second
            yield block(second * 8000, payload)

    ahead = []
    for count, chunk in enumerate(render(hour(), (Role.EXTERNAL,), 0)):
        assert len(chunk) == 80_000
        ahead.append(drawn - count * 10)
    assert len(ahead) == 360
    assert max(ahead) <= 20


def test_blocks_are_sorted_within_the_tolerance() -> None:
    times = [0, 39_000, 20_000, 41_000, 5000, 90_000]
    assert [b.time for b in in_order(block(t, b"\xd5") for t in times)] == sorted(times)


def test_a_block_that_comes_far_too_late_harms_nothing() -> None:
    blocks = [block(second * 8000, noise(8000)) for second in range(30)] + [block(100, noise(50, 9))]
    assert pcm(blocks).tolist() == A_LAW.decode(noise(8000)).tolist() * 30


def tone(rate: int, seconds: float, start: float = 0.0) -> Frames:
    time = start + np.arange(round(rate * seconds)) / rate
    return np.asarray(np.rint(9000 * np.sin(2 * np.pi * 700 * time)), np.int16)


def linear(rate: int, start: float, seconds: float, role: Role = Role.EXTERNAL) -> list[Block]:
    """A tone on the call's clock, in blocks of 100 ms."""
    codec = by_name("L16", rate)
    pieces = np.split(tone(rate, seconds, start), np.arange(rate // 10, round(rate * seconds), rate // 10))
    return [
        Block(role, round(start * 8000) + 800 * number, codec, piece.astype(">i2").tobytes())
        for number, piece in enumerate(pieces)
    ]


@pytest.mark.parametrize(
    ("low", "high"), [(8000, 16_000), (8000, 48_000), (16_000, 48_000), (44_100, 48_000)]
)
def test_legs_of_different_rates_are_brought_to_one(low: int, high: int) -> None:
    blocks = sorted(linear(low, 0, 25) + linear(high, 0, 25, Role.AGENT), key=lambda block: block.time)
    out = np.concatenate(list(render(blocks, BOTH, 25 * 8000, rate=high)))
    assert out.shape == (25 * high, 2)
    assert out[:, 1].tolist() == tone(high, 25).tolist()
    inner = slice(high // 50, -high // 50)
    assert np.abs(out[inner, 0].astype(int) - tone(high, 25)[inner]).max() <= 2


def test_a_leg_goes_on_in_its_place_when_its_rate_changes() -> None:
    blocks = linear(8000, 0, 33.5) + linear(16_000, 33.5, 10) + linear(8000, 43.5, 10)
    out = np.concatenate(list(render(blocks, (Role.EXTERNAL,), 0, rate=16_000)))[:, 0]
    assert out.size == 53.5 * 16_000
    whole = tone(16_000, 53.5)
    steady = [slice(100, 535_500), slice(536_500, 695_500), slice(696_500, 855_500)]
    assert max(np.abs(out[part].astype(int) - whole[part]).max() for part in steady) <= 2
    assert np.abs(np.diff(out.astype(int))).max() <= np.abs(np.diff(whole.astype(int))).max() * 1.25


def test_a_redaction_is_silent_to_the_sample_at_any_rate() -> None:
    redacted = Redaction(8000, 8100, (Role.EXTERNAL,), "dtmf")
    out = np.concatenate(list(render(linear(8000, 0, 3), (Role.EXTERNAL,), 0, (redacted,), rate=48_000)))
    assert not out[48_000:48_600].any()
    assert out[47_000:47_900].any()
    assert out[48_700:49_000].any()


def test_a_lower_rate_than_the_codec_has_will_do() -> None:
    out = np.concatenate(list(render(linear(48_000, 0, 12), (Role.EXTERNAL,), 0, rate=8000)))[:, 0]
    assert np.abs(out[200:-200].astype(int) - tone(8000, 12)[200:-200]).max() <= 2


def test_blocks_that_the_call_clock_cannot_place_exactly_are_contiguous() -> None:
    codec = by_name("L16", 44_100)
    whole = tone(44_100, 20)
    blocks = [
        Block(Role.EXTERNAL, at * 8000 // 44_100, codec, whole[at : at + 333].astype(">i2").tobytes())
        for at in range(0, whole.size, 333)
    ]
    out = np.concatenate(list(render(blocks, (Role.EXTERNAL,), 0, rate=44_100)))[:, 0]
    assert out.tolist() == whole.tolist()


@pytest.mark.parametrize("gap", [80, 160, 480])
def test_a_decoder_that_can_conceals_its_own_losses(gap: int) -> None:
    spoken: list[int] = []

    class Concealing:
        def decode(self, payload: bytes) -> Frames:
            return np.full(len(payload), 1000, np.int16)

        def conceal(self, count: int) -> Frames:
            spoken.append(count)
            return np.full(count, 77, np.int16)

    codec = replace(PCMA, decoder=Concealing)
    blocks = [Block(Role.EXTERNAL, at, codec, bytes(800)) for at in (0, 800 + gap, 1600 + gap + 500)]
    out = pcm(blocks)
    assert spoken == [gap]
    assert out[800 : 800 + gap].tolist() == [77] * gap
    redacted = Redaction(800, 801, (Role.EXTERNAL,), "dtmf")
    assert not pcm(blocks[:2], 0, (redacted,))[800 : 800 + gap].any()
    assert spoken == [gap]
