"""Telephone-events (RFC 4733): when a key sounds, and once a press which."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gateway.redaction.digit import Digit
from gateway.rtp.packets import Ints, Octets, RtpColumns

LONGEST = 0xFFFF  # ticks an event may tell of; one that lasts longer goes on in a further segment
MAX_PACKED = 8  # events of one packet that are read
RECENT = 16  # events by whose start a late or repeated packet is known again: some seconds of fast keying
# Presses of a leg that are told apart. A person needs an hour without rest for so many; the tones after them
# are one tone that grows, so that a flood of events costs no memory.
MAX_PRESSES = 4096


@dataclass(frozen=True, slots=True)
class Tone:
    """A key that sounds, or another telephone-event, as far as it has come, in RTP time."""

    leg: int
    slot: int  # of the packet that told of it
    start: int
    ticks: int  # it lasts, as yet; of the clock of its payload type
    payload_type: int
    digit: Digit | None = None  # told once a press; None afterwards, and for events that are no key
    way: str = "rfc4733"
    power: float = 0.0  # dB, of one found in the audio


@dataclass(frozen=True, slots=True)
class _Told:
    """One event as a packet tells of it (RFC 4733 section 2.3)."""

    code: int = field(repr=False)  # which key
    ended: bool
    before: int  # ticks from the packet's timestamp to its start
    ticks: int


@dataclass(slots=True)
class _Track:
    """What of a leg's events is needed to know them again."""

    recent: deque[int] = field(default_factory=lambda: deque(maxlen=RECENT))  # starts
    start: int = 0  # of the latest event
    ticks: int = 0
    code: int | None = field(default=None, repr=False)  # of it, until its end is told
    presses: int = 0
    flood: tuple[int, int] | None = None  # the tone that grows: from and to

    def tells(self, start: int, told: _Told) -> bool:
        """Take a report of the event that begins at `start`; is it a press not told of before?"""
        known = start in self.recent
        new = not known and not self._goes_on(start, told)
        self.presses += new
        if not known:
            self.recent.append(start)
        if start > self.start or (start == self.start and not known):
            self.start, self.ticks, self.code = start, told.ticks, told.code
        if start == self.start:
            self.ticks = max(self.ticks, told.ticks)
            self.code = None if told.ended else self.code
        return new

    def _goes_on(self, start: int, told: _Told) -> bool:
        """Whether this is a further segment of the latest event (section 2.5.1.3).

        So are packets of senders that give each one a timestamp of its own. A packet lost between two segments
        hides that the first had its full length, not where the second begins.
        """
        if self.code != told.code or start < self.start:
            return False
        return start <= self.start + self.ticks or self.ticks == LONGEST or start == self.start + LONGEST

    def flooded(self, start: int, stop: int) -> tuple[int, int]:
        self.flood = (min(start, self.flood[0]), max(stop, self.flood[1])) if self.flood else (start, stop)
        return self.flood


class Events:
    """The telephone-events of all legs of a worker."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def restart(self, leg: int) -> None:
        """The leg carries another stream from now on, whose time is another."""
        if track := self._tracks.get(leg):
            track.recent.clear()
            track.code = track.flood = None
            track.start = track.ticks = 0

    def close(self, leg: int) -> None:
        self._tracks.pop(leg, None)

    def tones(self, packets: RtpColumns, slots: Octets, slot: Ints, media: Ints, which: Ints) -> list[Tone]:
        """The tones that some packets tell of, an event once; few, so one by one.

        Of events that share a packet each tone begins where the first does: they follow each other without a
        gap (section 2.5.1.5), and so it is no matter by which clock their durations are told.
        """
        tones: dict[tuple[int, int | None], Tone] = {}
        for index in which.tolist():
            leg, start = int(packets.legs[index]), int(media[index])
            row, offset, size = (
                int(column[index]) for column in (packets.rows, packets.offset, packets.size)
            )
            track = self._tracks.setdefault(leg, _Track())
            for told in _read(slots[row, offset : offset + size].tobytes()):
                new = track.tells(start + told.before, told)
                tone = Tone(
                    leg, int(slot[index]), start, told.before + told.ticks, int(packets.payload_type[index]),
                    Digit(told.code) if new and told.code < len(Digit) else None,
                )  # fmt: skip
                key: tuple[int, int | None] = (leg, start + told.before)
                if track.presses > MAX_PRESSES:
                    first, last = track.flooded(start, start + tone.ticks)
                    tone, key = replace(tone, start=first, ticks=last - first, digit=None), (leg, None)
                tones[key] = _later(tones[key], tone) if key in tones else tone
        return list(tones.values())


def _later(tone: Tone, report: Tone) -> Tone:
    """A tone with what a further packet of the batch tells of it."""
    return replace(
        report, slot=max(tone.slot, report.slot), ticks=max(tone.ticks, report.ticks), digit=tone.digit
    )


def _read(payload: bytes) -> Iterator[_Told]:
    before = 0
    last = len(payload) // 4 - 1
    for place in range(min(last + 1, MAX_PACKED)):
        code, flags, *duration = payload[4 * place : 4 * place + 4]
        ticks = max(int.from_bytes(duration, "big"), 1)
        # Whatever its mark says, an event that another one follows has ended.
        yield _Told(code, bool(flags & 0x80) or place < last, before, ticks)
        before += ticks
