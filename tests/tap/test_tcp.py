"""A TCP stream comes out in order, each octet once, whatever the network did to its segments."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.tap.tcp import FIN, GAP_NS, MAX_HELD, MAX_SEGMENTS, RST, SYN, WINDOW, Piece, Segment, Stream

DATA = bytes(range(256)) * 4


def octets(pieces: list[Piece]) -> bytes:
    return b"".join(piece.octets for piece in pieces)


def opened(first: int = 99) -> Stream:
    stream = Stream()
    assert stream.feed(Segment(first, SYN, b""), 0) == []
    return stream


@given(st.data(), st.integers(0, 2**32 - 1))
def test_segments_in_any_order_with_overlaps_and_copies(data: st.DataObject, first: int) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, len(DATA) - 1), max_size=8)) | {0, len(DATA)})
    segments = []
    for start, end in zip(cuts, [*cuts[1:], len(DATA)], strict=True):
        longer = min(len(DATA), end + data.draw(st.integers(0, 50)))
        segments.append(Segment((first + 1 + start) % 2**32, 0, DATA[start:longer]))
    again = data.draw(st.lists(st.sampled_from(segments), max_size=5))
    order = data.draw(st.permutations(segments + again))
    stream = opened(first)
    pieces = [piece for segment in order for piece in stream.feed(segment, 1)]
    assert octets(pieces) == DATA
    assert not any(piece.after_gap for piece in pieces)
    assert not stream.waits


def test_a_stream_that_began_before_is_taken_up() -> None:
    stream = Stream()
    assert stream.feed(Segment(5000, 0, b"abc"), 0) == [Piece(b"abc", after_gap=True)]
    assert stream.feed(Segment(5003, 0, b"def"), 0) == [Piece(b"def", after_gap=False)]


def test_octets_that_were_given_are_not_given_again() -> None:
    stream = opened()
    assert octets(stream.feed(Segment(100, 0, b"abcd"), 0)) == b"abcd"
    assert stream.feed(Segment(100, 0, b"ABCD"), 0) == []
    assert octets(stream.feed(Segment(102, 0, b"XYef"), 0)) == b"ef"


def test_a_gap_is_given_up_after_its_time() -> None:
    stream = opened()
    assert stream.feed(Segment(110, 0, b"late"), 5) == []
    assert stream.feed(Segment(114, 0, b"r"), GAP_NS) == []
    assert not stream.overdue(GAP_NS + 4)
    assert stream.overdue(GAP_NS + 5)
    assert stream.skip(GAP_NS + 5) == [Piece(b"late", after_gap=True), Piece(b"r", after_gap=False)]
    assert stream.skip(GAP_NS + 5) == []


def test_a_gap_is_given_up_when_something_comes_too_late_for_it() -> None:
    stream = opened()
    stream.feed(Segment(110, 0, b"one"), 0)
    found = stream.feed(Segment(120, 0, b"two"), GAP_NS)
    assert found == [Piece(b"one", after_gap=True)]
    assert stream.waits


def test_what_waits_is_bounded_in_octets() -> None:
    stream = opened()
    size, given_ = 1000, 0
    for place in range(2 * MAX_HELD // size):
        given_ += len(octets(stream.feed(Segment(200 + place * size, 0, bytes(size)), 1)))
    assert given_ > MAX_HELD


def test_what_waits_is_bounded_in_segments() -> None:
    stream = opened()
    found = [stream.feed(Segment(200 + 2 * place, 0, b"x"), 1) for place in range(MAX_SEGMENTS + 1)]
    assert [len(pieces) for pieces in found] == [0] * MAX_SEGMENTS + [1]


def test_the_end() -> None:
    stream = opened()
    stream.feed(Segment(104, FIN, b"efg"), 0)
    assert not stream.over
    stream.feed(Segment(100, 0, b"abcd"), 0)
    stream.feed(Segment(107, FIN, b""), 0)
    assert stream.over
    stream = opened()
    stream.feed(Segment(100, RST, b""), 0)
    assert stream.over


def test_a_connection_at_the_same_ports_begins_anew() -> None:
    stream = opened()
    stream.feed(Segment(100, 0, b"old"), 0)
    assert stream.feed(Segment(700, SYN, b""), 0) == []
    assert stream.feed(Segment(701, 0, b"new"), 0) == [Piece(b"new", after_gap=False)]
    far = 701 + 2 * WINDOW
    assert stream.feed(Segment(far, 0, b"other"), 0) == [Piece(b"other", after_gap=True)]


def test_the_copy_of_a_beginning_changes_nothing() -> None:
    stream = opened()
    stream.feed(Segment(100, 0, b"abc"), 0)
    assert stream.feed(Segment(99, SYN, b""), 0) == []
    assert stream.feed(Segment(103, 0, b"def"), 0) == [Piece(b"def", after_gap=False)]
