"""Batches of several legs: what each packet becomes is what its sender made of it, whatever stands beside it."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Policy, Session

from gateway.rtp import srtp
from gateway.rtp.opening import LEAVING_NS, LONGEST, ROWS, Openers
from gateway.rtp.packets import REFUSED, PacketBatch
from gateway.rtp.srtp import MAX_STREAMS, PROFILES, Aes256Policy
from gateway.rtp.suites import SUITES, MasterKey

LOST, REPLAYED, CHANGED, REORDERED = 0.05, 0.05, 0.05, 8
REKEYED_AT, LENGTH = 130, 260  # of a stream, in packets
CM, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_128_GCM"


def master(suite: str, seed: int = 1, mki: bytes = b"") -> MasterKey:
    sizes = SUITES[suite]
    return MasterKey(suite, Random(seed).randbytes(sizes.key + sizes.salt), mki)


def rtp(index: int, ssrc: int = 1) -> bytes:
    header = struct.pack(">BBHII", 0x80, 8, index & 0xFFFF, index * 160 & 0xFFFFFFFF, ssrc)
    return header + Random(index).randbytes(1 + index % 160)


def sealer(key: MasterKey) -> Callable[[bytes], bytes]:
    """A sender under one key, whose packets name it."""
    if key.suite in PROFILES:
        policy = Policy(key.secret, Policy.SSRC_ANY_OUTBOUND, srtp_profile=PROFILES[key.suite])
    else:
        policy = Aes256Policy(key, Policy.SSRC_ANY_OUTBOUND)
    session, tail = Session(policy), SUITES[key.suite].tag if SUITES[key.suite].tag_last else 0

    def seal(packet: bytes) -> bytes:
        sealed = session.protect(packet)
        end = len(sealed) - tail
        return sealed[:end] + key.mki + sealed[end:]

    return seal


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet as it comes, and what it is in truth; None where it is to be refused."""

    data: bytes
    plain: bytes | None


@dataclass(slots=True)
class Leg:
    """One leg's batches, and the keys told before each of them."""

    batches: list[list[Arrival]] = field(default_factory=list)
    keys: list[tuple[MasterKey, ...]] = field(default_factory=list)


def told(legs: Sequence[Sequence[bytes]], at_ns: int = 0) -> PacketBatch:
    """What comes for legs 0, 1, ... in one batch."""
    packets = [(leg, packet) for leg, mine in enumerate(legs) for packet in mine]
    slots = np.zeros((len(packets), 1600), np.uint8)
    for slot, (_, packet) in zip(slots, packets, strict=True):
        slot[: len(packet)] = np.frombuffer(packet, np.uint8)
    sizes = np.array([len(packet) for _, packet in packets], np.int64)
    numbers = np.array([leg for leg, _ in packets], np.int64)
    return PacketBatch(slots, sizes, numbers, np.full(len(packets), at_ns, np.int64))


def opened(openers: Openers, batch: PacketBatch) -> tuple[list[bytes | None], Counter[str]]:
    faults: Counter[str] = Counter()
    openers.open(batch, faults)
    sizes = batch.sizes.tolist()
    slots = zip(batch.slots, sizes, strict=True)
    return [None if size == REFUSED else slot[:size].tobytes() for slot, size in slots], faults


def stream(random: Random, keys: Sequence[MasterKey], ssrc: int) -> list[Arrival]:
    """One SSRC under one key after the other, as a bad network brings it: around a wrap of its sequence number."""
    senders = [sealer(key) for key in keys]
    first = random.choice([0, 1 << 16]) + 65_536 - random.randrange(LENGTH)
    for index in range(0, first, 0x4000):  # brings the senders to where the stream is
        for seal in senders:
            seal(struct.pack(">BBHII", 0x80, 0, index & 0xFFFF, 0, ssrc))
    due: list[tuple[float, int, Arrival]] = []
    tie = count()
    for place in range(LENGTH):
        under, since = divmod(place, REKEYED_AT) if len(keys) > 1 else (0, place)
        plain = rtp(first + place, ssrc)
        sealed = senders[under](plain)
        if since < 2 * REORDERED:  # a stream and a key are heard of by packets that arrive
            due.append((place, next(tie), Arrival(sealed, plain)))
            continue
        if random.random() < CHANGED:
            at = random.randrange(12, len(sealed))
            changed = sealed[:at] + bytes([sealed[at] ^ 1 << random.randrange(8)]) + sealed[at + 1 :]
            due.append((place + random.random() * REORDERED, next(tie), Arrival(changed, None)))
        if random.random() < LOST:
            continue
        when = place + random.random() * REORDERED
        due.append((when, next(tie), Arrival(sealed, plain)))
        if random.random() < REPLAYED:
            due.append((when + random.random() * 2 * LENGTH, next(tie), Arrival(sealed, None)))
    return [arrival for _, _, arrival in sorted(due)]


