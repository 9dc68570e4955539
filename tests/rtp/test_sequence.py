"""Which packets of a leg are kept, and how they are counted, against plain accounts of what was sent."""

from __future__ import annotations

import struct
from collections import Counter
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codecs.registry import by_name
from gateway.rtp.sequence import MAX_CELLS, LegTable
from tests.recording.listening import CODECS, EVENTS, STARTED, Heard, listen
from tests.recording.simulation import HOLD_BACK, MS, SECOND, Datagram, batch, rtp, sent, speech

ticks = st.lists(st.integers(10, 900).map(lambda ms: ms * MS), min_size=1, max_size=5)


def dressed(data: bytes, random: Random) -> bytes:
    """The same packet with CSRC, a header extension or padding, or none of them."""
    first, rest, payload = data[0], data[1:12], data[12:]
    match random.randrange(6):
        case 0:
            return bytes([first | 2]) + rest + random.randbytes(8) + payload
        case 1:
            return bytes([first | 0x10]) + rest + b"\xbe\xde\x00\x01" + random.randbytes(4) + payload
        case 2:
            return bytes([first | 0x20]) + rest + payload + b"\x00\x00\x00\x04"
        case _:
            return data


@st.composite
def journeys(draw: st.DrawFn) -> tuple[list[Datagram], list[Datagram], Counter[str]]:
    """What was sent, what came of it with other things in between, and what of that is to be refused."""
    random = Random(draw(st.integers(0, 2**32)))
    packet = draw(st.sampled_from([80, 160, 240]))
    stream = sent(
        speech(draw(st.integers(1, 8)), random.randrange(1000)), packet=packet,
        sequence=random.choice([1, 65500, 65535]), timestamp=random.choice([0, 2**32 - 8000, 2**31 - 100]),
    )  # fmt: skip
    loss, copies, jitter = draw(st.sampled_from([(0.0, 0.0, 0), (0.3, 0.1, 200), (0.05, 0.3, 30)]))
    came = []
    for datagram in stream:
        while True:
            if random.random() >= loss:
                delay = random.randrange(jitter * MS + 1)
                came.append(Datagram(datagram.arrival + delay, 0, dressed(datagram.data, random)))
            if random.random() >= copies:
                break
    others: Counter[str] = Counter()
    end = stream[-1].arrival
    for _ in range(draw(st.sampled_from([0, 0, 50]))):
        kind = random.choice(["short", "version", "rtcp", "stray"])
        data = {
            "short": random.randbytes(random.randrange(12)),
            "version": bytes([random.randrange(128)]) + random.randbytes(40),
            "rtcp": bytes([0x80, 200, 0, 6]) + random.randbytes(24),
            "stray": rtp(random.randrange(65536), 1, bytes(160), random.getrandbits(32) | 1 << 31),
        }[kind]
        others[kind] += 1
        came.append(Datagram(random.randrange(end + 1), 0, data))
    return stream, came, others


def number(data: bytes) -> int:
    return int.from_bytes(data[2:4])


@settings(max_examples=40)
@given(journeys(), ticks, ticks)
def test_counts_and_audio_are_those_of_a_plain_account(
    journey: tuple[list[Datagram], list[Datagram], Counter[str]], one: list[int], two: list[int]
) -> None:
    stream, came, others = journey
    heard = listen(came, one)
    mine = Counter(number(d.data) for d in came if len(d.data) >= 12 and d.data[8:12] == stream[0].data[8:12])
    if len(mine) < 2:
        return
    arrived = [place for place, datagram in enumerate(stream) if number(datagram.data) in mine]
    lost = arrived[-1] - arrived[0] + 1 - len(arrived)
    assert heard.counts == (len(arrived), lost, 0, mine.total() - len(arrived))
    assert heard.audio == b"".join(stream[place].data[12:] for place in arrived)
    assert heard.faults == others
    again = listen(came, two)
    assert (again.audio, again.counts, again.faults) == (heard.audio, heard.counts, heard.faults)


