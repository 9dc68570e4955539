"""What is left of payload when stretches of the call clock are not kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.codecs.registry import Codec, by_name
from gateway.codecs.trimming import Trimmer
from gateway.recording.model import UNITS_PER_SECOND
from gateway.redaction.timeline import Span, Timeline

A_LAW = by_name("PCMA", 8000)
spans = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 900)).map(lambda pair: Span(pair[0], sum(pair))),
    max_size=5,
)


@given(spans, st.integers(0, 2000), st.binary(max_size=2000))
def test_of_samples_exactly_what_lies_outside_is_left(gone: list[Span], time: int, payload: bytes) -> None:
    timeline = Timeline.of(gone)
    places = np.arange(time, time + len(payload))
    kept = ~timeline.touches(places, places + 1)
    left = {
        place + at: octet
        for place, piece in Trimmer(A_LAW, timeline).left(time, payload)
        for at, octet in enumerate(piece)
    }
    assert left == {time + at: payload[at] for at in np.flatnonzero(kept).tolist()}


@pytest.mark.parametrize(
    ("codec", "frame", "units"),
    [
        (by_name("GSM", 8000), 33, 160),
        (by_name("G729", 8000), 10, 80),
        (by_name("G726-24", 8000), 3, 8),
        (by_name("AAL2-G726-40", 8000), 5, 8),
        (by_name("G726-32", 8000), 1, 2),
        (by_name("L16", 16000), 2, 0.5),
        (by_name("L16", 44100), 2, UNITS_PER_SECOND / 44100),
    ],
)
@given(gone=spans, time=st.integers(0, 2000), count=st.integers(1, 60))
def test_a_frame_is_left_whole_in_its_place_or_not_at_all(
    codec: Codec, frame: int, units: float, gone: list[Span], time: int, count: int
) -> None:
    payload = b"".join(bytes([number]) * frame for number in range(count))
    seen = set()
    for place, piece in Trimmer(codec, Timeline.of(gone)).left(time, payload):
        assert len(piece) % frame == 0
        for at in range(0, len(piece), frame):
            (number,) = set(piece[at : at + frame])
            assert abs(place + at // frame * units - time - number * units) <= 1
            seen.add(number)
    for number in range(count):
        begins, ends = time + number * units, time + (number + 1) * units
        touched = any(span.start < ends - 1e-9 and begins + 1e-9 < span.stop for span in gone)
        assert (number in seen) is not touched


def test_comfort_noise_at_the_end_of_a_block_is_a_frame_of_its_own() -> None:
    codec = by_name("G729", 8000)
    payload = bytes(range(10)) + b"\1\2"
    assert list(Trimmer(codec, Timeline((Span(0, 10),))).left(0, payload)) == [(80, b"\1\2")]
    assert list(Trimmer(codec, Timeline((Span(150, 151),))).left(0, payload)) == [(0, payload[:10])]


@pytest.mark.parametrize(
    ("codec", "packet", "units"),
    [
        (by_name("G723", 8000), bytes(24) + b"\2...", 480),
        (by_name("SPEEX", 16_000), b"\x06" + bytes(20), 160),
    ],
)
def test_a_packet_that_cannot_be_cut_falls_whole_and_alone(codec: Codec, packet: bytes, units: int) -> None:
    trimmer = Trimmer(codec, Timeline((Span(units + 1, units + 2),)))
    assert [time for at in range(0, 4 * units, units) for time, _ in trimmer.left(at, packet)] == [
        0,
        2 * units,
        3 * units,
    ]


@pytest.mark.parametrize(
    ("codec", "packet"),
    [(by_name("OPUS", 48000, 2), b"\xf8" + bytes(50)), (by_name("DVI4", 8000), bytes(84))],
)
def test_a_packet_that_tells_of_the_one_before_falls_with_it(codec: Codec, packet: bytes) -> None:
    trimmer = Trimmer(codec, Timeline((Span(200, 210),)))  # of packets of 20 ms
    left = [time for at in range(0, 800, 160) for time, _ in trimmer.left(at, packet)]
    assert left == [0, 480, 640]


def test_the_first_opus_packet_after_a_gap_that_hides_a_redaction_falls() -> None:
    packet = b"\xf8" + bytes(50)
    trimmer = Trimmer(by_name("OPUS", 48000, 2), Timeline((Span(200, 210),)))
    left = [time for at in (0, 480, 640) for time, _ in trimmer.left(at, packet)]
    assert left == [0, 640]
