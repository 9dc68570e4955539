"""What of one call is not kept, as a state: pauses and stops that last, and those that have ended.

Times are ns; places on the call clock are in its units.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from gateway.recording.leg import FOREVER
from gateway.recording.messages import OpenRedaction, RecordingNow
from gateway.recording.model import UNIT_NS, Cause, Redaction, Role
from gateway.redaction.timeline import Span, Timeline

# Speech from before a resume has its place after it, by the length of a packet and its time on the way.
RESUME_GUARD_NS = 100_000_000
STOPS = (Cause.OPT_OUT, Cause.NEVER_RECORD)
# Ended ones kept of a call: who pauses more often has the closest two counted as one, and nothing uncovered.
MAX_ENDED = 256

Key = tuple[Cause, tuple[Role, ...]]


class Pauses:
    """Every cause is counted apart, and of one that names legs each leg; one that names none is of all legs."""

    def __init__(
        self, started_ns: int, standing: Iterable[OpenRedaction] = (), ended: Iterable[Redaction] = ()
    ) -> None:
        self._started_ns = started_ns
        self._open: dict[Key, OpenRedaction] = {(each.cause, each.legs): each for each in standing}
        self._ended = list(ended)  # no legs: all

    @property
    def open(self) -> tuple[OpenRedaction, ...]:
        return tuple(self._open.values())

    @property
    def ended(self) -> tuple[Redaction, ...]:
        return tuple(self._ended)

    @property
    def discarded(self) -> bool:
        return any(each.discard for each in self._open.values())

    def has(self, *causes: Cause) -> bool:
        return any(cause in causes for cause, _ in self._open)

    def begin(self, redaction: OpenRedaction) -> bool:
        """Open one; of one that is open only an earlier start counts. False when nothing changed."""
        key = (redaction.cause, redaction.legs)
        standing = self._open.get(key)
        if standing is None:
            self._open[key] = redaction
            return True
        wider = replace(
            standing,
            start=min(standing.start, redaction.start),
            discard=standing.discard or redaction.discard,
        )
        self._open[key] = wider
        return wider != standing

    def put_off(self, ends_ns: int, *causes: Cause) -> bool:
        """Those of some causes that end by themselves last until `ends_ns`, if they would have ended sooner."""
        later = {
            key: replace(each, ends_ns=ends_ns)
            for key, each in self._open.items()
            if each.cause in causes and each.ends_ns is not None and each.ends_ns < ends_ns
        }
        self._open |= later
        return bool(later)

    def end(self, key: Key, at_ns: int, cause: Cause, actor: str | None = None) -> bool:
        """End one, and say why. False when it is not open."""
        redaction = self._open.pop(key, None)
        if redaction is None:
            return False
        guard_ns = 0 if redaction.cause is Cause.SRC else RESUME_GUARD_NS
        end = max(0, (max(at_ns, redaction.since_ns) + guard_ns - self._started_ns) // UNIT_NS)
        if end > redaction.start:
            self._ended.append(replace(_closed(redaction, end), end_cause=cause, end_actor=actor))
        if len(self._ended) > MAX_ENDED:
            self._join_closest()
        return True

    def state(self, roles: Sequence[Role]) -> RecordingNow:
        """Of a call with these legs. A client that holds one of several pauses nothing that a person would call so."""
        if self.has(*STOPS):
            return RecordingNow.OFF
        held = {role for cause, legs in self._open if cause is Cause.SRC for role in legs or roles}
        if any(cause is not Cause.SRC for cause, _ in self._open) or held.issuperset(roles):
            return RecordingNow.PAUSED
        return RecordingNow.RECORDING

    def since_ns(self, state: RecordingNow, started_ns: int) -> int:
        """Since when a call whose state is this has been in it, as far as those that are open tell."""
        stops = [each.since_ns for each in self._open.values() if each.cause in STOPS]
        people = [each.since_ns for each in self._open.values() if each.cause is not Cause.SRC]
        clients = [each.since_ns for each in self._open.values() if each.cause is Cause.SRC]
        match state:
            case RecordingNow.OFF:
                return min(stops)
            case RecordingNow.PAUSED:
                return min(people or [max(clients)])
        return started_ns

    def resumes_ns(self, roles: Sequence[Role]) -> int | None:
        """When a call that is paused is recorded again by itself; None: never."""
        people = [each for each in self._open.values() if each.cause is not Cause.SRC]
        ends = [each.ends_ns for each in people if each.ends_ns is not None]
        held = {role for cause, legs in self._open if cause is Cause.SRC for role in legs or roles}
        if not ends or len(ends) < len(people) or held.issuperset(roles):
            return None
        return max(ends)

    def cut(self, role: Role) -> Timeline:
        """What of a leg's audio is not kept, by its place."""
        return Timeline.of(Span(each.start, each.end) for each in self._all(FOREVER) if _concerns(each, role))

    def shut(self, role: Role) -> Timeline:
        """What of a leg's audio is not kept, by its arrival: the client's own pauses say what it may send."""
        return Timeline.of(
            Span(each.start, each.end)
            for each in self._all(FOREVER)
            if each.cause == Cause.SRC and _concerns(each, role)
        )

    def redactions(self, roles: Sequence[Role], until: int, ended: bool) -> list[Redaction]:
        """All of them on legs of these roles, none beyond `until`; if the call has ended, so have they."""
        legs: dict[Redaction, list[Role]] = {}
        for each in self._all(until, Cause.ENDED if ended else ""):
            if each.start < until:
                whose = each.legs or tuple(roles)
                legs.setdefault(replace(each, end=min(each.end, until), legs=()), []).extend(whose)
        return [
            replace(each, legs=tuple(role for role in roles if role in whose)) for each, whose in legs.items()
        ]

    def _all(self, until: int, end_cause: str = "") -> Iterator[Redaction]:
        """The ended ones, and those that are open as if they ended at `until`."""
        yield from self._ended
        for each in self._open.values():
            if each.start < until:
                yield replace(_closed(each, until), end_cause=end_cause)

    def _join_closest(self) -> None:
        """Make one of the two, of one cause on the same legs, that have least between them."""
        pairs = []
        for key in {(each.cause, each.legs) for each in self._ended}:
            alike = sorted(
                (each for each in self._ended if (each.cause, each.legs) == key), key=lambda each: each.start
            )
            pairs += list(pairwise(alike))
        first, second = min(pairs, key=lambda pair: pair[1].start - pair[0].end)
        last = max(first, second, key=lambda each: each.end)
        joined = replace(first, end=last.end, end_cause=last.end_cause, end_actor=last.end_actor)
        self._ended = [each for each in self._ended if each is not first and each is not second]
        self._ended.append(joined)


def _closed(redaction: OpenRedaction, end: int) -> Redaction:
    return Redaction(redaction.start, end, redaction.legs, redaction.cause, redaction.actor, redaction.reason)


def _concerns(redaction: Redaction, role: Role) -> bool:
    return not redaction.legs or role in redaction.legs
