"""Calls as lines for a person at a terminal; times are UTC, as everything printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.cli.shapes import plain, time_of_day
from gateway.recording.model import (
    UNITS_PER_SECOND,
    Announcement,
    CallFacts,
    Cut,
    Discard,
    LegReport,
    Participant,
    Redaction,
    Rewrite,
    Role,
    Speech,
)

HEADINGS = ("STARTED", "LENGTH", "STATE", "DIRECTION", "EXTERNAL", "AGENT", "ID")


def listing(calls: Iterable[CallFacts]) -> str:
    """A table, one call a line."""
    return table([HEADINGS, *(_row(call) for call in calls)])


def explained(calls: Iterable[CallFacts]) -> str:
    """A table, one call a line, each with what there is to say of its state."""
    return table([(*HEADINGS, "REASON"), *((*_row(call), call.reason) for call in calls)])


def _row(call: CallFacts) -> tuple[str, ...]:
    return (
        moment(call.started_ns),
        length(call),
        call.state.value,
        call.direction.value,
        _parties(call, Role.EXTERNAL),
        _parties(call, Role.AGENT),
        call.id,
    )


def details(call: CallFacts, parts: Sequence[str]) -> str:
    """Everything about one call; `parts` says where its recordings lie."""
    lines = [
        f"call       {call.id}",
        f"state      {call.state.value}: {call.reason}",
        f"started    {time_of_day(call.started_ns)}",
        f"ended      {'not yet' if call.ended_ns is None else time_of_day(call.ended_ns)}",
        f"direction  {call.direction.value}",
        *(f"follows    {call.follows}" for _ in range(call.follows is not None)),
        *(f"{person.role.value:10} {party(person)}{_when(person, call)}" for person in call.participants),
        *(f"{'leg':10} {_leg(report)}" for report in call.legs),
        *(f"{'speech':10} {_speech(item)}" for item in call.speech),
        *(f"notice     {_announcement(item)}" for item in (call.announcement,) if item),
        *(f"redaction  {_redaction(item)}" for item in call.redactions),
        *(f"marker     {offset(item.at)}: {item.kind}{_by(item.actor)}" for item in call.markers),
        *(f"recording  {part}" for part in parts),
        *(f"cut        {_cut(item)}" for item in call.cuts),
        *(f"rewritten  {_rewrite(item)}" for item in call.rewrites),
        *(_discard(call.discard) if call.discard else ()),
        *(f"note       {note}" for note in call.notes),
    ]
    return "\n".join(lines)


def _announcement(item: Announcement) -> str:
    told = item.state.value.replace("_", " ")
    if item.reason:
        told += f": {item.reason}"
    if item.leg is None or item.at is None:
        return told
    begins = f"{'-' * (item.at < 0)}{offset(abs(item.at))}"
    return f"{told}; {item.notice} from {begins}, {item.leg.value}, {item.share_percent} % of it"


def _redaction(item: Redaction) -> str:
    ended = f"; ended: {item.end_cause}{_by(item.end_actor)}" if item.end_cause else ""
    why = f" ({item.reason})" if item.reason else ""
    legs = " and ".join(item.legs)
    return f"{offset(item.start)} to {offset(item.end)}, {legs}: {item.cause}{why}{_by(item.actor)}{ended}"


def _by(actor: str | None) -> str:
    return f", by {actor}" if actor else ""


def _cut(item: Cut) -> str:
    state = "pending" if item.done_ns is None else f"done {time_of_day(item.done_ns)}"
    return f"{offset(item.start)} to {offset(item.end)}, {' and '.join(item.legs)}: {item.cause}, {state}"


def _rewrite(item: Rewrite) -> str:
    before, after = (", ".join(part.sha256 for part in parts) for parts in (item.before, item.after))
    return f"{item.old_id} (SHA-256 {before}) as {item.new_id} (SHA-256 {after}), {time_of_day(item.at_ns)}"


def _discard(item: Discard) -> Iterator[str]:
    """When, by whom, why; then each recording with what its files were."""
    why = f" ({item.reason})" if item.reason else ""
    done = "not yet" if item.done_ns is None else time_of_day(item.done_ns)
    yield f"discarded  {done}: {item.cause}{why}{_by(item.actor)}, asked for {time_of_day(item.asked_ns)}"
    for gone in item.recordings:
        files = ", ".join(f"{part.bytes:,} bytes with SHA-256 {part.sha256}" for part in gone.parts)
        key = "its key was destroyed" if gone.key_destroyed else "its key is to be destroyed"
        yield f"destroyed  {gone.recording_id}: {key}; {files or 'it had no file'}"


def _when(person: Participant, call: CallFacts) -> str:
    """In which segments a party took part, where there are several."""
    if len(call.recordings) < 2:
        return ""
    return f" (segment {', '.join(map(str, person.segments))})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; never cut, so that it can be searched and copied."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def moment(utc_ns: int) -> str:
    return time_of_day(utc_ns)[:19].replace("T", " ")


def length(call: CallFacts) -> str:
    return "running" if call.ended_ns is None else _clock((call.ended_ns - call.started_ns) / 1e9)


def offset(units: int) -> str:
    return _clock(units / UNITS_PER_SECOND, 1)


def _clock(seconds: float, digits: int = 0) -> str:
    tenths = round(seconds * 10**digits)
    whole, rest = divmod(tenths, 10**digits)
    text = f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{text}.{rest}" if digits else text


def party(person: Participant) -> str:
    number, name, extension = plain(person.number), plain(person.name), plain(person.extension)
    shown = [text for text in (number or extension, name) if text]
    if extension and number and extension != number:
        shown.append(f"extension {extension}")
    return printable(", ".join(shown)) or "unknown"


def printable(text: str) -> str:
    """Whoever calls chooses what a name holds: nothing in it may steer a terminal, or end a line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _parties(call: CallFacts, role: Role) -> str:
    people = [
        plain(p.number) or plain(p.extension) or plain(p.name) or "?"
        for p in call.participants
        if p.role is role
    ]
    return printable(", ".join(people)) or "-"


def _leg(report: LegReport) -> str:
    counts = f"{report.packets:,} packets, {report.lost:,} lost, {report.late:,} late, {report.duplicated:,} duplicated"
    return f"{report.role.value}: {report.codec}, {offset(report.media_units)}, {counts}"


def _speech(item: Speech) -> str:
    talk, silence, overtalk = (
        _clock(ms / 1000, 1) for ms in (item.talk_ms, item.silence_ms, item.overtalk_ms)
    )
    return f"{item.role.value}: {talk} talk, {silence} silence, {overtalk} overtalk"