def carried(random: Random) -> Leg:
    """Two streams mixed, under two keys that packets name, or under one that another follows."""
    named, followed = random.random() < 0.5, random.random() < 0.5
    pair = [
        master(random.choice(list(SUITES)), random.randrange(1 << 32), bytes([place]) * 2 if named else b"")
        for place in range(2 if named or followed else 1)
    ]
    if followed:
        streams = [stream(random, pair, ssrc) for ssrc in range(2)]
    else:
        streams = [stream(random, [random.choice(pair)], ssrc) for ssrc in range(2)]
    found = Leg()
    halves = [split(each, ssrc) for ssrc, each in enumerate(streams)]
    for half, keys in enumerate([(pair[0],), (pair[1],)] if followed else [tuple(pair)] * 2):
        waiting = [each[half] for each in halves]
        while any(waiting):
            batch: list[Arrival] = []
            for _ in range(random.randrange(60)):
                if some := [each for each in waiting if each]:
                    batch.append(random.choice(some).pop(0))
            found.batches.append(batch)
            found.keys.append(keys)
    return found


def split(arrivals: list[Arrival], ssrc: int) -> tuple[list[Arrival], list[Arrival]]:
    """What comes before the first packet under the second key, and the rest."""
    first = int.from_bytes(arrivals[0].data[2:4])
    sequence = (first + REKEYED_AT & 0xFFFF).to_bytes(2)
    places = (place for place, arrival in enumerate(arrivals) if arrival.data[2:4] == sequence)
    at = next(places, len(arrivals))
    return arrivals[:at], arrivals[at:]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 32))
def test_each_packet_is_opened_once_and_nothing_else_is(seed: int) -> None:
    """Loss, disorder, replays, wrong tags, wraps, two SSRCs mixed, identifiers and new keys within one batch."""
    random = Random(seed)
    legs = [carried(random) for _ in range(3)]
    openers = Openers(len(legs))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.rtp.opening.SEARCHES", 1 << 16)  # their limit is not what is looked at
        for turn in range(max(len(leg.batches) for leg in legs)):
            due = [leg.batches[turn] if turn < len(leg.batches) else [] for leg in legs]
            for number, leg in enumerate(legs):
                if turn < len(leg.keys):
                    openers.secure(number, leg.keys[turn])
            plain, faults = opened(openers, told([[each.data for each in batch] for batch in due]))
            expected = [each.plain for batch in due for each in batch]
            assert plain == expected
            assert sum(faults.values()) == expected.count(None)
            assert set(faults) <= {"srtp_auth", "srtp_replay"}


def frames(work: Callable[[], object]) -> int:
    """How many frames of Python are entered."""
    entered = 0

    def enter(frame: FrameType, event: str, argument: object) -> None:
        nonlocal entered
        entered += event == "call"

    sys.setprofile(enter)
    try:
        work()
    finally:
        sys.setprofile(None)
    return entered


@pytest.mark.parametrize("mki", [b"", b"\1"])
@pytest.mark.parametrize("suite", SUITES)
def test_no_python_is_run_once_a_packet(suite: str, mki: bytes) -> None:
    key = master(suite, mki=mki)
    openers = Openers(2)
    seals = [sealer(key) for _ in range(2)]
    counts, index = [], 1
    for packets in (10, 10, 100):
        sealed = [
            [seal(rtp(index + place, ssrc)) for place in range(packets)] for ssrc, seal in enumerate(seals)
        ]
        index += packets
        for number in range(2):
            openers.secure(number, [key])
        batch = told(sealed)
        counts.append(frames(lambda: openers.open(batch, Counter())))  # noqa: B023
        assert (batch.sizes > 0).all()
    assert counts[2] == counts[1]


def test_replays_cost_no_python_once_a_packet() -> None:
    """A mirrored port often shows each packet twice."""
    openers = Openers(1)
    openers.secure(0, [master(CM)])
    seal, counts = sealer(master(CM)), []
    for first, packets in ((1, 10), (20, 10), (40, 100)):
        batch = told([[seal(rtp(first + place)) for place in range(packets)] * 2])
        faults: Counter[str] = Counter()
        counts.append(frames(lambda: openers.open(batch, faults)))  # noqa: B023
        assert faults == Counter(srtp_replay=packets)
        assert (batch.sizes[:packets] > 0).all()
        assert (batch.sizes[packets:] == REFUSED).all()
    assert counts[2] == counts[1]


def test_streams_that_alternate_cost_no_python_once_a_packet() -> None:
    key = master(CM)
    openers = Openers(1)
    openers.secure(0, [key])
    seal, counts, index = sealer(key), [], 1
    for packets in (10, 10, 100):
        batch = told([[seal(rtp(index + place, ssrc)) for place in range(packets) for ssrc in range(2)]])
        index += packets
        counts.append(frames(lambda: openers.open(batch, Counter())))  # noqa: B023
    assert counts[2] == counts[1]


