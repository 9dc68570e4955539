"""SRTP of all legs of a worker: the packets of one batch are opened by libsrtp, one after the other, without Python between them.

libsrtp checks and decrypts one packet a call, and the interpreter's own loop (`map`) makes the calls. It stops at a
packet that is strange, which is looked at by itself (`srtp.py`) before the next one is opened: what it tells of keys holds from there on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, compress, repeat
from operator import attrgetter
from typing import Any

import numpy as np
from pylibsrtp._binding import ffi, lib

from gateway.rtp.packets import (
    HEADER,
    REFUSED,
    RTCP_FIRST,
    RTCP_LAST,
    Ints,
    Octets,
    PacketBatch,
    first_of_each,
)
from gateway.rtp.srtp import NOBODY, REPLAYED, Opener, Stream
from gateway.rtp.suites import MasterKey

ROWS = 1024  # packets opened in one go; what they take stays near the processor
LONGEST = 1500  # octets of a packet: more than that the binding does not open either
WIDTH = 1504  # of a place: packets begin where words do
LOOKED_AT = -2
SEARCHES = 2  # packets of a leg and a batch for which rollovers are tried
# How long packets of a leg that has left SRTP may still come under its last keys: its sender hears of it later than we do.
LEAVING_NS = 2_000_000_000

# By what libsrtp says of a packet: whether it is looked at. It is not where it was opened, or came before.
STRANGE = [code not in (lib.srtp_err_status_ok, *REPLAYED) for code in range(64)]
_KNOWN, _POINTER, _MKI = attrgetter("known"), attrgetter("pointer"), attrgetter("mki")


class Openers:
    """The keys of all legs of a worker that carry SRTP."""

    def __init__(self, capacity: int) -> None:
        # Packets of known streams under a key that was not told.
        self.unreadable = np.zeros(capacity, np.int64)
        self._secured = np.zeros(capacity, np.bool_)
        self._openers: dict[int, Opener] = {}
        # Legs without SRTP from now on, and until when (ns) packets may be under way; 0 before one has come.
        self._leaving: dict[int, int] = {}
        self._desk: _Desk | None = None  # made when it is needed

    def secure(self, leg: int, keys: Sequence[MasterKey]) -> None:
        """The leg carries SRTP under these keys from now on; without any, RTP, and what is under way under the last keys."""
        self._leaving.pop(leg, None)
        if keys and leg in self._openers:
            self._openers[leg].rekey(keys)
        elif keys:
            self._openers[leg] = Opener(keys)
            self._secured[leg] = True
        elif leg in self._openers:
            self._leaving[leg] = 0

    def release(self, leg: int) -> None:
        """A leg is over, or has nothing under way any more: what comes is RTP."""
        self._secured[leg] = False
        self._leaving.pop(leg, None)
        self._openers.pop(leg, None)

    def open(self, batch: PacketBatch, faults: Counter[str]) -> None:
        """Decrypt a batch in place; sizes become those of plain RTP, or REFUSED, which is counted by its cause.

        SRTCP is left as it is, and so is what no key opens of a leg that leaves SRTP.
        """
        if not self._openers:
            return
        if self._leaving:
            self._leave(batch)
        second = batch.slots[:, 1]
        rows = np.flatnonzero(
            self._secured[batch.legs]
            & (batch.sizes >= HEADER.itemsize)
            & ((second < RTCP_FIRST) | (second > RTCP_LAST))
        )
        if not len(rows):
            return
        self._desk = self._desk or _Desk()
        searches: dict[int, int] = {}
        for start in range(0, len(rows), ROWS):
            self._open(self._desk, batch, rows[start : start + ROWS], faults, searches)
        for leg in searches:
            self._openers[leg].trim()

    def _open(
        self, desk: _Desk, batch: PacketBatch, rows: Ints, faults: Counter[str], searches: dict[int, int]
    ) -> None:
        """Some rows of a batch; `searches` is how many are left to each leg that had a strange packet."""
        legs = batch.legs[rows]
        ssrcs = np.ascontiguousarray(batch.slots[rows, 8:12]).view(">u4")[:, 0].astype(np.int64)
        starts = first_of_each(legs << 32 | ssrcs)
        known = map(_KNOWN, map(self._openers.__getitem__, legs[starts].tolist()))
        streams = map(dict.get, known, ssrcs[starts].tolist(), repeat(NOBODY))
        runs = _Runs([*streams], legs[starts] << 32 | ssrcs[starts], starts, len(rows))
        desk.lay(batch, rows)
        runs.cut_identifiers(desk)
        for index in desk.strange(runs.pointers):
            leg, ssrc, row = int(legs[index]), int(ssrcs[index]), int(rows[index])
            known_streams = self._openers[leg].known
            before = known_streams.get(ssrc)
            answer = self._look(leg, ssrc, batch.slots[row, : batch.sizes[row]].tobytes(), searches)
            if isinstance(answer, bytes):
                desk.put(index, answer)
            else:
                faults[answer] += 1
                desk.refuse(index)
            if (stream := known_streams.get(ssrc)) and stream is not before:
                runs.change(index, stream)
        if len(again := desk.replayed(len(rows))):
            again = again[~np.isin(legs[again], [*self._leaving])]
            faults["srtp_replay"] += len(again)
            desk.refuse(again)
        desk.clear(batch, rows)

    def _look(self, leg: int, ssrc: int, packet: bytes, searches: dict[int, int]) -> bytes | str:
        """A packet that is strange: the RTP packet, or what is wrong with it."""
        opener, leaving = self._openers[leg], leg in self._leaving
        left = searches.setdefault(leg, 0 if leaving else SEARCHES)
        answer = opener.open(packet, ssrc)
        if answer == "srtp_auth" and left and opener.searchable(ssrc):
            searches[leg] = left - 1
            answer = opener.search(packet, ssrc)
        if isinstance(answer, str) and leaving:
            return packet
        self.unreadable[leg] += answer == "srtp_auth" and opener.heard(ssrc)
        return answer

    def _leave(self, batch: PacketBatch) -> None:
        """Let go of the keys of legs that left SRTP a while ago."""
        for leg, until in [*self._leaving.items()]:
            arrivals = batch.arrivals[batch.legs == leg]
            if len(arrivals) and not until:
                self._leaving[leg] = int(arrivals[0]) + LEAVING_NS
            elif len(arrivals) and arrivals[0] > until:
                self.release(leg)


class _Desk:
    """Where packets lie while libsrtp works on them; those that it fails on are whole in the batch."""

    def __init__(self) -> None:
        self._octets: Octets = np.zeros((ROWS, WIDTH), np.uint8)
        self._sizes = np.zeros(ROWS, np.int32)
        # Sizes before libsrtp; LOOKED_AT of packets that were looked at.
        self._laid = np.zeros(ROWS, np.int32)
        self._width = 0  # octets of the longest packet that lies there
        octets = ffi.from_buffer("char[]", self._octets, require_writable=True)
        sizes = ffi.from_buffer("int[]", self._sizes, require_writable=True)
        self._held = octets, sizes  # pointers into them hold nothing
        self._places = [octets + row * WIDTH for row in range(ROWS)]
        self._size_places = [sizes + row for row in range(ROWS)]

    def lay(self, batch: PacketBatch, rows: Ints) -> None:
        """Put packets on the desk; one that is too long has no size there, so that it fails."""
        sizes = batch.sizes[rows]
        self._width = min(int(sizes.max()), LONGEST)
        self._octets[: len(rows), : self._width] = batch.slots[rows, : self._width]
        self._sizes[: len(rows)] = np.where(sizes <= LONGEST, sizes, 0)

    def cut_out(self, rows: Ints, named: Octets, tail: int) -> None:
        """Take out of packets the octets of one length that stand before the last `tail`; where they are others a packet fails."""
        length = named.shape[1]
        ends = self._sizes[rows] - tail
        whole = ends >= HEADER.itemsize + length
        at = np.where(whole, ends - length, 0)[:, None]
        own = whole & (self._octets[rows[:, None], at + np.arange(length)] == named).all(axis=1)
        self._sizes[rows] = np.where(own, self._sizes[rows] - length, 0)
        rows, at, behind = rows[own, None], at[own], np.arange(tail)
        self._octets[rows, at + behind] = self._octets[rows, at + length + behind]

    def strange(self, sessions: Sequence[Any]) -> Iterator[int]:
        """Open packet after packet, each with its session; gives those to look at, before the next one is opened."""
        self._laid[: len(sessions)] = self._sizes[: len(sessions)]
        codes = map(lib.srtp_unprotect, sessions, self._places, self._size_places)
        return compress(range(len(sessions)), map(STRANGE.__getitem__, codes))

    def replayed(self, count: int) -> Ints:
        """Of the first packets those that had come before: libsrtp takes nothing off them."""
        return np.flatnonzero(self._sizes[:count] == self._laid[:count])

    def put(self, index: int, packet: bytes) -> None:
        """What a packet is in truth; of one that is too long for the desk all else is in the batch."""
        octets = np.frombuffer(packet, np.uint8)[:LONGEST]
        self._octets[index, : len(octets)] = octets
        self._sizes[index], self._laid[index] = len(packet), LOOKED_AT

    def refuse(self, which: int | Ints) -> None:
        """Packets that are none."""
        self._sizes[which], self._laid[which] = REFUSED, LOOKED_AT

    def clear(self, batch: PacketBatch, rows: Ints) -> None:
        """Give the packets back."""
        batch.slots[rows, : self._width] = self._octets[: len(rows), : self._width]
        batch.sizes[rows] = self._sizes[: len(rows)]


class _Runs:
    """The packets on a desk that stand together and are of one stream, and what opens each of them."""

    def __init__(self, streams: list[Stream], names: Ints, starts: Ints, count: int) -> None:
        self._streams, self._names = streams, names  # by run; of one name are the runs of a leg's SSRC
        self._starts, self._stops = starts, np.append(starts[1:], count)
        runs = map(repeat, map(_POINTER, streams), (self._stops - starts).tolist())
        self.pointers: list[Any] = [*chain.from_iterable(runs)]  # by packet
        self._held: list[Stream] = []  # others that are pointed to: libsrtp's memory is theirs

    def cut_identifiers(self, desk: _Desk) -> None:
        """Take the key's identifier out of packets of streams that have one; a packet that names another key fails."""
        if not any(map(_MKI, self._streams)):
            return
        layouts = [(len(stream.mki), stream.tail) for stream in self._streams]
        for length, tail in {layout for layout in layouts if layout[0]}:
            runs = [run for run, layout in enumerate(layouts) if layout == (length, tail)]
            rows = np.concatenate([np.arange(self._starts[run], self._stops[run]) for run in runs])
            named = np.frombuffer(b"".join(self._streams[run].mki for run in runs), np.uint8)
            counts = self._stops[runs] - self._starts[runs]
            desk.cut_out(rows, np.repeat(named.reshape(-1, length), counts, axis=0), tail)

    def change(self, index: int, stream: Stream) -> None:
        """What opens the stream of this packet from the next one on."""
        self._held.append(stream)
        run = int(np.searchsorted(self._starts, index, "right")) - 1
        for each in (np.flatnonzero(self._names[run:] == self._names[run]) + run).tolist():
            rest = slice(max(index + 1, int(self._starts[each])), int(self._stops[each]))
            # Packets that look otherwise were laid out for another key, and are looked at one by one.
            fits = stream.laid_as(self._streams[each])
            self.pointers[rest] = [(stream if fits else NOBODY).pointer] * (rest.stop - rest.start)
