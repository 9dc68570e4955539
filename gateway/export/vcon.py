"""A call as a vCon, the conversation container of the IETF (draft-ietf-vcon-vcon-core-04, syntax 0.4.0).

One file with the parties, the audio as WAVE, and what is known of it: how it was recorded, who talked how long, and
what was redacted. `role` of a party is from draft-ietf-vcon-cc-extension-02.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

import gateway
from gateway.export.base64file import Base64File
from gateway.export.exporter import Progress, check_legs, reasons, write_sound
from gateway.export.place import new_file
from gateway.export.signing import node_name, write_signed
from gateway.export.sound import open_sound
from gateway.recording.model import (
    UNIT_NS,
    UNITS_PER_SECOND,
    Announcement,
    CallFacts,
    Direction,
    Participant,
    Role,
)
from gateway.storage.container import Reader
from gateway.storage.keys import NodeKey, NodePublicKey

SYNTAX = "0.4.0"
NUMBER = re.compile(r"\+?[\d\s()./-]*\d[\d\s()./-]*")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Json = dict[str, object]


def export_vcon(
    parts: Sequence[Reader],
    legs: Sequence[Role],
    call: CallFacts,
    output: Path,
    *,
    node: NodePublicKey,
    created_ns: int,
    rate: int = UNITS_PER_SECOND,
    signer: NodeKey | None = None,
    progress: Progress | None = None,
    force: bool = False,
) -> None:
    """Write a finished call with the audio of the named legs; signed where there is a signer.

    `created_ns` is now, UTC. `parts` and the rest are as for `export`, and so is what is raised.
    """
    check_legs(parts, legs)
    report = progress or (lambda done, total: None)
    uuid = _uuid(node_name(node), created_ns // 10**6)
    document = describe(call, legs, uuid, created_ns)
    with reasons(), new_file(output, force) as file:
        if signer is None:
            _write(file, document, parts, legs, call, rate, report)
        else:
            plain = io.BytesIO()
            _write(plain, document, parts, legs, call, rate, report)
            write_signed(file, plain.getbuffer(), uuid, signer, _moment(created_ns))


def describe(call: CallFacts, legs: Sequence[Role], uuid: str, created_ns: int) -> Json:
    """The vCon but for the audio, which belongs at its end: into the last dialog."""
    parties, of_role = _parties(call)
    spoken = [index for role in legs for index in of_role[role]]
    dialog: Json = {
        "type": "recording",
        "start": _date(call.started_ns),
        "parties": [_one_or_many(of_role[role]) for role in legs] if len(legs) > 1 else spoken,
        "mediatype": "audio/x-wav",
        "filename": f"{call.id}.wav",
        "encoding": "base64url",
    }
    caller = Role.AGENT if call.direction is Direction.OUTBOUND else Role.EXTERNAL
    if call.direction is not Direction.UNKNOWN and of_role[caller][0] != spoken[0]:
        dialog["originator"] = of_role[caller][0]
    whole: Json = {
        "vcon": SYNTAX,
        "uuid": uuid,
        "extensions": ["CC"],
        "created_at": _date(created_ns),
        "subject": f"Recorded call {call.id}",
    }
    if call.redactions:  # without a uuid, which says that no less redacted version exists
        whole["redacted"] = {"type": ", ".join(sorted({item.cause for item in call.redactions}))}
    return whole | {"parties": parties, "analysis": _analysis(call), "dialog": [dialog]}


def _write(
    file: BinaryIO,
    document: Json,
    parts: Sequence[Reader],
    legs: Sequence[Role],
    call: CallFacts,
    rate: int,
    report: Progress,
) -> None:
    """The document's JSON, with the audio and its length put into the dialog at its end."""
    end = "}]}"
    file.write(f'{json.dumps(document).removesuffix(end)}, "body": "'.encode())
    sound = open_sound("wav", cast(BinaryIO, body := Base64File(file)), len(legs), rate)
    length = ((call.ended_ns or call.started_ns) - call.started_ns) // UNIT_NS
    samples = write_sound(parts, legs, sound, length, call.redactions, report)
    body.finish()
    file.write(f'", "duration": {samples / rate}{end}'.encode())