def test_more_packets_than_are_opened_in_one_go() -> None:
    key = master(GCM)
    openers = Openers(1)
    openers.secure(0, [key])
    plain = [rtp(index) for index in range(2 * ROWS + 10)]
    seal = sealer(key)
    assert opened(openers, told([[seal(packet) for packet in plain]])) == (plain, Counter())


@pytest.mark.parametrize("suite", SUITES)
def test_a_packet_that_one_key_fails_on_is_whole_for_the_next(suite: str) -> None:
    """GCM decrypts before it can know."""
    old, new = master(suite, 1), master(suite, 2)
    before, after = sealer(old), sealer(new)
    openers = Openers(1)
    openers.secure(0, [old])
    assert opened(openers, told([[before(rtp(1))]]))[0] == [rtp(1)]
    openers.secure(0, [old, new])
    mixed = [before(rtp(2)), after(rtp(3)), before(rtp(4)), after(rtp(5)), after(rtp(6))]
    for index in (3, 5):
        before(rtp(index))
    assert opened(openers, told([mixed])) == ([rtp(index) for index in range(2, 7)], Counter())


def test_packets_that_are_too_long_are_refused_and_counted() -> None:
    key = master(CM)
    openers = Openers(1)
    openers.secure(0, [key])
    whole, long = rtp(1)[:12] + bytes(1300), rtp(2)[:12] + bytes(LONGEST - 11)
    assert opened(openers, told([[sealer(key)(whole), long]])) == ([whole, None], Counter(length=1))


def test_streams_of_a_key_have_a_limit() -> None:
    key = master(CM)
    openers = Openers(1)
    openers.secure(0, [key])
    seal = sealer(key)
    first = seal(rtp(1, ssrc=0))
    assert opened(openers, told([[first, first]]))[1] == Counter(srtp_replay=1)
    for start in range(1, 2 * MAX_STREAMS, 16):
        batch = told([[seal(rtp(index, ssrc)) for index in (1, 2) for ssrc in range(start, start + 16)]])
        assert opened(openers, batch)[1] == Counter()
    # Nothing is left of it, in libsrtp neither: it would know the packet again.
    assert opened(openers, told([[first]])) == ([rtp(1, ssrc=0)], Counter())


def test_a_search_for_rollovers_is_made_twice_in_a_batch_and_never_for_plain_packets() -> None:
    searched = 0

    def count_search(*arguments: object) -> str:
        nonlocal searched
        searched += 1
        return "srtp_auth"

    openers = Openers(2)
    for number in range(2):
        openers.secure(number, [master(CM)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(srtp.Opener, "search", count_search)
        strangers = [rtp(index) for index in range(10)]
        assert opened(openers, told([strangers, strangers]))[1] == Counter(srtp_auth=20)
        assert searched == 4
        openers.secure(0, ())
        assert opened(openers, told([strangers, []])) == (strangers, Counter())
        assert searched == 4


def test_what_is_under_way_when_a_leg_leaves_srtp_is_opened() -> None:
    key = master(GCM)
    openers = Openers(1)
    openers.secure(0, [key])
    plain = [rtp(index) for index in range(20)]
    seal = sealer(key)
    sealed = [seal(packet) for packet in plain]
    assert opened(openers, told([sealed[:5]])) == (plain[:5], Counter())
    openers.secure(0, ())
    long = rtp(99)[:12] + bytes(1580)
    mixed = [*sealed[5:10], plain[11], sealed[10], long, *plain[12:15]]
    assert opened(openers, told([mixed], 1)) == (
        [*plain[5:10], plain[11], plain[10], long, *plain[12:15]],
        Counter(),
    )
    again = sealed[5:6]  # libsrtp cannot tell it from a plain packet with a number that came before
    assert opened(openers, told([again])) == (again, Counter())
    assert opened(openers, told([sealed[15:16]], 1 + LEAVING_NS))[0] == plain[15:16]
    assert opened(openers, told([sealed[16:17]], 2 + LEAVING_NS))[0] == sealed[16:17]


def test_a_leg_that_comes_back_to_srtp_refuses_what_is_plain() -> None:
    old, new = master(CM, 1), master(CM, 2)
    openers = Openers(1)
    openers.secure(0, [old])
    openers.secure(0, ())
    openers.secure(0, [new])
    assert opened(openers, told([[sealer(new)(rtp(1)), rtp(2)]])) == ([rtp(1), None], Counter(srtp_auth=1))
    openers.release(0)
    assert opened(openers, told([[rtp(3)]])) == ([rtp(3)], Counter())
