"""IP packets put together from their fragments (RFC 791 section 3.2, RFC 8200 section 4.5), bounded in time and octets.

Two fragments that overlap leave open what the receiver took, so a packet with such is refused as a whole (RFC 5722
section 3, here for IPv4 as well). Exact copies, as a mirror of both sides gives them, are no overlap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from gateway.tap.decapsulation import Fragments, decapsulate
from gateway.tap.frames import Datagrams, FrameBatch
from gateway.tap.layers import LINK_TYPE_RAW

LIFETIME_NS = 15_000_000_000  # RFC 791 section 3.2 has it; what takes longer is lost
ECHO_NS = 1_000_000_000  # how long copies of the fragments of a packet that is whole may follow it
MAX_WAITING = 2_048  # packets; a trunk has some dozens of large messages under way
MAX_OCTETS = 16 << 20  # of all that wait; the packets of a flood must not fill the memory
MAX_PACKET = 65_535
MAX_PIECES = 256  # a packet of the smallest legal fragments has more; none of a telephone system has
MAX_NESTED = 4  # fragments within a packet that was put together from fragments


@dataclass(frozen=True, slots=True)
class _Piece:
    key: bytes  # what all fragments of one packet share
    head: bytes  # all headers before what was split, as of a packet that is whole
    offset: int
    more: bool
    data: bytes


@dataclass(slots=True)
class _Packet:
    since_ns: int
    pieces: dict[int, bytes] = field(default_factory=dict)  # by offset
    held: int = 0  # octets
    head: bytes | None = None
    total: int | None = None  # octets, once the last fragment is there
    done: bool = False  # given away or refused: what follows is ignored


class Reassembly:
    """Feed it fragments; it gives whole packets as raw IP frames."""

    def __init__(self) -> None:
        self._packets: dict[bytes, _Packet] = {}  # the oldest first
        self._held = 0
        self._now = 0
        self.refused: Counter[str] = (
            Counter()
        )  # fragment_bad, fragment_overlap, fragment_late, fragment_flood

    def add(self, fragments: Fragments) -> FrameBatch:
        """The packets that became whole; each with the time and number of its last fragment."""
        whole: list[tuple[bytes, int, int]] = []
        for row in range(len(fragments)):
            arrival = int(fragments.arrivals[row])
            self._now = max(self._now, arrival)
            self._expire()
            piece = _piece(fragments, row)
            if piece is None:
                self.refused["fragment_bad"] += 1
            elif (packet := self._take(piece)) is not None:
                whole.append((packet, arrival, int(fragments.numbers[row])))
        return _frames(whole)

    def _take(self, piece: _Piece) -> bytes | None:
        packet = self._packets.get(piece.key)
        if packet is None:
            packet = self._packets[piece.key] = _Packet(self._now)
            self._make_room()
        if packet.done or packet.pieces.get(piece.offset) == piece.data:
            return None
        fault = _fault(packet, piece)
        if fault:
            self.refused[fault] += 1
            self._finish(packet)
            return None
        packet.pieces[piece.offset] = piece.data
        packet.held += len(piece.data)
        self._held += len(piece.data)
        if not piece.more:
            packet.total = piece.offset + len(piece.data)
        if piece.offset == 0:
            packet.head = piece.head
        self._make_room()
        if packet.head is None or packet.held != packet.total:
            return None
        data = b"".join(packet.pieces[offset] for offset in sorted(packet.pieces))
        head = packet.head
        self._finish(packet)
        return _whole(head, data)

    def _finish(self, packet: _Packet) -> None:
        self._held -= packet.held
        packet.pieces.clear()
        packet.held, packet.done = 0, True

    def _expire(self) -> None:
        """The oldest go first; of one that is finished only its echo is waited for."""
        while self._packets:
            key, packet = next(iter(self._packets.items()))
            if self._now - packet.since_ns < (ECHO_NS if packet.done else LIFETIME_NS):
                return
            self._drop(key, "fragment_late")

    def _make_room(self) -> None:
        while len(self._packets) > MAX_WAITING or self._held > MAX_OCTETS:
            self._drop(next(iter(self._packets)), "fragment_flood")

    def _drop(self, key: bytes, why: str) -> None:
        packet = self._packets.pop(key)
        if not packet.done:
            self.refused[why] += 1
            self._finish(packet)


def _piece(fragments: Fragments, row: int) -> _Piece | None:
    start, at, end = int(fragments.packets[row]), int(fragments.at[row]), int(fragments.ends[row])
    header = fragments.octets[start:at].tobytes()
    if header[0] >> 4 == 4:
        field_ = int.from_bytes(header[6:8])
        offset, more = (field_ & 0x1FFF) * 8, bool(field_ & 0x2000)
        key = header[4:6] + header[9:10] + header[12:20]
        head = header[:6] + b"\0\0" + header[8:]
    else:
        extension = fragments.octets[at : at + 8].tobytes()
        field_ = int.from_bytes(extension[2:4])
        offset, more = field_ & 0xFFF8, bool(field_ & 1)
        key = extension[4:8] + header[8:40]
        # What is whole keeps its fragment header, which then says that there is no other.
        head = header + extension[:2] + b"\0\0" + extension[4:]
        at += 8
    data = fragments.octets[at:end].tobytes()
    alone = offset == 0 and not more
    if alone or not data or (more and len(data) % 8) or offset + len(data) > MAX_PACKET:
        return None
    return _Piece(key, head, offset, more, data)


def _fault(packet: _Packet, piece: _Piece) -> str | None:
    """Why a packet with this piece in it cannot be trusted."""
    end = piece.offset + len(piece.data)
    if len(packet.pieces) >= MAX_PIECES:
        return "fragment_flood"
    if any(piece.offset < at + len(data) and at < end for at, data in packet.pieces.items()):
        return "fragment_overlap"
    beyond = packet.total is not None and (end > packet.total or not piece.more)
    before = not piece.more and any(at >= end for at in packet.pieces)
    return "fragment_bad" if beyond or before else None


def _whole(head: bytes, data: bytes) -> bytes | None:
    """A packet with its length in place; none is longer than its field can say."""
    if head[0] >> 4 == 4:
        length = len(head) + len(data)
        head = head[:2] + min(length, MAX_PACKET + 1).to_bytes(4)[2:] + head[4:]
    else:
        length = len(head) - 40 + len(data)
        head = head[:4] + min(length, MAX_PACKET + 1).to_bytes(4)[2:] + head[6:]
    return head + data if length <= MAX_PACKET else None


def _frames(packets: list[tuple[bytes, int, int]]) -> FrameBatch:
    sizes = np.array([len(packet) for packet, _, _ in packets], np.int64)
    return FrameBatch(
        octets=np.frombuffer(b"".join(packet for packet, _, _ in packets), np.uint8),
        offsets=np.cumsum(sizes) - sizes,
        sizes=sizes,
        lengths=sizes,
        link_types=np.full(len(packets), LINK_TYPE_RAW),
        arrivals=np.array([arrival for _, arrival, _ in packets], np.int64),
        numbers=np.array([number for _, _, number in packets], np.int64),
    )


class Decapsulator:
    """Feed it frames; it gives their datagrams, those that came in fragments as well."""

    def __init__(self) -> None:
        self._reassembly = Reassembly()
        self._refused: Counter[str] = Counter()

    def feed(self, frames: FrameBatch) -> list[Datagrams]:
        """The datagrams that lie in the frames; where there are such, those put together in an arena of their own."""
        datagrams, fragments, refused = decapsulate(frames)
        self._refused += refused
        found = [datagrams]
        for _ in range(MAX_NESTED):
            if not len(fragments):
                break
            whole, fragments, refused = decapsulate(self._reassembly.add(fragments))
            self._refused += refused
            if len(whole):
                whole.rows[:] = -1
                found.append(whole)
        return found

    @property
    def refused(self) -> Counter[str]:
        """Frames and fragments that gave nothing, since the beginning, by kind."""
        return self._refused + self._reassembly.refused
