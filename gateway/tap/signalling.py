"""SIP messages out of the datagrams and segments that a tap sees, in their order, each once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from gateway.rtp.packets import Bools, Ints
from gateway.sip.errors import BadMessage
from gateway.sip.framing import StreamFramer
from gateway.sip.message import MAX_START_LINE
from gateway.tap.decapsulation import TCP, UDP
from gateway.tap.effects import Place, Unheard
from gateway.tap.frames import Datagrams, address_text
from gateway.tap.tcp import SYN, Piece, Segment, Stream
from gateway.tap.websocket import WebSocketFramer, handshake

SIP_PORTS = frozenset({5060, 5061})
MAX_MESSAGE = 65_535  # octets; the largest datagram, and what SIP over TCP keeps to
MAX_GAPS = 128  # connections that wait for a lost segment; the one that waits longest gives it up
MAX_STREAMS = 2_048  # directions of TCP connections; the one not heard of for longest makes room
ECHO_NS = 250_000_000  # both sides of a mirror see a message within this; a repetition takes 500 ms (RFC 3261 17.1.1.2)
MAX_ECHOES = 8_192  # messages remembered
SHORTEST = 16  # octets; fewer hold no start line

_TOKEN = rb"[\w.!%*+`'~-]{1,64}"
_START = (
    rb"(?:SIP/2\.0[ \t]+[1-6]\d\d[ \t\r\n]|" + _TOKEN + rb"[ \t]+\S[^\r\n]{0,8192}?[ \t]SIP/2\.0[ \t]*\r?\n)"
)
_BEGINS = re.compile(rb"[\r\n]*" + _START, re.IGNORECASE)
_LINE = re.compile(rb"(?:\A|(?<=\n))" + _START, re.IGNORECASE)
_TLS_RECORD = re.compile(rb"[\x14-\x17]\x03[\x00-\x04]")  # RFC 8446 section 5.1


@dataclass(frozen=True, slots=True)
class Overheard:
    """One SIP message that went by."""

    data: bytes = field(repr=False)  # with persons' numbers in it
    at_ns: int
    number: int  # of the frame that brought the end of it
    source: Place
    destination: Place
    transport: str  # udp, tcp


@dataclass(slots=True)
class _Direction:
    """One direction of a TCP connection, and the messages in it."""

    source: Place
    destination: Place
    stream: Stream = field(default_factory=Stream)
    framer: StreamFramer | WebSocketFramer | None = None  # none: a start line is being looked for
    tail: bytes = b""  # of what was looked through, an unfinished line
    secret: bool = False  # TLS


_Key = tuple[bytes, int, bytes, int]


class Signalling:
    """Feed it datagrams; it gives the SIP messages among them, and what of SIP could not be heard.

    A message is known by its first line, at whatever port. `ports` are those at which TLS is taken for SIP, and
    at which a connection is followed from its first segment on.
    """

    def __init__(self, ports: frozenset[int] = SIP_PORTS) -> None:
        self._ports = np.array(sorted(ports), np.int64)
        self._directions: dict[_Key, _Direction] = {}  # the one heard of last at the end
        self._waiting: dict[_Key, None] = {}  # those with a gap, the oldest first
        self._echoes: dict[bytes, int] = {}  # when each message was last heard, the oldest first

    def feed(self, arriving: Iterable[Datagrams]) -> list[Overheard | Unheard]:
        """What the datagrams tell, in the order of their times."""
        heard: list[Overheard | Unheard] = []
        for datagrams in arriving:
            if len(datagrams):
                heard += self._hear(datagrams)
                heard += self.pass_time(int(datagrams.arrivals.max()))
        heard.sort(key=lambda each: (each.at_ns, each.number))
        return heard

    def pass_time(self, now_ns: int) -> list[Overheard | Unheard]:
        """What follows of the time alone: gaps that nothing will fill any more."""
        heard: list[Overheard | Unheard] = []
        for key in [key for key in self._waiting if self._directions[key].stream.overdue(now_ns)]:
            heard += self._skip(key, now_ns)
        return heard

    def finish(self, now_ns: int) -> list[Overheard | Unheard]:
        """Nothing more will come: what still waits behind gaps."""
        heard: list[Overheard | Unheard] = []
        while self._waiting:
            heard += self._skip(next(iter(self._waiting)), now_ns)
        return heard

    def _hear(self, datagrams: Datagrams) -> list[Overheard | Unheard]:
        heard: list[Overheard | Unheard] = []
        for row in np.flatnonzero(self._of_interest(datagrams)).tolist():
            if datagrams.protocols[row] == UDP:
                data = datagrams.payload(row)
                if _BEGINS.match(data):
                    heard += self._once(self._overheard(datagrams, row, data))
            else:
                heard += self._segment(datagrams, row)
        return heard

    def _of_interest(self, datagrams: Datagrams) -> Bools:
        """Datagrams that may begin with a start line, and segments of connections that are or may be followed."""
        last = datagrams.octets.size - 1
        first = datagrams.octets[np.minimum(datagrams.offsets, last)]
        lower = first | 0x20
        text = (lower >= ord("a")) & (lower <= ord("z")) | (first == 13) | (first == 10)
        picked: Bools = text & (datagrams.sizes >= SHORTEST)
        segments = datagrams.protocols == TCP
        if segments.any():
            picked = picked | (segments & self._followed(datagrams, np.flatnonzero(picked & segments)))
        return picked

    def _followed(self, datagrams: Datagrams, text: Ints) -> Bools:
        """Segments of connections that are followed, or will be from one of those on that have text."""
        sources, destinations = datagrams.source_ports, datagrams.destination_ports
        named: Bools = np.isin(sources, self._ports) | np.isin(destinations, self._ports)
        pairs = sources << 16 | destinations
        known = {key[1] << 16 | key[3] for key in self._directions}
        rows = text[~named[text]]
        known |= {int(pairs[row]) for row in rows.tolist() if _begins(datagrams.payload(row))}
        return named | np.isin(pairs, np.fromiter(known, np.int64, len(known)))

    def _overheard(self, datagrams: Datagrams, row: int, data: bytes) -> Overheard:
        source, destination = _places(datagrams, row)
        return Overheard(
            data, int(datagrams.arrivals[row]), int(datagrams.numbers[row]), source, destination, "udp"
        )

    def _once(self, message: Overheard) -> list[Overheard]:
        """The message, unless a mirror has just shown it."""
        name = blake2b(message.data, digest_size=16).digest()
        known = self._echoes.pop(name, None)
        self._echoes[name] = message.at_ns
        if len(self._echoes) > MAX_ECHOES:
            del self._echoes[next(iter(self._echoes))]
        return [] if known is not None and abs(message.at_ns - known) < ECHO_NS else [message]

    def _segment(self, datagrams: Datagrams, row: int) -> list[Overheard | Unheard]:
        key = _key(datagrams, row)
        payload = datagrams.payload(row)
        header = int(datagrams.headers[row])
        flags = int(datagrams.octets[header + 13])
        direction = self._directions.pop(key, None)
        if direction is None:
            if not self._begins(datagrams, row, flags, payload):
                return []
            direction = _Direction(*_places(datagrams, row))
        self._directions[key] = direction
        self._make_room()
        header, at_ns, number = (
            datagrams.headers[row],
            int(datagrams.arrivals[row]),
            int(datagrams.numbers[row]),
        )
        sequence = int.from_bytes(datagrams.octets[header + 4 : header + 8].tobytes())
        segment = Segment(sequence, flags, payload)
        heard = self._read(key, direction.stream.feed(segment, at_ns), at_ns, number)
        if direction.stream.waits:
            self._waiting.setdefault(key)
        else:
            self._waiting.pop(key, None)
        if len(self._waiting) > MAX_GAPS:
            heard += self._skip(next(iter(self._waiting)), at_ns)
        if direction.stream.over:
            self._forget(key)
        return heard

    def _begins(self, datagrams: Datagrams, row: int, flags: int, payload: bytes) -> bool:
        """Whether a connection that is not known is followed from here: at a port of SIP, or with a start line."""
        if flags & SYN or payload:
            ports = (datagrams.source_ports[row], datagrams.destination_ports[row])
            if np.isin(ports, self._ports).any():
                return True
        return _begins(payload)

    def _read(self, key: _Key, pieces: list[Piece], at_ns: int, number: int) -> list[Overheard | Unheard]:
        direction = self._directions[key]
        heard: list[Overheard | Unheard] = []
        for piece in pieces:
            if piece.after_gap and direction.framer is not None and not direction.secret:
                heard.append(Unheard("tcp_gap", at_ns, number))
            if piece.after_gap:
                direction.framer, direction.tail = None, b""
            if direction.secret:
                continue
            if direction.framer is None and not direction.tail and _TLS_RECORD.match(piece.octets):
                heard += self._secret(key, at_ns, number)
                continue
            for data in self._framed(direction, piece.octets, heard, at_ns, number):
                heard += self._once(
                    Overheard(data, at_ns, number, direction.source, direction.destination, "tcp")
                )
        return heard

    def _framed(
        self, direction: _Direction, octets: bytes, heard: list[Overheard | Unheard], at_ns: int, number: int
    ) -> list[bytes]:
        """The messages that these octets end; after what cannot be read the next start line is looked for."""
        if direction.framer is None and (size := handshake(octets)):
            direction.framer, direction.tail = WebSocketFramer(MAX_MESSAGE), b""
            octets = octets[size:]
        if direction.framer is None:
            octets = direction.tail + octets
            found = _LINE.search(octets)
            if not found:
                line = octets[octets.rfind(b"\n") + 1 :]
                direction.tail = line if len(line) <= MAX_START_LINE else b""
                return []
            direction.framer, direction.tail = StreamFramer(MAX_MESSAGE), b""
            octets = octets[found.start() :]
        try:
            messages = direction.framer.feed(octets)
        except BadMessage:
            messages = []
        if direction.framer.broken:
            heard.append(Unheard("bad_sip", at_ns, number))
            direction.framer = None
        return messages

    def _secret(self, key: _Key, at_ns: int, number: int) -> list[Unheard]:
        """TLS at a port of SIP; told once a connection."""
        self._directions[key].secret = True
        other = self._directions.get((key[2], key[3], key[0], key[1]))
        return [] if other and other.secret else [Unheard("sip_tls", at_ns, number)]

    def _skip(self, key: _Key, now_ns: int) -> list[Overheard | Unheard]:
        stream = self._directions[key].stream
        heard = self._read(key, stream.skip(now_ns), now_ns, 0)
        if not stream.waits:
            self._waiting.pop(key, None)
        return heard

    def _make_room(self) -> None:
        if len(self._directions) > MAX_STREAMS:
            self._forget(next(iter(self._directions)))

    def _forget(self, key: _Key) -> None:
        del self._directions[key]
        self._waiting.pop(key, None)


def _begins(payload: bytes) -> bool:
    """Whether a connection carries SIP from here on, in plain or in WebSockets."""
    return bool(_BEGINS.match(payload)) or handshake(payload) is not None


def _key(datagrams: Datagrams, row: int) -> _Key:
    return (
        datagrams.sources[row].tobytes(),
        int(datagrams.source_ports[row]),
        datagrams.destinations[row].tobytes(),
        int(datagrams.destination_ports[row]),
    )


def _places(datagrams: Datagrams, row: int) -> tuple[Place, Place]:
    source, source_port, destination, destination_port = _key(datagrams, row)
    return (address_text(source), source_port), (address_text(destination), destination_port)
