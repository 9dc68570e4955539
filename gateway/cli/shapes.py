"""The shapes that `--json` prints: other programs read them, so names and units stay as they are.

Times of day are RFC 3339 in UTC with a Z; offsets and lengths are seconds, offsets from the start of the call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.recording.model import (
    UNITS_PER_SECOND,
    Announcement,
    CallFacts,
    Cut,
    Discard,
    LegReport,
    Marker,
    Part,
    Participant,
    Personal,
    RecordingFacts,
    Redaction,
    Rewrite,
    Speech,
)
from gateway.storage.verify import Verdict

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One file of a recording as it lies on the disk."""

    path: Path
    bytes: int
    sha256: str | None  # None while it is being written
    torn: bool


PartsOf = Callable[[CallFacts, RecordingFacts], Sequence[StoredPart]]


def call(facts: CallFacts, parts_of: PartsOf) -> Json:
    return {
        "id": facts.id,
        "state": facts.state.value,
        "reason": facts.reason,
        "started": time_of_day(facts.started_ns),
        "ended": None if facts.ended_ns is None else time_of_day(facts.ended_ns),
        "direction": facts.direction.value,
        "participants": [participant(party) for party in facts.participants],
        "legs": [leg(report) for report in facts.legs],
        "speech": [speech(item) for item in facts.speech],
        "announcement": announcement(facts.announcement) if facts.announcement else None,
        "redactions": [redaction(item) for item in facts.redactions],
        "recordings": [recording(facts, item, parts_of) for item in facts.recordings],
        "notes": list(facts.notes),
        "follows": facts.follows,
        "markers": [marker(item) for item in facts.markers],
        "discard": discard(facts.discard) if facts.discard else None,
        "cuts": [cut(item) for item in facts.cuts],
        "rewrites": [rewrite(item) for item in facts.rewrites],
    }


def participant(party: Participant) -> Json:
    return {
        "role": party.role.value,
        "number": plain(party.number),
        "name": plain(party.name),
        "extension": plain(party.extension),
        "segments": list(party.segments),
    }


def leg(report: LegReport) -> Json:
    return {
        "role": report.role.value,
        "codec": report.codec,
        "packets": report.packets,
        "lost": report.lost,
        "late": report.late,
        "duplicated": report.duplicated,
        "seconds": report.media_units / UNITS_PER_SECOND,
    }


def speech(item: Speech) -> Json:
    return {
        "role": item.role.value,
        "talk": item.talk_ms / 1000,
        "silence": item.silence_ms / 1000,
        "overtalk": item.overtalk_ms / 1000,
    }


def announcement(item: Announcement) -> Json:
    return {
        "state": item.state.value,
        "notice": item.notice or None,
        "leg": item.leg.value if item.leg else None,
        "at": None if item.at is None else item.at / UNITS_PER_SECOND,
        "share": item.share_percent / 100,
        "reason": item.reason,
    }


def redaction(item: Redaction) -> Json:
    return {
        "start": item.start / UNITS_PER_SECOND,
        "end": item.end / UNITS_PER_SECOND,
        "legs": [role.value for role in item.legs],
        "cause": item.cause,
        "actor": item.actor,
        "reason": item.reason,
        "end_cause": item.end_cause,
        "end_actor": item.end_actor,
    }


def marker(item: Marker) -> Json:
    return {"at": item.at / UNITS_PER_SECOND, "kind": item.kind, "actor": item.actor}


def discard(item: Discard) -> Json:
    """What was destroyed: each recording with the files it had."""
    return {
        "asked": time_of_day(item.asked_ns),
        "done": _moment(item.done_ns),
        "cause": item.cause,
        "actor": item.actor,
        "reason": item.reason,
        "recordings": [
            {
                "id": destroyed.recording_id,
                "key_destroyed": destroyed.key_destroyed,
                "parts": [_hashed(part) for part in destroyed.parts],
            }
            for destroyed in item.recordings
        ],
    }


def cut(item: Cut) -> Json:
    return {
        "start": item.start / UNITS_PER_SECOND,
        "end": item.end / UNITS_PER_SECOND,
        "legs": [role.value for role in item.legs],
        "cause": item.cause,
        "known": time_of_day(item.known_ns),
        "done": _moment(item.done_ns),
    }


def rewrite(item: Rewrite) -> Json:
    return {
        "old_id": item.old_id,
        "new_id": item.new_id,
        "at": time_of_day(item.at_ns),
        "before": [_hashed(part) for part in item.before],
        "after": [_hashed(part) for part in item.after],
    }


def _hashed(part: Part) -> Json:
    return {"number": part.number, "bytes": part.bytes, "sha256": part.sha256}


def _moment(utc_ns: int | None) -> str | None:
    return None if utc_ns is None else time_of_day(utc_ns)


def recording(facts: CallFacts, item: RecordingFacts, parts_of: PartsOf) -> Json:
    """`path` is the first part's, nearly always the only one; `parts` lists them all."""
    parts = parts_of(facts, item)
    return {
        "id": item.id,
        "path": str(parts[0].path) if parts else None,
        "bytes": sum(part.bytes for part in parts),
        "state": item.state.value,
        "segment": item.segment,
        "start": item.start / UNITS_PER_SECOND,
        "parts": [
            {"path": str(part.path), "bytes": part.bytes, "sha256": part.sha256, "torn": part.torn}
            for part in parts
        ],
    }


def verdict(found: Verdict) -> Json:
    return {
        "id": found.id,
        "ok": found.ok,
        "segments": found.segments,
        "problem": found.problem,
        "note": found.note,
    }


def time_of_day(utc_ns: int) -> str:
    seconds, rest = divmod(utc_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"


def plain(text: Personal | None) -> str | None:
    return None if text is None else text.reveal()