@settings(max_examples=30)
@given(st.integers(0, 2**32), ticks)
def test_sources_that_change_without_a_pause_lose_nothing(seed: int, lengths: list[int]) -> None:
    random = Random(seed)
    came, audio, start = [], b"", 0
    for source in range(1, 6):
        said = speech(random.choice([0.4, 1, 3]), random.randrange(1000))
        came += sent(
            said,
            start=start,
            ssrc=source,
            sequence=random.randrange(65536),
            timestamp=random.randrange(2**32),
        )
        start, audio = came[-1].arrival + random.choice([20, 20, 500]) * MS, audio + said
    heard = listen(came, lengths)
    assert heard.audio == audio
    assert heard.counts == (len(came), 0, 0, 0)
    assert not heard.faults


words = st.sampled_from([0, 1, 2, 159, 160, 161, 2999, 3000, 32767, 32768, 65534, 65535])
times = st.sampled_from([0, 1, 160, 4000, 8000, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 160, 2**32 - 8000])


@st.composite
def hostile(draw: st.DrawFn) -> list[Datagram]:
    """Packets whose steps of sequence, time and source nobody should send."""
    arrival = sequence = timestamp = 0
    found = []
    for _ in range(draw(st.integers(1, 60))):
        arrival += draw(st.sampled_from([0, 0, 1, 20, 20, 300, 6000])) * MS
        sequence += draw(st.one_of(st.just(1), words, st.integers(0, 65535)))
        timestamp += draw(st.one_of(st.just(160), times, st.integers(0, 2**32 - 1)))
        kind = draw(st.sampled_from([8, 8, 8, 0, 13, 101, 96, 127]))
        size = draw(st.sampled_from([0, 1, 3, 4, 5, 160, 160, 161, 1504, 1505, 1588]))
        source = draw(st.sampled_from([1, 1, 1, 2, 0xFFFFFFFF]))
        found.append(Datagram(arrival, 0, rtp(sequence, timestamp % 2**32, bytes(size), source, kind)))
    return found


@settings(max_examples=60)
@given(hostile(), ticks)
def test_no_sequence_of_packets_raises_or_is_miscounted(came: list[Datagram], lengths: list[int]) -> None:
    heard = listen(came, lengths)
    packets, lost, late, duplicated = heard.counts
    refused = heard.faults.total() - heard.faults["unknown_payload"]
    assert packets + late + duplicated + refused == len(came)
    assert min(heard.counts) >= 0
    assert lost <= 65536 * len(came)
    last = came[-1].arrival // 125_000
    assert all(0 <= block.time <= last + 4800 for block in heard.blocks)


def test_a_leg_whose_socket_waited_loses_nothing() -> None:
    audio = speech(12)
    waited = [Datagram(max(d.arrival, 8 * SECOND), 0, d.data) for d in sent(audio, packet=80)]
    heard = listen(waited)
    assert heard.audio == audio
    assert heard.counts == (len(waited), 0, 0, 0)


def test_a_stall_in_mid_call_loses_nothing() -> None:
    audio = speech(20)
    stalled = [
        Datagram(10 * SECOND if 5 * SECOND <= d.arrival <= 10 * SECOND else d.arrival, 0, d.data)
        for d in sent(audio)
    ]
    heard = listen(stalled)
    assert heard.audio == audio
    assert heard.counts == (1000, 0, 0, 0)


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_a_late_packet_is_late_once(copies: int) -> None:
    stream = sent(speech(20))
    late = [
        Datagram(stream[100].arrival + 7 * SECOND + n * 150 * MS, 0, stream[100].data) for n in range(copies)
    ]
    assert listen(stream[:100] + stream[101:] + late).counts == (999, 0, 1, copies - 1)
    together = [Datagram(late[0].arrival, 0, stream[100].data)] * copies
    assert listen(stream[:100] + stream[101:] + together).counts == (999, 0, 1, copies - 1)


