"""The tables of the index as they are now, and a call record as their rows and back.

People are in them only sealed (`calls.sealed`) and as keyed hashes (`lookup`). Whatever changes here
needs a step in `migrations/versions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from gateway.recording.model import (
    CallFacts,
    CallState,
    Direction,
    LegReport,
    Marker,
    Part,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
    Speech,
)
from gateway.storage import canonical
from gateway.storage.keys import Sealed
from gateway.storage.records import CallRecord
from gateway.storage.vault import part_place

metadata = MetaData()


def _call() -> Column[str]:
    return Column("call_id", String(36), ForeignKey("calls.id", ondelete="CASCADE"), primary_key=True)


calls = Table(
    "calls",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("started_ns", BigInteger, nullable=False),
    Column("ended_ns", BigInteger),
    Column("direction", String(16), nullable=False),
    Column("sealed_key", String(16), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    # When the legs of a running call were last brought up to date; empty once its record is final.
    Column("checkpoint_ns", BigInteger),
    Column("follows", String(36)),
    # Canonical JSON, as in the call's record: nobody searches in them.
    Column("discard", Text),
    Column("cuts", Text, nullable=False),
    Column("rewrites", Text, nullable=False),
    Column("cuts_pending", Boolean, nullable=False),
    Column("announcement", Text),
)
Index("calls_by_pending_cuts", calls.c.cuts_pending)
Index("calls_by_start", calls.c.started_ns, calls.c.id)
Index("calls_by_state", calls.c.state, calls.c.started_ns, calls.c.id)

legs = Table(
    "legs",
    metadata,
    _call(),
    Column("position", Integer, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("codec", String(32), nullable=False),
    Column("packets", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False),
    Column("late", BigInteger, nullable=False),
    Column("duplicated", BigInteger, nullable=False),
    Column("media_units", BigInteger, nullable=False),
)

speech = Table(
    "speech",
    metadata,
    _call(),
    Column("position", Integer, primary_key=True),
    Column("role", String(16), nullable=False),
    Column("talk_ms", BigInteger, nullable=False),
    Column("silence_ms", BigInteger, nullable=False),
    Column("overtalk_ms", BigInteger, nullable=False),
)

redactions = Table(
    "redactions",
    metadata,
    _call(),
    Column("position", Integer, primary_key=True),
    Column("start_units", BigInteger, nullable=False),
    Column("end_units", BigInteger, nullable=False),
    Column("legs", String(64), nullable=False),
    Column("cause", Text, nullable=False),
    Column("actor", Text),
    Column("reason", Text, nullable=False),
    Column("end_cause", Text, nullable=False),
    Column("end_actor", Text),
)

markers = Table(
    "markers",
    metadata,
    _call(),
    Column("position", Integer, primary_key=True),
    Column("at_units", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text),
)

notes = Table(
    "notes",
    metadata,
    _call(),
    Column("position", Integer, primary_key=True),
    Column("note", Text, nullable=False),
)

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("call_id", String(36), ForeignKey("calls.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("segment_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("segment", Integer, nullable=False),
    Column("start_units", BigInteger, nullable=False),
    Column("swapped", Boolean, nullable=False),
)
Index("recordings_by_call", recordings.c.call_id)

parts = Table(
    "parts",
    metadata,
    Column("recording_id", String(36), ForeignKey("recordings.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("torn", Boolean, nullable=False),
)

lookup = Table("lookup", metadata, Column("hash", LargeBinary(16), primary_key=True), _call())
Index("lookup_by_call", lookup.c.call_id)

# In the order of filling: what is referred to comes first.
ALL = (calls, legs, speech, redactions, markers, notes, recordings, parts, lookup)
ORDER = {
    calls: (calls.c.id,),
    legs: (legs.c.call_id, legs.c.position),
    speech: (speech.c.call_id, speech.c.position),
    redactions: (redactions.c.call_id, redactions.c.position),
    markers: (markers.c.call_id, markers.c.position),
    notes: (notes.c.call_id, notes.c.position),
    recordings: (recordings.c.call_id, recordings.c.position),
    parts: (parts.c.recording_id, parts.c.number),
    lookup: (lookup.c.call_id, lookup.c.hash),
}

Row = Mapping[str, Any]
Rows = dict[str, list[dict[str, Any]]]  # by table name


def rows_of(record: CallRecord) -> Rows:
    """A call record as the rows of every table."""
    facts = record.facts
    mine = {"call_id": facts.id}
    return {
        "calls": [
            {
                "id": facts.id,
                "state": facts.state.value,
                "reason": facts.reason,
                "started_ns": facts.started_ns,
                "ended_ns": facts.ended_ns,
                "direction": facts.direction.value,
                "sealed_key": record.sealed.key_id,
                "sealed": record.sealed.data,
                "checkpoint_ns": None,
                "follows": facts.follows,
                "discard": _text(asdict(facts.discard)) if facts.discard else None,
                "cuts": _text([asdict(cut) for cut in facts.cuts]),
                "rewrites": _text([asdict(rewrite) for rewrite in facts.rewrites]),
                "announcement": _text(asdict(facts.announcement)) if facts.announcement else None,
                "cuts_pending": any(cut.done_ns is None for cut in facts.cuts),
            }
        ],
        "legs": leg_rows(facts.id, facts.legs),
        "speech": [
            mine | {"position": position} | asdict(spoken) for position, spoken in enumerate(facts.speech)
        ],
        "redactions": [
            mine
            | {
                "position": position,
                "start_units": redaction.start,
                "end_units": redaction.end,
                "legs": " ".join(redaction.legs),
                "cause": redaction.cause,
                "actor": redaction.actor,
                "reason": redaction.reason,
                "end_cause": redaction.end_cause,
                "end_actor": redaction.end_actor,
            }
            for position, redaction in enumerate(facts.redactions)
        ],
        "markers": [
            mine | {"position": position, "at_units": marker.at, "kind": marker.kind, "actor": marker.actor}
            for position, marker in enumerate(facts.markers)
        ],
        "notes": [mine | {"position": position, "note": note} for position, note in enumerate(facts.notes)],
        "recordings": _recording_rows(facts),
        "parts": [
            {"recording_id": recording.id} | asdict(part)
            for recording in facts.recordings
            for part in recording.parts
        ],
        "lookup": [mine | {"hash": found} for found in record.lookup],
    }


def _recording_rows(facts: CallFacts) -> list[dict[str, Any]]:
    return [
        {
            "call_id": facts.id,
            "id": recording.id,
            "position": position,
            "segment_id": recording.segment_id,
            "state": recording.state.value,
            "path": part_place(facts.id, facts.started_ns, recording.id, 1).as_posix(),
            "segment": recording.segment,
            "start_units": recording.start,
            "swapped": recording.swapped,
        }
        for position, recording in enumerate(facts.recordings)
    ]


def leg_rows(call_id: str, reports: Sequence[LegReport]) -> list[dict[str, Any]]:
    return [
        {
            "call_id": call_id,
            "position": position,
            "role": leg.role.value,
            "codec": leg.codec,
            "packets": leg.packets,
            "lost": leg.lost,
            "late": leg.late,
            "duplicated": leg.duplicated,
            "media_units": leg.media_units,
        }
        for position, leg in enumerate(reports)
    ]


def record_of(rows: Mapping[str, Sequence[Row]]) -> CallRecord:
    """The call record that one call's rows spell, in the order of ORDER."""
    (call,) = rows["calls"]
    facts = CallFacts(
        id=call["id"],
        state=CallState(call["state"]),
        reason=call["reason"],
        started_ns=call["started_ns"],
        ended_ns=call["ended_ns"],
        direction=Direction(call["direction"]),
        legs=tuple(_leg(row) for row in rows["legs"]),
        redactions=tuple(_redaction(row) for row in rows["redactions"]),
        recordings=tuple(_recording(row, rows["parts"]) for row in rows["recordings"]),
        notes=tuple(row["note"] for row in rows["notes"]),
        follows=call["follows"],
        markers=tuple(Marker(row["at_units"], row["kind"], row["actor"]) for row in rows["markers"]),
        **{name: _value(name, call[name]) for name in ("discard", "cuts", "rewrites", "announcement")},
        speech=tuple(
            Speech(Role(row["role"]), row["talk_ms"], row["silence_ms"], row["overtalk_ms"])
            for row in rows["speech"]
        ),
    )
    return CallRecord(
        facts, Sealed(call["sealed_key"], call["sealed"]), tuple(row["hash"] for row in rows["lookup"])
    )


def _text(value: object) -> str:
    return canonical.dump(value).decode("ascii")


def _value(name: str, text: str | None) -> Any:
    """A field of a call from the JSON it is kept as. Raises ValueError."""
    return None if text is None else canonical.field(CallFacts, name, canonical.parse(text.encode()))


def _leg(row: Row) -> LegReport:
    counts = {name: row[name] for name in ("packets", "lost", "late", "duplicated", "media_units")}
    return LegReport(Role(row["role"]), row["codec"], **counts)


def _redaction(row: Row) -> Redaction:
    roles = tuple(Role(name) for name in row["legs"].split())
    return Redaction(
        row["start_units"], row["end_units"], roles, row["cause"], row["actor"], row["reason"],
        row["end_cause"], row["end_actor"],
    )  # fmt: skip


def _recording(row: Row, found: Sequence[Row]) -> RecordingFacts:
    mine = tuple(
        Part(part["number"], part["bytes"], part["sha256"], part["torn"])
        for part in found
        if part["recording_id"] == row["id"]
    )
    return RecordingFacts(
        row["id"],
        row["segment_id"],
        RecordingState(row["state"]),
        mine,
        row["segment"],
        row["start_units"],
        row["swapped"],
    )