def _parties(call: CallFacts) -> tuple[list[Json], dict[Role, list[int]]]:
    """The party objects, and which of them speak in each role; a role nobody is known of has one without a name."""
    people = list(call.participants)
    known = {person.role for person in people}
    people += [Participant(role) for role in Role if role not in known]
    return [_party(person) for person in people], {
        role: [index for index, person in enumerate(people) if person.role is role] for role in Role
    }


def _party(person: Participant) -> Json:
    number, name, extension = (
        text.reveal() if text else None for text in (person.number, person.name, person.extension)
    )
    found: Json = {"role": person.role.value}
    if number and NUMBER.fullmatch(number):
        found["tel"] = "tel:" + re.sub(r"[^\d+]", "", number)
    elif number and "@" in number:
        found["sip"] = number if re.match("sips?:", number) else f"sip:{number}"
    elif number:
        extension = extension or number
    if name:
        found |= {"name": name, "validation": "none"}
    if extension:
        found["uuid"] = extension
    return found


def _analysis(call: CallFacts) -> list[Json]:
    found = [_report("call", _recorded(call))]
    if call.speech:
        figures = [
            {
                "role": item.role.value,
                "talk": item.talk_ms / 1000,
                "silence": item.silence_ms / 1000,
                "overtalk": item.overtalk_ms / 1000,
            }
            for item in call.speech
        ]
        found.append(_report("speech", {"speech": figures}))
    if call.announcement:
        found.append(_report("announcement", _announced(call.announcement)))
    if call.redactions:
        silenced = [
            {
                "start": item.start / UNITS_PER_SECOND,
                "end": item.end / UNITS_PER_SECOND,
                "legs": [role.value for role in item.legs],
                "cause": item.cause,
            }
            for item in call.redactions
        ]
        found.append(_report("redactions", {"redactions": silenced}))
    return found


def _announced(item: Announcement) -> Json:
    return {
        "state": item.state.value,
        "notice": item.notice or None,
        "leg": item.leg.value if item.leg else None,
        "at": None if item.at is None else item.at / UNITS_PER_SECOND,
        "share": item.share_percent / 100,
        "reason": item.reason,
    }


def _report(kind: str, body: Json) -> Json:
    return {
        "type": "report",
        "dialog": 0,
        "vendor": "HushTap",
        "product": f"hushtap {gateway.__version__}",
        "schema": f"hushtap-{kind}-1",
        "mediatype": "application/json",
        "encoding": "json",
        "body": body,
    }


def _recorded(call: CallFacts) -> Json:
    """What tells how complete the audio is, and which recordings it was made from."""
    return {
        "id": call.id,
        "state": call.state.value,
        "reason": call.reason,
        "direction": call.direction.value,
        "legs": [
            {
                "role": leg.role.value,
                "codec": leg.codec,
                "packets": leg.packets,
                "lost": leg.lost,
                "late": leg.late,
                "duplicated": leg.duplicated,
                "seconds": leg.media_units / UNITS_PER_SECOND,
            }
            for leg in call.legs
        ],
        "recordings": [
            {"id": item.id, "state": item.state.value, "sha256": [part.sha256 for part in item.parts]}
            for item in call.recordings
        ],
        "notes": list(call.notes),
    }


def _one_or_many(indices: Sequence[int]) -> int | Sequence[int]:
    return indices[0] if len(indices) == 1 else indices


def _uuid(name: str, milliseconds: int) -> str:
    """Version 8 as the draft has it: the time and twelve random bits of version 7, 62 bits of the name's SHA-1."""
    domain = int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest()[:8]) >> 2
    random = int.from_bytes(os.urandom(2)) & 0xFFF
    return str(UUID(int=milliseconds << 80 | 8 << 76 | random << 64 | 2 << 62 | domain))


def _moment(utc_ns: int) -> datetime:
    return EPOCH + timedelta(microseconds=utc_ns // 1000)


def _date(utc_ns: int) -> str:
    """RFC 3339 in UTC; without a fraction where it is zero (RFC 8620 section 1.4)."""
    return _moment(utc_ns).isoformat().replace("+00:00", "Z")
