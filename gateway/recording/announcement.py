"""What is said of a call's announcement: which notice was heard on which leg, or why nobody can tell.

A notice that was not heard may lie where there is no audio to hear it in. Then a call is not measured, rather than
unannounced; so it is, too, where what was heard and what is hidden may be a whole notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.recording.model import (
    UNITS_PER_SECOND,
    Announcement,
    AnnouncementState,
    Cause,
    LegReport,
    Redaction,
    Role,
)
from gateway.recording.notice import CHANCE_SECONDS, LONGEST_SECONDS, RATE, Heard, Reference, Spectrum, search
from gateway.redaction.timeline import Span, Timeline

assert RATE == UNITS_PER_SECOND, "places in the audio are times of the call clock"

LOST_PERCENT = 30  # of a leg's packets: with more missing a notice is not surely recognised
LEAST_HIDDEN = UNITS_PER_SECOND  # a shorter hole hides no notice

Frames = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Demand:
    """What counts as announced."""

    share_percent: int  # of a notice, that must be heard
    within: int  # call units: a notice that begins later does not count


@dataclass(frozen=True, slots=True)
class Found:
    """A notice on a leg."""

    reference: Reference
    leg: Role
    heard: Heard


@dataclass(frozen=True, slots=True)
class Hidden:
    """Where on a leg a notice could lie unheard, and why."""

    leg: Role
    spans: Timeline
    reason: str


class NoticeMeter:
    """Takes a call's audio from its start in pieces of any length, one column a leg, and keeps its first minutes' description."""

    def __init__(self, references: Sequence[Reference], legs: Sequence[Role], demand: Demand) -> None:
        longest = max((reference.seconds for reference in references), default=0.0)
        self._references = references
        self._legs = {leg: Spectrum() for leg in legs}
        self._demand = demand
        self.span = demand.within + int(
            (longest + 1) * RATE
        )  # samples, from the start, in which a notice may lie
        self._left = self.span

    def take(self, samples: Frames) -> None:
        """What follows what was taken before, as an array of (samples, legs)."""
        wanted = samples[: self._left]
        self._left -= len(wanted)
        for column, spectrum in enumerate(self._legs.values()):
            spectrum.take(wanted[:, column])

    @property
    def wants_more(self) -> bool:
        return self._left > 0

    def result(self) -> Found | None:
        """Of all notices on all legs the one of which most was heard."""
        best: Found | None = None
        for leg, spectrum in self._legs.items():
            sound = spectrum.result()
            for reference in self._references:
                heard = search(reference, sound, self._demand.within)
                if heard and (best is None or heard.share > best.heard.share):
                    best = Found(reference, leg, heard)
        return best


def announcement(
    found: Found | None, references: Sequence[Reference], hidden: Iterable[Hidden], demand: Demand
) -> Announcement:
    """The verdict on a call in which `found` is what was heard most of."""
    percent = int(found.heard.share * 100) if found else 0
    if found and percent >= demand.share_percent:
        return _told(AnnouncementState.ANNOUNCED, found, percent, "")
    doubt = _doubt_of(found, hidden, demand) if found else _doubt(references, hidden, demand)
    if doubt:
        return _told(AnnouncementState.NOT_MEASURED, found, percent, doubt)
    reason = _how_much(found.heard, percent) if found else "no notice was heard"
    return _told(AnnouncementState.UNANNOUNCED, found, percent, reason)


def hidden_spans(
    legs: Sequence[LegReport],
    redactions: Sequence[Redaction],
    heard: Mapping[Role, Timeline],
    end: int,
    earlier: str = "",
) -> Iterator[Hidden]:
    """Where notices could lie unheard up to `end`.

    `heard` is where each leg has audio, `earlier` why the call has a beginning that it does not hold, where it has.
    """
    whole = Timeline((Span(0, end),)) if end > 0 else Timeline()
    every = Timeline.of(span for timeline in heard.values() for span in timeline.spans)
    before = Timeline((Span(-int(LONGEST_SECONDS * RATE), 0),) if earlier else ())
    for leg in legs:
        yield Hidden(leg.role, before, earlier)
        for each in redactions:
            if leg.role in each.legs and each.cause != Cause.DTMF and each.start < each.end:
                yield Hidden(
                    leg.role, Timeline((Span(each.start, each.end),)), "audio of the beginning is redacted"
                )
        mine = heard.get(leg.role, Timeline())
        if not mine.reaching(0, end).spans:
            yield Hidden(leg.role, whole, f"there is no audio of the {leg.role.value} leg's beginning")
        elif leg.lost * 100 > LOST_PERCENT * (leg.packets + leg.lost):
            yield Hidden(
                leg.role, whole, f"more than {LOST_PERCENT} % of the {leg.role.value} leg's packets are lost"
            )
        # A leg that is silent while another speaks may send nothing; that nobody sends is loss.
        yield Hidden(leg.role, whole - every, "audio of the beginning is missing")


class Coverage:
    """Where legs have audio, from pieces of it in any order."""

    def __init__(self, until: int) -> None:
        self.until = until
        self._spans: dict[Role, list[Span]] = {}

    def add(self, leg: Role, start: int, stop: int) -> None:
        """Audio from a call time up to another; what begins after `until` is passed over."""
        if start >= self.until or start >= stop:
            return
        spans = self._spans.setdefault(leg, [])
        if spans and spans[-1].start <= start <= spans[-1].stop:
            spans[-1] = Span(spans[-1].start, max(spans[-1].stop, stop))
        else:
            spans.append(Span(start, stop))

    def result(self) -> dict[Role, Timeline]:
        return {leg: Timeline.of(spans) for leg, spans in self._spans.items()}


def _told(state: AnnouncementState, found: Found | None, percent: int, reason: str) -> Announcement:
    if found is None:
        return Announcement(state, reason=reason)
    return Announcement(state, found.reference.name, found.leg, found.heard.start, percent, reason)


def _how_much(heard: Heard, percent: int) -> str:
    first, last = round(heard.first * 100), round(heard.last * 100)
    if percent < (last - first) * 0.75:
        return f"heard to {percent} %, in pieces"
    return f"heard from {first} % to {last} %" if first else f"heard to {last} %"


def _doubt_of(found: Found, hidden: Iterable[Hidden], demand: Demand) -> str:
    """Why the rest of a notice may have been played all the same; empty where it was not."""
    start, length = found.heard.start, int(found.reference.seconds * RATE)
    if start < 0:
        before = Timeline((Span(start, 0),))
        hidden = (*hidden, Hidden(found.leg, before, "the notice began before the recording"))
    for each in hidden:
        inside = (min(span.stop, start + length) - max(span.start, start) for span in each.spans.spans)
        covered = sum(max(0, units) for units in inside)
        if each.leg is found.leg and found.heard.share + covered / length >= demand.share_percent / 100:
            return each.reason
    return ""


def _doubt(references: Sequence[Reference], hidden: Iterable[Hidden], demand: Demand) -> str:
    """Why a whole notice may lie unheard; empty where none can."""
    shortest = min((reference.seconds for reference in references), default=0.0)
    needed = max(LEAST_HIDDEN, int((shortest - CHANCE_SECONDS - 1) * RATE))
    for each in hidden:
        for span in each.spans.spans:
            if span.start <= demand.within and span.stop - span.start >= needed:
                return each.reason
    return ""
