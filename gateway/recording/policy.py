"""Who is recorded, decided from what is known of a call's parties and of what its client asks; and how that is told.

Sentences name no person: of a number on the list only the code of its reason, of an extension nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from gateway.recording.messages import OpenRedaction
from gateway.recording.model import (
    UNIT_NS,
    UNITS_PER_SECOND,
    Cause,
    Cut,
    Participant,
    Personal,
    Redaction,
    Wish,
)

DISCARDED = "what was recorded before was destroyed"


class Ground(StrEnum):
    """Why a call, or the rest of it, is not recorded."""

    EXTENSION = "extension"
    NUMBER = "number"
    HEADER = "header"
    RECORDPREF = "recordpref"
    SCOPE = "scope"


SENTENCES = {
    Ground.EXTENSION: "the extension is never recorded",
    Ground.NUMBER: "the number is on the never-record list",
    Ground.HEADER: "the recording client asked by a SIP header that nothing be recorded",
    Ground.RECORDPREF: "the recording client asked by recordpref that nothing be recorded",
    Ground.SCOPE: "the call is out of scope",
}


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A call is not recorded."""

    ground: Ground
    code: str = ""  # of the list's entry; of the scope, what of the call is outside

    @property
    def reason(self) -> str:
        """As it is kept in a redaction."""
        return f"{self.ground}: {self.code}" if self.code else self.ground.value


def decide(
    people: Iterable[Participant],
    extensions: Sequence[re.Pattern[str]],
    listed: Callable[[Personal], str | None],
    header: Wish | None = None,
    recordpref: Wish | None = None,
    outside: str | None = None,
) -> Unrecorded | None:
    """Why a call of these people is not recorded now; None: it is.

    `outside` says what of the call is out of scope. `listed` gives the code of a number that is on the list. The wishes are those that stand; one to be recorded
    takes back the same one not to be, and overrules no list.
    """
    if header is Wish.OFF:
        return Unrecorded(Ground.HEADER)
    if recordpref is Wish.OFF:
        return Unrecorded(Ground.RECORDPREF)
    for person in people:
        extension, number = person.extension or person.number, person.number or person.extension
        if extension and any(pattern.fullmatch(extension.reveal()) for pattern in extensions):
            return Unrecorded(Ground.EXTENSION)
        if number and (code := listed(number)) is not None:
            return Unrecorded(Ground.NUMBER, code)
    return Unrecorded(Ground.SCOPE, outside) if outside else None


def wish_of(preferences: Sequence[str | None]) -> Wish | None:
    """What the `a=recordpref` of all lines of an offer together ask (RFC 7866 section 7.2); None: nothing new.

    A line alone that asks for it pauses its own leg.
    """
    if preferences and all(preference == "off" for preference in preferences):
        return Wish.OFF
    return Wish.ON if "on" in preferences else None


def unrecorded(redactions: Iterable[Redaction], now: OpenRedaction | None, started_ns: int) -> list[str]:
    """Why parts of a call, or all of it, were not recorded; `now` is what stops it at present or did at its end."""
    return list(dict.fromkeys(_stops(redactions, now, started_ns)))


def _stops(redactions: Iterable[Redaction], now: OpenRedaction | None, started_ns: int) -> Iterator[str]:
    told = False
    for each in sorted(redactions, key=lambda redaction: redaction.start):
        if each.cause == Cause.NEVER_RECORD:
            last = now is not None and now.cause is Cause.NEVER_RECORD and each.end_cause in ("", Cause.ENDED)
            told = told or last
            yield _never(each.start, None if last else each.end, each.reason)
        elif each.cause == Cause.OPT_OUT and now is None:
            yield _opted_out(each.start / UNITS_PER_SECOND, each.reason)
    if now and now.cause is Cause.OPT_OUT:
        yield _opted_out((now.since_ns - started_ns) / UNIT_NS / UNITS_PER_SECOND, now.reason)
    elif now and now.cause is Cause.NEVER_RECORD and not told:  # no report of it has come
        yield _never(now.start, None, now.reason)


def _never(start: int, end: int | None, reason: str) -> str:
    why = _why(reason)
    if end is None:
        return f"not recorded from {start / UNITS_PER_SECOND:.1f} s on: {why}" if start else why
    return f"not recorded from {start / UNITS_PER_SECOND:.1f} s to {end / UNITS_PER_SECOND:.1f} s: {why}"


def _opted_out(at: float, reason: str) -> str:
    if reason in (Ground.HEADER, Ground.RECORDPREF):
        return f"opted out at {at:.1f} s: {_why(reason)}"
    return f"opted out at {at:.1f} s by the agent" + (f": {reason}" if reason else "")


def _why(reason: str) -> str:
    ground, _, code = reason.partition(": ")
    sentence = SENTENCES[Ground(ground)] if ground in tuple(Ground) else "by rule"
    return f"{sentence}: {code}" if code else sentence


def with_cuts(redactions: Sequence[Redaction], cuts: Iterable[Cut]) -> tuple[Redaction, ...]:
    """Redactions, and what is to be cut that none of them covers: readers leave all of it out."""
    return (
        *redactions,
        *(
            Redaction(cut.start, cut.end, cut.legs, cut.cause)
            for cut in cuts
            if not any(covers(redaction, cut) for redaction in redactions)
        ),
    )


def covers(redaction: Redaction, cut: Cut) -> bool:
    return redaction.start <= cut.start and cut.end <= redaction.end and set(cut.legs) <= set(redaction.legs)