def test_packets_from_before_the_first_were_never_lost() -> None:
    stream = sent(speech(12))
    late = [Datagram(8 * SECOND + n, 0, d.data) for n, d in enumerate(stream[40:50])]
    assert listen(stream[50:] + late).counts == (550, 0, 10, 0)


def test_of_two_packets_with_one_number_the_first_is_kept() -> None:
    stream = sent(speech(2))
    forged = Datagram(stream[50].arrival, 0, rtp(1050, 5000 + 50 * 160, bytes(160)))
    for lengths in ([10 * MS], [500 * MS]):
        heard = listen([*stream[:51], forged, *stream[51:]], lengths)
        assert heard.audio == b"".join(d.data[12:] for d in stream)
        assert heard.report.duplicated == 1


def test_a_second_stream_beside_the_first_is_refused() -> None:
    audio = speech(6)
    rival = sent(speech(5, 9), start=500 * MS + 1, ssrc=666, packet=40)
    heard = listen(sent(audio) + rival)
    assert heard.audio == audio
    assert heard.counts == (300, 0, 0, 0)
    assert heard.faults == Counter(stray=len(rival))


def test_garbage_delays_no_start() -> None:
    audio, random = speech(3), Random(4)
    noise = [
        Datagram(
            random.randrange(3 * SECOND),
            0,
            rtp(random.randrange(65536), 0, bytes(20), random.getrandbits(32)),
        )
        for _ in range(3000)
    ]
    heard = listen(sent(audio) + noise)
    assert heard.audio == audio
    assert heard.faults == Counter(stray=3000)


def test_events_alone_start_nothing() -> None:
    event = [rtp(number, 0, struct.pack(">BBH", 1, 10, 160), 7, 101) for number in range(20)]
    foreign = [rtp(9, 9, bytes(160), 1)]
    heard = listen([Datagram(MS, 0, data) for data in foreign + event])
    assert heard.counts == (0, 0, 0, 0)
    assert heard.faults == Counter(stray=21)


def test_payload_wider_than_any_cell_is_refused_alone() -> None:
    stream = sent(speech(2))
    wide = Datagram(stream[50].arrival, 0, rtp(1050, 5000 + 50 * 160, bytes(1505)))
    heard = listen([*stream[:50], wide, *stream[51:]])
    assert heard.audio == b"".join(d.data[12:] for d in stream[:50] + stream[51:])
    assert heard.faults == Counter(length=1)


