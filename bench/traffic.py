"""The packets of all legs, slice by slice: columns, never one packet at a time.

A slice is 5 ms. A leg sends in every slice of its phase, so that legs are spread over the length of a packet. All
legs share one count of packets and one RTP clock; SSRC, place in the audio and key presses are their own. So the
SRTP of a leg is that of every leg with its role, and two packets are protected where thousands are sent.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pylibsrtp import Policy, Session

from bench.load import KEY_MS, KEY_SECONDS, ROLES, Ints, Load, Octets, clip

SLICE_MS = 5
Bools = npt.NDArray[np.bool_]

HEADER_BYTES = 12
# RFC 3550 section 5.1
HEADER = np.dtype(
    [("first", "u1"), ("type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")]
)
EVENT_TYPE = 101
EVENT_BYTES = 4
EVENT_ENDS = 3  # RFC 4733 section 2.5.1.4: the last packet of an event is sent three times
DIGITS = 10
MUTE_SECONDS = 2  # as long as it then speaks
SECRET_BYTES = 30  # of AES_CM_128_HMAC_SHA1_80: key, then salt (RFC 4568 section 6.2)
PROTECTED = 100  # packets kept alive, so that a delayed one can still leave
SUITES = {"AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80}


def secret(place: int) -> bytes:
    """What every leg of a role is protected with; nothing that it protects is worth anything."""
    return bytes(range(place, place + SECRET_BYTES))


@dataclass(frozen=True, slots=True)
class Batch:
    """Packets that leave together: of each the leg, its header, and where its payload lies in memory."""

    legs: Ints
    headers: Octets  # 12 octets a row; none, where the payload is the whole packet
    payloads: Ints  # addresses
    lengths: Ints

    def __len__(self) -> int:
        return len(self.legs)

    def take(self, rows: Bools) -> Batch:
        return Batch(self.legs[rows], self.headers[rows], self.payloads[rows], self.lengths[rows])

    @classmethod
    def joined(cls, batches: Sequence[Self]) -> Batch:
        if len(batches) == 1:
            return batches[0]
        columns = zip(*((b.legs, b.headers, b.payloads, b.lengths) for b in batches), strict=True)
        return Batch(*map(np.concatenate, columns))


@dataclass(slots=True)
class Counts:
    """Of each leg, the packets made and of these the ones that a bad network is to lose."""

    made: Ints
    lost: Ints


class Traffic:
    """What all legs send in one slice after another; legs come and go between slices."""

    def __init__(self, load: Load, capacity: int) -> None:
        self._load = load
        self._clip = clip(load)
        self.phases = load.ptime_ms // SLICE_MS
        self.counts = Counts(np.zeros(capacity, np.int64), np.zeros(capacity, np.int64))
        self._members: list[Ints] = [np.zeros(0, np.int64) for _ in range(self.phases)]
        self._templates = self._headers(capacity)
        self._shift = np.random.default_rng(load.seed).integers(0, self._clip.starts.shape[1], capacity)
        self._skipped = np.zeros(capacity, np.int64)  # by a leg that was muted
        self._random = np.random.default_rng(load.seed)
        self._pending: dict[int, list[Batch]] = defaultdict(list)  # by slice
        self._events = _events(load)
        self._sessions = _sessions(load)
        self._protected: deque[list[Octets]] = deque(maxlen=PROTECTED)
        self._sequence = 0

    def add(self, leg: int) -> None:
        """Send on a leg (even: the external party's, odd: the agent's) from its next slice on."""
        phase = min(range(self.phases), key=lambda each: len(self._members[each]))
        self._members[phase] = np.append(self._members[phase], leg)

    def remove(self, legs: Sequence[int]) -> None:
        self._members = [members[~np.isin(members, legs)] for members in self._members]

    def slice(self, number: int, playing: bool) -> Batch | None:
        """What leaves in a slice. Whether any is made may change with a slice whose number the phases divide."""
        packet, phase = divmod(number, self.phases)
        if playing:
            if phase == 0:
                self._sequence += 1
                self._protect(packet)
            if len(self._members[phase]):
                self._hand_over(number, self._make(packet, self._members[phase]))
        due = self._pending.pop(number, None)
        return Batch.joined(due) if due else None

    def _make(self, packet: int, legs: Ints) -> Batch:
        legs = self._speaking(packet, legs)
        roles = legs % len(ROLES)
        if self._sessions:
            payloads = np.array([each.ctypes.data for each in self._protected[-1]])[roles]
            lengths = np.array([len(each) for each in self._protected[-1]])[roles]
            return Batch(legs, np.zeros((len(legs), 0), np.uint8), payloads, lengths)
        headers = self._templates[legs]
        columns = headers.view(HEADER)[:, 0]
        columns["sequence"] = (self._sequence - self._skipped[legs]) & 0xFFFF
        columns["timestamp"] = packet * self._load.ticks & 0xFFFFFFFF
        places = (packet + self._shift[legs]) % self._clip.starts.shape[1]
        payloads = self._clip.octets.ctypes.data + self._clip.starts[roles, places]
        batch = Batch(legs, headers, payloads, self._clip.lengths[roles, places])
        return self._press(packet, batch) if self._load.keys == "events" else batch

    def _speaking(self, packet: int, legs: Ints) -> Ints:
        """The legs that are not muted now: the agent's of some calls stop for a while, again and again."""
        if not self._load.muted:
            return legs
        turn = packet * self._load.ptime_ms // (1000 * MUTE_SECONDS) + legs // 2
        silent = (legs % 2 == 1) & (legs // 2 * 37 % 100 < 100 * self._load.muted) & (turn % 2 == 1)
        self._skipped[legs[silent]] += 1
        speaking: Ints = legs[~silent]
        return speaking

    def _press(self, packet: int, batch: Batch) -> Batch:
        """Put the packets of an event in the place of audio where a key is down (RFC 4733 section 2.3)."""
        period = 1000 * KEY_SECONDS // self._load.ptime_ms
        step = (packet + self._shift[batch.legs]) % period
        rows = np.flatnonzero(step < len(self._events[0]))
        columns = batch.headers.view(HEADER)[:, 0]
        columns["type"][rows] = EVENT_TYPE
        columns["timestamp"][rows] = (packet - step[rows]) * self._load.ticks & 0xFFFFFFFF
        digits = (packet + self._shift[batch.legs[rows]]) // period % DIGITS
        place = digits * len(self._events[0]) + step[rows]
        batch.payloads[rows] = self._events.ctypes.data + place * EVENT_BYTES
        batch.lengths[rows] = EVENT_BYTES
        return batch

    def _hand_over(self, number: int, batch: Batch) -> None:
        """Let the network have its way."""
        self.counts.made[batch.legs] += 1
        if self._load.loss:
            lost = self._random.random(len(batch)) < self._load.loss
            self.counts.lost[batch.legs[lost]] += 1
            batch = batch.take(~lost)
        most = int(self._load.jitter_ms) // SLICE_MS
        if not most:
            self._pending[number].append(batch)
            return
        delays = self._random.integers(0, most + 1, len(batch))
        for delay in range(most + 1):
            self._pending[number + delay].append(batch.take(delays == delay))

    def _headers(self, capacity: int) -> Octets:
        headers = np.zeros((capacity, HEADER_BYTES), np.uint8)
        columns = headers.view(HEADER)[:, 0]
        columns["first"], columns["type"] = 0x80, self._load.format.payload_type
        columns["ssrc"] = np.random.default_rng(self._load.seed).integers(1, 1 << 32, capacity)
        return headers

    def _protect(self, packet: int) -> None:
        """The packet of each role as SRTP, on the stream of the first leg that has it."""
        if not self._sessions:
            return
        headers = self._templates[: len(ROLES)].copy()
        columns = headers.view(HEADER)[:, 0]
        columns["sequence"] = self._sequence & 0xFFFF
        columns["timestamp"] = packet * self._load.ticks & 0xFFFFFFFF
        place = packet % self._clip.starts.shape[1]
        made: list[Octets] = []
        for role, protect in enumerate(self._sessions):
            start, length = self._clip.starts[role, place], self._clip.lengths[role, place]
            plain = headers[role].tobytes() + self._clip.octets[start : start + length].tobytes()
            made.append(np.frombuffer(protect(plain), np.uint8))
        self._protected.append(made)


def _sessions(load: Load) -> list[Callable[[bytes], bytes]]:
    """What protects the packets of each role; nothing without SRTP."""
    if not load.suite:
        return []
    profile = SUITES[load.suite]
    policies = [
        Policy(secret(place), Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile) for place in range(len(ROLES))
    ]
    return [Session(policy).protect for policy in policies]


def _events(load: Load) -> Octets:
    """Payloads of a key press, by digit and packet."""
    held = max(1, KEY_MS // load.ptime_ms)
    table = np.zeros((DIGITS, held + EVENT_ENDS - 1, EVENT_BYTES), np.uint8)
    for step in range(table.shape[1]):
        duration = min(step + 1, held) * load.ticks
        table[:, step, 1] = (step + 1 >= held) << 7 | 10
        table[:, step, 2:] = duration >> 8, duration & 0xFF
    table[:, :, 0] = np.arange(DIGITS)[:, None]
    return table
