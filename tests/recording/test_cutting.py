"""What a redaction takes from the packets of a leg: nothing of it is left, and all else stays where it was."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codecs.registry import by_name
from gateway.redaction.timeline import Span, Timeline
from tests.codecs.coded import SAMPLES, Coded
from tests.recording.listening import listen
from tests.recording.simulation import MS, SECOND, Datagram, rtp, sent, speech

SECONDS = 4
UNITS = SECONDS * 8000
timelines = st.lists(
    st.builds(lambda start, length: Span(start, start + length), st.integers(0, UNITS), st.integers(1, 2000)),
    max_size=6,
).map(Timeline.of)
ragged = st.integers(0, 1 << 32)


def through_a_network(stream: list[Datagram], seed: int) -> list[Datagram]:
    """Some lost, some twice, all of them later by up to 100 ms."""
    random = Random(seed)
    return [
        Datagram(datagram.arrival + random.randrange(100 * MS), 0, datagram.data)
        for datagram in stream
        for _ in range(random.choice((0, 1, 1, 1, 1, 1, 2)))
    ]


def held(timeline: Timeline, start: int, length: int) -> bool:
    return any(span.start < start + length and span.stop > start for span in timeline.spans)


@settings(max_examples=40)
@given(timelines, st.sampled_from([80, 160, 240, 320, 480]), st.integers(1, 480), ragged)
def test_what_is_cut_is_gone_to_the_sample_and_nothing_else(
    cut: Timeline, packet: int, first: int, seed: int
) -> None:
    stream = sent(speech(SECONDS), start=first * 20_000, packet=packet)
    arrived = through_a_network(stream, seed)
    if not arrived:
        return
    ticks = (100 * MS, 300 * MS)
    whole, left = listen(arrived, ticks), listen(arrived, ticks, cut=cut)
    expected = {unit: octet for unit, octet in whole.octets.items() if not held(cut, unit, 1)}
    assert left.octets == expected
    assert left.report.media_units == len(expected)
    assert left.reached == max(expected, default=-1) + 1
    assert left.counts == whole.counts
    assert all(len(block.payload) == block.units <= 800 for block in left.blocks)
    assert [block.time for block in left.blocks] == sorted(block.time for block in left.blocks)


@cache
def sample(name: str) -> Coded:
    return SAMPLES[name]()


def packets(audio: Coded, count: int = 60) -> list[Datagram]:
    pace = audio.ticks * SECOND // audio.codec.clock_rate
    return [
        Datagram(number * pace, 0, rtp(number + 9, number * audio.ticks, payload, payload_type=8))
        for number, payload in enumerate(audio.payloads[:count])
    ]


def frames(audio: Coded, blocks: list[tuple[int, bytes]], frame: int, ticks: int) -> dict[int, bytes]:
    """By their call times."""
    units = 8000 * ticks // audio.codec.clock_rate
    return {
        time + number * units: payload[at : at + frame]
        for time, payload in blocks
        for number, at in enumerate(range(0, len(payload), frame))
    }


@pytest.mark.parametrize(
    ("name", "frame", "ticks"),
    [
        ("GSM 60 ms", 33, 160),
        ("G729", 10, 80),
        ("G722", 1, 1),
        ("L16 wideband", 4, 2),
        ("iLBC 30 ms", 50, 240),
        ("G726-24", 3, 8),
        ("AAL2-G726-32", 1, 2),
    ],
)
@settings(max_examples=20)
@given(cut=timelines, seed=ragged)
def test_frames_fall_whole_and_alone(name: str, frame: int, ticks: int, cut: Timeline, seed: int) -> None:
    audio = sample(name)
    arrived = through_a_network(packets(audio), seed)
    codecs = {8: audio.codec}
    whole, left = (listen(arrived, codecs=codecs, cut=timeline) for timeline in (Timeline(), cut))
    was, is_ = (
        frames(audio, [(block.time, block.payload) for block in heard.blocks], frame, ticks)
        for heard in (whole, left)
    )
    units = ticks * 8000 // audio.codec.clock_rate
    assert is_ == {time: octets for time, octets in was.items() if not held(cut, time, units)}


@settings(max_examples=20)
@given(cut=timelines, seed=ragged)
def test_samples_that_share_no_unit_with_the_call_clock_are_cut_to_the_unit(cut: Timeline, seed: int) -> None:
    rate, size = 11_025, 661
    codec = by_name("L16", rate)
    audio = Coded(codec, [speech(1, n)[: 2 * size] for n in range(50)], size)
    arrived = through_a_network(packets(audio), seed)
    whole, left = (listen(arrived, codecs={8: codec}, cut=timeline).blocks for timeline in (Timeline(), cut))
    expected = {
        (block.time, number): block.payload[2 * number : 2 * number + 2]
        for block in whole
        for number in range(size)
        if not held(
            cut,
            block.time + number * 8000 // rate,
            1 + ((number + 1) * 8000 - 1) // rate - number * 8000 // rate,
        )
    }
    found = {}
    for block in left:
        uncut = max((each for each in whole if each.time <= block.time), key=lambda each: each.time)
        at = uncut.time
        (first, *_) = (
            number
            for number in range(size)
            if at + number * 8000 // rate == block.time
            and uncut.payload[2 * number :].startswith(block.payload)
        )
        for number in range(len(block.payload) // 2):
            found[at, first + number] = block.payload[2 * number : 2 * number + 2]
    assert found == expected


@pytest.mark.parametrize("name", ["Opus", "AMR", "iLBC 20 ms", "Speex", "DVI4"])
@settings(max_examples=20)
@given(cut=timelines, seed=ragged)
def test_packets_that_cannot_be_cut_fall_whole(name: str, cut: Timeline, seed: int) -> None:
    audio = sample(name)
    arrived = through_a_network(packets(audio), seed)
    codecs = {8: audio.codec}
    whole, left = (listen(arrived, codecs=codecs, cut=timeline).blocks for timeline in (Timeline(), cut))
    before = [block.time - 160 for block in whole[:1]] + [block.time for block in whole[:-1]]
    expected = [
        block
        for block, since in zip(whole, before, strict=True)
        if not held(cut, block.time, 160)
        # What carries the packet before it falls with that one, and with what it may say of one that was lost.
        and not (
            audio.codec.linked
            and held(cut, min(since, block.time - 160), block.time - min(since, block.time - 160))
        )
    ]
    assert left == expected


def test_what_arrives_while_a_leg_is_shut_falls_and_with_it_what_repeats_it() -> None:
    shut = Timeline((Span(8000, 16_000),))
    g711, opus = listen(sent(speech(3)), shut=shut), sample("Opus")
    assert sorted(set(range(24_000)) - g711.octets.keys()) == list(range(8000, 16_000))
    late = [replace(d, arrival=d.arrival + 7 * MS) for d in packets(opus, 100)]
    kept = [block.payload for block in listen(late, codecs={8: opus.codec}, shut=shut).blocks]
    assert kept == [*opus.payloads[:50], *opus.payloads[101:]]
