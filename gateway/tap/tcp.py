"""TCP streams as a tap sees them (RFC 9293): each direction by itself, put in order, and what is lost given up.

A tap cannot ask for anything again. Where a segment stays away for too long, the stream goes on behind the gap.
"""

from __future__ import annotations

from dataclasses import dataclass

GAP_NS = 3_000_000_000  # a sender repeats a lost segment after one second at first (RFC 6298 section 2)
MAX_HELD = 256 << 10  # octets behind a gap; more than a receive window of SIP connections
MAX_SEGMENTS = 512  # behind a gap; a segment of one octet costs as much as a large one
WINDOW = 4 << 20  # a sequence number farther away than any window is that of another connection
FIN, SYN, RST = 0x01, 0x02, 0x04
_MODULUS, _HALF = 1 << 32, 1 << 31


@dataclass(frozen=True, slots=True)
class Segment:
    """What one TCP segment says of its stream."""

    sequence: int
    flags: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets of the stream in order; after a gap, or where the beginning was not seen, they may begin anywhere."""

    octets: bytes
    after_gap: bool


class Stream:
    """One direction of a connection. Feed it segments; it gives the octets in their order, each once."""

    def __init__(self) -> None:
        self._first: int | None = None  # sequence number of the first octet, where the beginning was seen
        self._next: int | None = None  # sequence number of the octet that is due
        self._torn = True  # whether what comes next does not follow what was given
        self._behind: dict[int, bytes] = {}  # what waits behind a gap, by sequence number
        self._held = 0  # octets in it
        self._waits_since = 0
        self.over = False  # the sender has ended it, and all was given

    @property
    def waits(self) -> bool:
        return bool(self._behind)

    def feed(self, segment: Segment, now_ns: int) -> list[Piece]:
        start = segment.sequence
        if segment.flags & SYN:
            start = (start + 1) % _MODULUS
            if start != self._first:
                self._begin(start, torn=False)
                self._first = start
        elif self._next is None or abs(self._distance(start)) > WINDOW:
            self._begin(start, torn=True)
        pieces = self._place(start, segment.payload, now_ns)
        if self.waits and (self._full() or now_ns - self._waits_since >= GAP_NS):
            pieces += self.skip(now_ns)
        end = (start + len(segment.payload)) % _MODULUS
        if segment.flags & (FIN | RST) and self._distance(end) <= 0:
            self.over = True
        return pieces

    def skip(self, now_ns: int) -> list[Piece]:
        """Give up the first gap: what waits behind it."""
        if not self.waits:
            return []
        self._next = min(self._behind, key=self._distance)
        self._torn = True
        self._waits_since = now_ns
        return self._ready()

    def overdue(self, now_ns: int) -> bool:
        """Whether the gap is so old that nothing will fill it."""
        return self.waits and now_ns - self._waits_since >= GAP_NS

    def _begin(self, at: int, torn: bool) -> None:
        self._first, self._next, self._torn, self.over = None, at, torn, False
        self._behind.clear()
        self._held = 0

    def _distance(self, sequence: int) -> int:
        """How far after what is due, negative where before."""
        due = self._next if self._next is not None else 0
        return (sequence - due + _HALF) % _MODULUS - _HALF

    def _place(self, start: int, payload: bytes, now_ns: int) -> list[Piece]:
        ahead = self._distance(start)
        if ahead > 0:
            self._hold(start, payload, now_ns)
            return []
        fresh = payload[-ahead:] if ahead else payload
        if not fresh:
            return []
        pieces = [self._given(fresh)]
        return pieces + self._ready() if self.waits else pieces

    def _hold(self, start: int, payload: bytes, now_ns: int) -> None:
        """Of two segments that begin at one place the longer stays."""
        known = self._behind.get(start, b"")
        if len(payload) > len(known):
            if not self._behind:
                self._waits_since = now_ns
            self._behind[start] = payload
            self._held += len(payload) - len(known)

    def _given(self, octets: bytes) -> Piece:
        piece = Piece(octets, self._torn)
        self._torn = False
        self._next = ((self._next or 0) + len(octets)) % _MODULUS
        return piece

    def _ready(self) -> list[Piece]:
        """What no longer waits; the copy of an octet that came first in the stream is the one taken."""
        pieces = []
        for start in sorted(self._behind, key=self._distance):
            ahead = self._distance(start)
            if ahead > 0:
                break
            payload = self._behind.pop(start)
            self._held -= len(payload)
            if fresh := payload[-ahead:] if ahead else payload:
                pieces.append(self._given(fresh))
        return pieces

    def _full(self) -> bool:
        return self._held > MAX_HELD or len(self._behind) > MAX_SEGMENTS
