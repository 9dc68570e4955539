"""One leg as RTP datagrams with the moments they leave, built some seconds at a time."""

from __future__ import annotations

from enum import IntEnum
from random import Random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gateway.demo.client.outcome import LegSent, Sent
from gateway.demo.client.plan import Digit, Leg, Network, Plan

# RFC 3550 section 5.1
HEADER = np.dtype(
    [("first", "u1"), ("type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")]
)
MARKER = 0x80
WINDOW = 50  # packets built at once
EVENT_CODES = {digit: code for code, digit in enumerate("0123456789*#ABCD")}  # RFC 4733 table 7
EVENT_VOLUME = 10
EVENT_ENDS = 3  # RFC 4733 section 2.5.1.4: the last packet of an event is sent three times

Indices = npt.NDArray[np.int64]


class _Fate(IntEnum):
    FIRST, COPY, LOST = range(3)


class _Waiting(NamedTuple):
    fate: _Fate
    sent: Sent


class Stream:
    """The traffic of one leg; asked for what is due, it hands it out once and remembers it."""

    def __init__(self, leg: Leg, plan: Plan, seed: int) -> None:
        self._leg, self._plan = leg, plan
        self._size = plan.clock_rate * plan.ptime_ms // 1000  # ticks of a packet
        self._count = int(plan.seconds * 1000 / plan.ptime_ms)
        self._interval = plan.ptime_ms / 1000 / (1 + leg.skew_ppm * 1e-6)
        self._packets = leg.packets
        self._seal = leg.srtp.sealer() if leg.srtp else bytes
        self._audio = np.frombuffer(leg.audio, np.uint8)
        self._random = Random(seed)  # noqa: S311 (identifiers of a test call)
        self._noise = np.random.default_rng(seed)
        self._identify(leg.ssrc, leg.sequence, leg.timestamp)
        self._change = self._count if leg.ssrc_change_at is None else self._index(leg.ssrc_change_at)
        self._built = 0
        self._waiting: list[_Waiting] = []  # the last leaves first
        self._sent: list[Sent] = []
        self._counts = [0] * len(_Fate)
        self.failed = 0

    @property
    def finished(self) -> bool:
        return self._built >= self._count and not self._waiting

    def due(self, now: float) -> list[bytes]:
        """The datagrams that leave by `now`, in seconds after the media began."""
        while self._built < self._count and self._built * self._interval <= now:
            self._build()
        leaving: list[bytes] = []
        while self._waiting and self._waiting[-1].sent.at <= now:
            fate, sent = self._waiting.pop()
            self._counts[fate] += 1
            if fate is not _Fate.LOST:
                leaving.append(self._seal(sent.datagram))
                if self._plan.keep:
                    self._sent.append(sent)
        return leaving

    def sent(self) -> LegSent:
        """What has left so far."""
        first, copied, lost = self._counts
        return LegSent(self._leg.label, first, lost, copied, self.failed, tuple(self._sent))

    def _index(self, seconds: float) -> int:
        return round(seconds * 1000 / self._plan.ptime_ms)

    def _identify(self, ssrc: int | None, sequence: int | None, timestamp: int | None) -> None:
        draw = self._random.getrandbits
        self._ssrc = draw(32) if ssrc is None else ssrc
        self._sequence = draw(16) if sequence is None else sequence
        self._timestamp = draw(32) if timestamp is None else timestamp

    def _build(self) -> None:
        """Make the next packets, up to the change of SSRC where that comes first."""
        if self._built == self._change:
            self._identify(None, None, None)
        first = self._built
        last = min(first + WINDOW, self._count, self._change if first < self._change else self._count)
        indices = np.arange(first, last)
        packets = self._datagrams(indices)
        self._built = last
        self._sequence += last - first
        self._timestamp += (last - first) * self._size
        self._send(packets, indices)

    def _datagrams(self, indices: Indices) -> list[tuple[int, bool, bytes]]:
        """Position, whether audio, and bytes of each packet."""
        rows = np.arange(indices.size)
        header = np.empty(indices.size, HEADER)
        header["first"] = 0x80
        header["type"] = self._plan.media_type
        header["type"][indices == 0] |= MARKER
        header["sequence"] = (self._sequence + rows) & 0xFFFF
        header["timestamp"] = (self._timestamp + rows * self._size) & 0xFFFFFFFF
        header["ssrc"] = self._ssrc
        position = (indices * self._size).tolist()
        packets = [
            (at, True, datagram) for at, datagram in zip(position, self._joined(header, indices), strict=True)
        ]
        for digit in self._leg.digits:
            self._press(digit, int(indices[0]), header, packets)
        return packets

    def _joined(self, header: npt.NDArray[np.void], indices: Indices) -> list[bytes]:
        """Headers and what follows them."""
        if self._packets:
            given = (self._packets[index % len(self._packets)] for index in indices.tolist())
            return [head.tobytes() + payload for head, payload in zip(header, given, strict=True)]
        taken = ((indices * self._size)[:, None] + np.arange(self._size)) % self._audio.size
        table = np.hstack((header.view(np.uint8).reshape(-1, HEADER.itemsize), self._audio[taken]))
        blob, length = table.tobytes(), table.shape[1]
        return [blob[at : at + length] for at in range(0, len(blob), length)]

    def _press(
        self, digit: Digit, first: int, header: npt.NDArray[np.void], packets: list[tuple[int, bool, bytes]]
    ) -> None:
        """Put the packets of an event in the place of audio (RFC 4733 section 2.3)."""
        start = self._index(digit.at)
        length = max(1, digit.milliseconds // self._plan.ptime_ms)
        for index in range(max(start, first), min(start + length + EVENT_ENDS - 1, first + len(packets))):
            row, step = index - first, index - start + 1
            ended = step >= length
            head = header[row : row + 1].copy()
            head["type"] = self._plan.event_type | (MARKER if step == 1 else 0)
            head["timestamp"] = (int(header["timestamp"][0]) + (start - first) * self._size) & 0xFFFFFFFF
            duration = min(step, length) * self._size
            event = bytes((EVENT_CODES[digit.digit], ended << 7 | EVENT_VOLUME)) + duration.to_bytes(2)
            packets[row] = (start * self._size, False, head.tobytes() + event)

    def _send(self, packets: list[tuple[int, bool, bytes]], indices: Indices) -> None:
        """Let the planned network have its way with the packets."""
        network, size = self._plan.network, len(packets)
        leave = indices * self._interval + self._delays(network, size)
        lost = self._noise.random(size) < network.loss
        twice = self._noise.random(size) < network.duplicate
        again = leave + self._noise.random(size) * max(network.jitter_ms, self._plan.ptime_ms) / 1000
        for row, packet in enumerate(packets):
            fate = _Fate.LOST if lost[row] else _Fate.FIRST
            self._waiting.append(_Waiting(fate, Sent(float(leave[row]), *packet)))
            if twice[row] and not lost[row]:
                self._waiting.append(_Waiting(_Fate.COPY, Sent(float(again[row]), *packet)))
        self._waiting.sort(key=lambda waiting: waiting.sent.at, reverse=True)

    def _delays(self, network: Network, size: int) -> npt.NDArray[np.float64]:
        jitter = self._noise.random(size) * network.jitter_ms
        held = (self._noise.random(size) < network.reorder) * network.reorder_ms
        delays: npt.NDArray[np.float64] = (jitter + held) / 1000
        return delays