def test_a_flood_within_a_stream_is_bounded_and_passes() -> None:
    flood = [Datagram(SECOND + n * MS // 10, 0, rtp(n, n * 80, bytes(80))) for n in range(6000)]
    after = [
        Datagram(9 * SECOND + n * 20 * MS, 0, rtp(6000 + n, 6000 * 80 + n * 160, bytes([n]) * 160))
        for n in range(250)
    ]
    heard = listen(flood + after)
    assert heard.faults == Counter(overrun=6000 - MAX_CELLS)
    assert heard.report.packets == MAX_CELLS + 250
    assert heard.audio.endswith(b"".join(d.data[12:] for d in after))


def test_a_tick_that_is_late_at_a_streams_beginning_needs_no_larger_ring() -> None:
    """The places left free before a stream's first packet are given up rather than twice the memory taken."""
    table = LegTable(1, SECOND)
    leg = table.open(CODECS, EVENTS)
    table.receive(batch(sent(bytes([7]) * 1600), [leg], STARTED))
    small = table.ring(leg)
    later = [
        Datagram(n * 20 * MS, 0, rtp(1000 + n, 5000 + n * 160, bytes(160)))
        for n in range(10, small.shape.cells - 1)
    ]
    _, faults = table.receive(batch(later, [leg], STARTED))
    assert not faults
    assert table.ring(leg) is small
    assert len(table.waiting(leg)[0]) == small.shape.cells - 1
    early = Datagram(SECOND, 0, rtp(999, 5000 - 160, bytes(160)))
    table.receive(batch([early], [leg], STARTED))
    assert (int(table.late[leg]), int(table.lost[leg])) == (1, 0)


def test_a_stream_that_begins_with_silence_has_a_ring_for_speech() -> None:
    """Opus begins with packets of some octets; its ring is not outgrown when somebody speaks."""
    table = LegTable(1, SECOND)
    leg = table.open({111: by_name("opus", 48_000, 2)}, frozenset())
    silence, loud = b"\xf8\xff\xfe", b"\xf8" + bytes(150)  # RFC 6716 section 3.1: frames of 20 ms
    sizes = [silence, silence, silence, loud]
    packets = [rtp(n, n * 960, payload, payload_type=111) for n, payload in enumerate(sizes)]
    for number, data in enumerate(packets):
        table.receive(batch([Datagram(number * 20 * MS, 0, data)], [leg], STARTED))
        if number == 1:
            small = table.ring(leg)
    assert table.ring(leg) is small
    assert len(table.waiting(leg)[0]) == 4


def test_a_packet_that_overtook_the_first_keeps_its_place_where_the_ring_gets_wider() -> None:
    table = LegTable(1, SECOND)
    leg = table.open(CODECS, EVENTS)
    table.receive(batch(sent(bytes([7]) * 320), [leg], STARTED))
    wider = [rtp(1002, 5000 + 320, bytes(300)), rtp(999, 5000 - 160, bytes(160))]
    table.receive(batch([Datagram(100 * MS, 0, data) for data in wider], [leg], STARTED))
    slots, _ = table.waiting(leg)
    assert np.diff(slots).tolist() == [1, 1, 1]


def test_a_leg_that_is_opened_again_has_nothing_of_the_old_call() -> None:
    table = LegTable(1, HOLD_BACK + 2 * SECOND)
    secret = bytes([0xAB]) * 160
    first: Heard = listen(
        [Datagram(n * 20 * MS, 0, rtp(n, n * 160, secret)) for n in range(100)], table=table
    )
    assert first.report.packets == 100
    for rings in table._homes._rings:
        assert not rings.payload.any()
        assert not rings.slot.any()
    second = listen(
        [Datagram(n * 20 * MS, 0, rtp(n + 50, n * 160, bytes(80))) for n in range(60)], table=table
    )
    assert second.audio == bytes(80 * 60)
    assert second.counts == (60, 0, 0, 0)


def test_a_growing_ring_leaves_no_audio_behind() -> None:
    table = LegTable(2, HOLD_BACK + 2 * SECOND)
    leg = table.open(CODECS, EVENTS)
    table.receive(batch(sent(bytes([7]) * 1600), [leg], STARTED))
    small = table.ring(leg)
    table.receive(batch([Datagram(SECOND, 0, rtp(1010, 6600, bytes([7]) * 700))], [leg], STARTED))
    assert table.ring(leg) is not small
    assert not small.payload.any()
    slots, cells = table.waiting(leg)
    assert np.diff(slots).tolist() == [1] * 10
    assert table.ring(leg).size[cells].tolist() == [160] * 10 + [700]


def test_packets_under_way_when_the_codec_changes_are_kept() -> None:
    table = LegTable(1, SECOND)
    leg = table.open({8: CODECS[8]}, EVENTS)
    sent_before, sent_after = (
        [rtp(n, n * 160, bytes(160), payload_type=kind)] for n, kind in ((1, 8), (2, 0))
    )
    table.formats(leg, {0: CODECS[0]}, EVENTS)
    tones, faults = table.receive(
        batch(
            [Datagram(n * 20 * MS, 0, data) for n, data in enumerate(sent_before + sent_after)],
            [leg],
            STARTED,
        )
    )
    assert (tones, faults) == ([], Counter())
    assert len(table.waiting(leg)[0]) == 2


def test_more_legs_than_there_are() -> None:
    table = LegTable(1, SECOND)
    table.open(CODECS, EVENTS)
    with pytest.raises(IndexError):
        table.open(CODECS, EVENTS)
