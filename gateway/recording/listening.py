"""Listening to what waits in the hold-back, for keys that sound in the audio.

A leg is looked at whenever its call is about to be committed, as far as its packets have settled into order.
Legs of G.711 without loss go through the detector together; others are decoded one by one. What one look cannot
see is looked at once more by itself: packets that came after their place was passed, and the end of a stream
that stopped. Around every key that was heard, in whatever way, the call's other legs and its own are searched for
what is left of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from gateway.codecs.g711 import A_LAW, MU_LAW, Table
from gateway.recording.narrowband import LONGEST_GAP_NS, Run, Voice, runs
from gateway.recording.origins import Pressed, in_order
from gateway.redaction.digit import Digit
from gateway.redaction.holdback import Rings
from gateway.redaction.homes import Due
from gateway.redaction.inband import Found, Listener
from gateway.redaction.inband_echo import echoes
from gateway.redaction.inband_exact import RATE, Reals
from gateway.redaction.inband_runs import Gap
from gateway.rtp.formats import AUDIO
from gateway.rtp.packets import Bools, Ints, Octets
from gateway.rtp.sequence import LegTable
from gateway.rtp.tones import Tone

INBAND = "inband"
NO_TYPE = -1  # payload type of a tone that is no telephone-event: its ticks are the audio's
NS = 1_000_000_000
SETTLE_NS = 120_000_000  # packets that are out of order by less come in their order
STALL_NS = 200_000_000  # a leg that brings nothing for so long is looked at up to its end
AGAIN_SLOTS = 12  # looked at around a packet that came late: 120 ms on either side at least
MAX_MISSING = 256  # slots of a leg whose packets may still come late: some seconds' loss of one in two
# Where a key's tones may sound besides: they are there before signalling tells, and an echo comes after.
BEFORE_NS, AFTER_NS = 100_000_000, 600_000_000
SIGNALLING_NS = 1_000_000_000  # and so long before INFO tells, which goes another way
NOBODY = -1  # the leg of a key that signalling told of
MAX_SEARCHES = 32  # of a leg at once: more keys than anybody presses in AFTER_NS
UNSET = -(1 << 62)
SLACK = 2  # samples by which rounding may make packets overlap
LONGEST_GAP = LONGEST_GAP_NS * RATE // NS
BEYOND = RATE // 20  # the end of a stream is looked at as if as much of it had been lost
ROWS = 64  # legs at a time: what the detector works on stays in the processor's caches
OTHER, A, MU = 1, 2, 3  # ways to decode a payload; 0 is not known yet


def _pairs(table: Table) -> Reals:
    """What two octets say, at once: float32 pairs, as one 64-bit item each."""
    codes = np.arange(65_536, dtype=np.uint16).view(np.uint8).reshape(-1, 2)
    return np.ascontiguousarray(table.astype(np.float32)[codes]).view(np.float64)[:, 0]


PAIRS = {A: _pairs(A_LAW.table), MU: _pairs(MU_LAW.table)}


@dataclass(slots=True)
class _Search:
    """A key that was heard on some leg, to be looked for on one; arrival times, ns."""

    leg: int
    start: int  # RTP time on that leg, by which it is known again
    digit: Digit
    since: int
    until: int


class Listening:
    """What has been listened to, of all legs of a worker; `siblings` gives the legs of a leg's call."""

    def __init__(
        self, table: LegTable, where: str, hold_back_ns: int, siblings: Callable[[int], Sequence[int]]
    ) -> None:
        self._table = table
        self._where = where
        self._siblings = siblings
        self._settle_ns = min(SETTLE_NS, hold_back_ns // 3)
        self._listener = Listener(table.capacity)
        self._next = np.zeros(table.capacity, np.int64)  # slot
        self._media = np.full(table.capacity, UNSET, np.int64)  # RTP time that follows what was heard
        self._origin = np.zeros(table.capacity, np.int64)  # RTP time of the listener's position 0
        # Of what is heard without a break: its first slot, and the one after its last as yet.
        self._slots = np.zeros((table.capacity, 2), np.int64)
        self._rate = np.full(table.capacity, RATE, np.int64)  # Hz, of RTP time
        self._ways = np.zeros((table.capacity, 256), np.uint8)
        self._voices: dict[int, Voice] = {}
        self._missing: dict[int, dict[int, None]] = {}  # slots, in order
        self._ended = np.full(table.capacity, -1, np.int64)  # slot after the last, where an end was looked at
        self._straight = np.zeros(
            table.capacity, np.int64
        )  # slot up to which packets were out of order, last time
        self._searches: dict[int, list[_Search]] = {}

    def forget(self, leg: int) -> None:
        """The leg's number is free for another."""
        self._next[leg] = 0
        self._ended[leg] = -1
        self._ways[leg] = self._straight[leg] = 0
        self._media[leg] = UNSET
        self._listener.reset(leg)
        self._voices.pop(leg, None)
        self._missing.pop(leg, None)
        self._searches.pop(leg, None)

    def look(self, legs: Ints, now: int, final: bool = False) -> list[Tone]:
        """The tones in what came of some legs until now (ns); `final`: nothing more will."""
        if self._where == "never" or not len(legs):
            return []
        watched = legs if self._where == "always" else legs[~self._table.has_events(legs)]
        until = now if final else now - self._settle_ns
        tones: list[Tone] = []
        stalled = np.ones(len(watched), np.bool_)
        for due in self._table.due(watched, self._next[watched], until):
            stalled[due.legs] = False
            tones += self._hear(watched[due.legs], due)
        silent = self._table.last_arrival[watched] <= now - STALL_NS
        ended = (stalled & silent) | final
        for leg in watched[ended & (self._ended[watched] != self._next[watched])].tolist():
            self._ended[leg] = self._next[leg]
            tones += self._look_again(leg, int(self._next[leg]) - AGAIN_SLOTS, int(self._next[leg]))
        straight = self._table.steady.straight[legs]
        disordered = (straight != self._straight[legs]) | (straight > self._table.highest[legs])
        self._straight[legs] = straight
        for leg in [leg for leg in legs[disordered].tolist() if leg in self._missing]:
            tones += self._look_at_late(leg)
        for leg in [leg for leg in legs.tolist() if leg in self._searches]:
            tones += self._search(leg, until)
        presses = [self._pressed(tone, now) for tone in tones if tone.digit is not None]
        return [tone for tone in tones if tone.digit is None] + in_order(presses)

    def _pressed(self, tone: Tone, now: int) -> Pressed:
        came = self._table.arrived(tone.leg, tone.slot) or now
        lasts = tone.ticks * NS // int(self._rate[tone.leg])
        return Pressed(tone, min(self._siblings(tone.leg)), came - lasts)

    def told(self, tone: Tone, came: int, lasts_ns: int) -> None:
        """A telephone-event was heard, whose key sounds in the audio perhaps as well; it came at a time (ns)."""
        self._seek(self._siblings(tone.leg), tone.leg, tone.start, tone.digit, came - lasts_ns, came)

    def signalled(self, legs: Sequence[int], digit: Digit, since: int, until: int) -> None:
        """Signalling told of a key of a call with these legs, which it was sounding between two times (ns) at the latest."""
        self._seek(legs, NOBODY, until, digit, since - SIGNALLING_NS, until)

    def _hear(self, legs: Ints, due: Due) -> list[Tone]:
        """Listen to the packets that are due of some legs."""
        counts = np.bincount(due.rows, minlength=len(legs))
        some = np.flatnonzero(counts)
        legs, counts, passed = legs[some], counts[some], due.passed[some]
        starts = np.cumsum(counts) - counts
        rows = np.repeat(np.arange(len(legs)), counts)
        alike, way, size = self._alike(legs, starts, rows, due)
        self._miss(legs, starts, rows, due.rings.slot[due.cells] - 1)
        tones: list[Tone] = []
        for law, octets in np.unique(np.stack((way, size), axis=1)[alike], axis=0).tolist():
            mine = np.flatnonzero(alike & (way == law) & (size == octets))
            for at in range(0, len(mine), ROWS):
                few = mine[at : at + ROWS]
                first = np.cumsum(counts[few]) - counts[few]
                which = np.repeat(starts[few] - first, counts[few]) + np.arange(counts[few].sum())
                tones += self._hear_alike(legs[few], first, due.rings, due.cells[which], octets, PAIRS[law])
        for index in np.flatnonzero(~alike).tolist():
            cells = due.cells[starts[index] : starts[index] + counts[index]]
            tones += self._hear_alone(int(legs[index]), cells)
        self._next[legs] = passed
        return tones

    def _alike(self, legs: Ints, starts: Ints, rows: Ints, due: Due) -> tuple[Bools, Ints, Ints]:
        """Which legs go on, losses apart, in packets of one size and one law of G.711, and which those are."""
        rings, cells = due.rings, due.cells
        ways = self._ways_of(legs[rows], rings.kind[cells]).astype(np.int64)
        sizes = rings.size[cells].astype(np.int64)
        ahead = np.diff(rings.media[cells], prepend=0) - sizes
        follows = (ahead >= 0) & (ahead <= LONGEST_GAP)
        follows[1:] &= (sizes[1:] == sizes[:-1]) & (ways[1:] == ways[:-1])
        ahead = rings.media[cells[starts]] - self._media[legs]
        follows[starts] = (self._media[legs] == UNSET) | ((ahead >= 0) & (ahead <= LONGEST_GAP))
        way, size = ways[starts], sizes[starts]
        alike = np.logical_and.reduceat(follows, starts) & (way >= A) & (size > 0) & (size % 2 == 0)
        return alike, way, size

    def _miss(self, legs: Ints, starts: Ints, rows: Ints, slots: Ints) -> None:
        """Remember the slots that are passed over: their packets may come yet."""
        before = np.append(-1, slots[:-1])
        before[starts] = np.where(self._media[legs] == UNSET, slots[starts], self._next[legs]) - 1
        for index in np.flatnonzero(slots - before > 1).tolist():
            missing = self._missing.setdefault(int(legs[rows[index]]), {})
            missing.update(dict.fromkeys(range(int(before[index]) + 1, int(slots[index]))))
            for slot in list(missing)[: max(0, len(missing) - MAX_MISSING)]:
                del missing[slot]

    def _ways_of(self, legs: Ints, kinds: Octets) -> Octets:
        """How each packet is decoded."""
        ways = self._ways[legs, kinds]
        if not ways.all():
            unknown = ways == 0
            for leg, kind in np.unique(np.stack((legs[unknown], kinds[unknown]), axis=1), axis=0).tolist():
                name = self._table.codec(leg, kind).name if kind >= AUDIO else ""
                self._ways[leg, kind] = {"PCMA": A, "PCMU": MU}.get(name, OTHER)
            ways = self._ways[legs, kinds]
        return ways

    def _hear_alike(
        self, legs: Ints, first: Ints, rings: Rings, cells: Ints, size: int, pairs: Reals
    ) -> list[Tone]:
        """Legs of one law of G.711 and one size of packets; `first` is the first packet of each."""
        media, slots = rings.media[cells], rings.slot[cells] - 1
        for index in np.flatnonzero(self._media[legs] == UNSET).tolist():
            self._begin(int(legs[index]), int(media[first[index]]), RATE)
            self._slots[legs[index], 0] = slots[first[index]]
        before, after = self._media[legs], np.append(media[first[1:] - 1], media[-1]) + size
        self._media[legs] = after
        self._slots[legs, 1] = slots[np.append(first[1:] - 1, -1)] + 1
        spans, rows = after - before, np.repeat(np.arange(len(legs)), np.diff(np.append(first, len(cells))))
        octets = rings.payload[cells, :size]
        pcm = pairs.take(octets.view(np.uint16), mode="clip").view(np.float32)
        if pcm.size == len(legs) * spans[0] and (spans == spans[0]).all():
            return self._tones(self._listener.find(pcm.reshape(len(legs), -1), legs, spans))
        places = media - before[rows]
        wave = np.zeros((len(legs), int(spans.max())), np.float32)
        wave.ravel()[(places + rows * wave.shape[1])[:, None] + np.arange(size)] = pcm
        ends = np.append(0, places[:-1] + size)
        ends[first] = 0
        gaps = []
        for index in np.flatnonzero(places > ends).tolist():
            leg = int(legs[rows[index]])
            position = self._listener.position(leg)
            gaps.append(Gap(leg, position + int(ends[index]), position + int(places[index])))
        return self._tones(self._listener.find(wave, legs, spans, gaps))

    def _hear_alone(self, leg: int, cells: Ints) -> list[Tone]:
        """A leg that is not like the others: another codec, or breaks in its time."""
        tones: list[Tone] = []
        for run in runs(self._table, leg, cells, self._voices.get(leg)):
            lead = (run.media - int(self._origin[leg])) * RATE // run.rate - self._listener.position(leg)
            known = self._media[leg] != UNSET
            if not (known and run.rate == self._rate[leg] and -SLACK <= lead <= LONGEST_GAP):
                if known:  # what was heard last ends here
                    tones += self._look_again(leg, int(self._next[leg]) - AGAIN_SLOTS, int(self._next[leg]))
                self._begin(leg, run.media, run.rate, run.voice)
                self._slots[leg, 0] = run.slots[0]
                lead = 0
            self._slots[leg, 1] = run.slots[1]
            position = self._listener.position(leg) + lead
            gaps = [Gap(leg, position - lead, position)] if lead > 0 else []
            gaps += [Gap(leg, position + start, position + stop) for start, stop in run.gaps]
            wave = np.concatenate((np.zeros(max(lead, 0), np.float32), run.wave[max(-lead, 0) :]))
            found = self._listener.find(wave[None], np.array([leg]), np.array([len(wave)]), gaps)
            tones += self._tones(found)
            self._media[leg] = run.end
            self._voices[leg] = run.voice
        return tones

    def _look_at_late(self, leg: int) -> list[Tone]:
        """Look at packets that came after their place was passed, with their neighbours."""
        missing = self._missing[leg]
        came = set(self._table.between(leg, min(missing), max(missing) + 1)[0].tolist())
        committed = int(self._table.committed[leg])
        self._missing[leg] = {slot: None for slot in missing if slot >= committed and slot not in came}
        if not self._missing[leg]:
            del self._missing[leg]
        late = sorted(came.intersection(missing))
        tones: list[Tone] = []
        for slot in late:
            tones += self._look_again(leg, slot - AGAIN_SLOTS, slot + AGAIN_SLOTS)
        return tones

    def _look_again(self, leg: int, first: int, stop: int) -> list[Tone]:
        """Mask the tones in some slots of a leg, as if nothing came before or after; their keys are not told."""
        tones: list[Tone] = []
        for run in runs(self._table, leg, self._table.between(leg, first, stop)[1]):
            wave = np.concatenate((run.wave, np.zeros(BEYOND + RATE // 20, np.float32)))
            gaps = [
                Gap(0, start, stop) for start, stop in (*run.gaps, (len(run.wave), len(run.wave) + BEYOND))
            ]
            listener = Listener(1)
            listener.reset(0, run.voice.coded, run.voice.adaptive)
            found = listener.find(wave[None], np.array([0]), np.array([len(wave)]), gaps)
            for tone in found:
                tones += self._mask(leg, run, tone.start, min(tone.stop, len(run.wave)), tone.digit)
        return tones

    def _search(self, leg: int, until: int) -> Iterator[Tone]:
        """Look for keys that were heard elsewhere in what a leg has brought so far."""
        _, cells = self._table.between(leg, 0, int(self._table.highest[leg]) + 1)
        arrivals = self._table.ring(leg).arrival[cells] if len(cells) else cells
        for search in self._searches[leg]:
            here = cells[
                (arrivals >= search.since - BEFORE_NS) & (arrivals <= min(until, search.until + AFTER_NS))
            ]
            for run in runs(self._table, leg, here):
                for start, stop in echoes(run.wave, search.digit):
                    yield from self._mask(leg, run, start, stop)
        going = [search for search in self._searches[leg] if search.until + AFTER_NS > until]
        self._searches[leg] = going
        if not going:
            del self._searches[leg]

    def _seek(
        self, legs: Sequence[int], leg: int, start: int, digit: Digit | None, since: int, until: int
    ) -> None:
        """Search some legs for a key that sounded on one of their call; told again, it has lasted longer."""
        for sibling in legs:
            searches = self._searches.setdefault(sibling, [])
            for search in searches:
                if (search.leg, search.start) == (leg, start):
                    search.until = max(search.until, until)
                    break
            else:
                if digit is not None and len(searches) < MAX_SEARCHES:
                    searches.append(_Search(leg, start, digit, since, until))
            if not searches:
                del self._searches[sibling]

    def _mask(self, leg: int, run: Run, start: int, stop: int, key: Digit | None = None) -> Iterator[Tone]:
        """A tone at some samples of a run; one whose key is given is looked for on the other legs."""
        if stop > start:
            begin = run.media + start * run.rate // RATE
            tone = self._tone(leg, begin, -(-(stop - start) * run.rate // RATE), None, *run.slots)
            if key is not None:
                self._spread(tone, run.rate, key)
            yield tone

    def _tones(self, found: Sequence[Found]) -> list[Tone]:
        tones = []
        for each in found:
            leg, rate = each.row, int(self._rate[each.row])
            begin = int(self._origin[leg]) + each.start * rate // RATE
            ticks = -(-(each.stop - each.start) * rate // RATE)
            tone = self._tone(
                leg, begin, ticks, each.digit if each.press else None, *self._slots[leg].tolist()
            )
            tones.append(replace(tone, power=each.power))
            self._spread(tones[-1], rate, each.digit)
        return tones

    def _tone(self, leg: int, start: int, ticks: int, digit: Digit | None, first: int, stop: int) -> Tone:
        """Told of by the packet in which it ends, of those in some slots of one stream."""
        slots, cells = self._table.between(leg, first, stop)
        rings = self._table.ring(leg)
        before = np.flatnonzero((rings.kind[cells] >= AUDIO) & (rings.media[cells] < start + ticks))
        slot = int(slots[before[-1]]) if len(before) else stop - 1
        return Tone(leg, slot, start, ticks, NO_TYPE, digit, INBAND)

    def _spread(self, tone: Tone, rate: int, key: Digit) -> None:
        """Search for a key that was found in the audio; on its own leg where a codec, or a loss, may have hidden part of it."""
        leg, came = tone.leg, self._table.arrived(tone.leg, tone.slot)
        if came is not None:
            whole = leg not in self._voices or not self._voices[leg].adaptive
            legs = [each for each in self._siblings(leg) if each != leg or not whole]
            self._seek(legs, leg, tone.start, key, came - tone.ticks * NS // rate, came)

    def _begin(self, leg: int, media: int, rate: int, voice: Voice | None = None) -> None:
        """A stream, or a part of it after a break, begins at an RTP time."""
        self._listener.reset(leg, *(voice.coded, voice.adaptive) if voice else ())
        self._origin[leg], self._media[leg], self._rate[leg] = media, media, rate
        self._voices.pop(leg, None)
