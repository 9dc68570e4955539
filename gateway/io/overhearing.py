"""The taps of a media worker: rings become packets of legs, and SIP messages for the control process.

Signalling goes to the control process from here, and not from a second socket with a filter of its own: only what takes
tunnels, fragments and TCP streams apart knows which frames are SIP, that is done once, and what is heard of a call keeps its
order with the call's audio. Of media nothing goes there. While the control process is behind, messages wait up to a limit,
and beyond it are counted and lost.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from gateway.io.ring import Ring
from gateway.io.tap_messages import Attach, AudioAlone, Passed, Refusals, TapMessage, TapReport, Unfollowed
from gateway.recording.messages import MediaFlow
from gateway.rtp.packets import PacketBatch
from gateway.tap.effects import Unheard
from gateway.tap.flows import NEVER, Flows, Limits
from gateway.tap.fragments import Decapsulator
from gateway.tap.frames import Datagrams
from gateway.tap.signalling import Overheard, Signalling

MAX_DRAINS = 64  # of one ring in a tick: one that is flooded faster than it is read ends no tick
# Telephones that register and ask whether somebody is there are most of what a system says: calls do not depend on it.
OF_NO_CALL = re.compile(
    rb"^CSeq[ \t]*:[ \t]*\d+[ \t]+(?:REGISTER|OPTIONS|SUBSCRIBE|NOTIFY|PUBLISH|MESSAGE)\b",
    re.IGNORECASE | re.MULTILINE,
)
MAX_WAITING = 4096  # messages: ten seconds of a hundred calls a second


class Overhearing:
    """One tap: its rings, and the legs that it is listened to for."""

    def __init__(self, attach: Attach, handles: Sequence[int]) -> None:
        self._tap = attach.tap
        self._rings = [
            Ring(handle, attach.megabytes, link_type)
            for handle, link_type in zip(handles, attach.link_types, strict=True)
        ]
        self._flows = Flows(Limits(attach.early_ns, attach.early_bytes))
        self._signalling = Signalling(frozenset(attach.ports))
        self._decapsulator = Decapsulator()
        self._refused: Counter[str] = Counter()  # as last told
        self._octets = self._media = self._sip = self._unheard = 0
        self._heard: list[Passed | Unfollowed] = []

    def set(self, leg: int, flow: MediaFlow, agreed_ns: int | None = None, began_ns: int = NEVER) -> None:
        """A leg takes the packets of this flow from now on; it was agreed on at a time, or just now, in a call that began."""
        self._flows.set(leg, flow, agreed_ns, began_ns)

    def ending(self, leg: int, at_ns: int) -> None:
        self._flows.ending(leg, at_ns)

    def release(self, leg: int) -> None:
        self._flows.release(leg)

    def early(self) -> list[PacketBatch]:
        """What came before its leg was there, of legs that are new."""
        return self._flows.early()

    def drain(self) -> Iterator[PacketBatch]:
        """Packets of legs, from all that waits; each batch is good until the next."""
        for ring in self._rings:
            for _ in range(MAX_DRAINS):
                frames, more = ring.drain()
                self._octets += int(frames.lengths.sum())
                yield from self._hear(self._decapsulator.feed(frames))
                if not more:
                    break

    def messages(self, behind: bool) -> list[Passed | Unfollowed]:
        """What was heard since this was last asked; while the control process is `behind` it is kept, within bounds."""
        if behind:
            lost = self._heard[:-MAX_WAITING]
            self._heard = self._heard[len(lost) :]
            self._unheard += len(lost)
            return []
        heard, self._heard = self._heard, []
        return sorted(heard, key=lambda each: each.at_ns)  # of several rings

    def report(self) -> list[TapMessage]:
        """What was seen since this was last asked."""
        counts = [ring.counts() for ring in self._rings]
        refused = self._decapsulator.refused
        news = refused - self._refused
        self._refused = refused
        told = TapReport(
            self._tap,
            sum(each.packets for each in counts),
            sum(each.dropped for each in counts),
            self._octets,
            self._sip,
            self._media,
            self._unheard,
            self._flows.dropped_early,
            tuple(Refusals(kind, count) for kind, count in news.items()),
        )
        self._octets = self._media = self._sip = self._unheard = self._flows.dropped_early = 0
        alone = (
            AudioAlone(self._tap, each.began_ns, each.ended_ns, *each.places[0], *each.places[1])
            for each in self._flows.unsignalled.ended()
        )
        return [told, *alone]

    def _hear(self, arriving: Sequence[Datagrams]) -> Iterator[PacketBatch]:
        for each in self._signalling.feed(arriving):
            self._sip += isinstance(each, Overheard)
            if isinstance(each, Unheard) or not OF_NO_CALL.search(each.data):
                self._heard.append(self._message(each))
        now = time.monotonic_ns()
        for datagrams in arriving:
            batch = self._flows.take(datagrams, now)
            if batch is not None:
                self._media += len(batch)
                yield batch

    def _message(self, heard: Overheard | Unheard) -> Passed | Unfollowed:
        if isinstance(heard, Unheard):
            return Unfollowed(self._tap, heard.kind, heard.at_ns, heard.number)
        return Passed(
            self._tap, heard.at_ns, heard.number, *heard.source, *heard.destination, heard.transport,
            heard.data.decode("latin-1"),
        )  # fmt: skip
