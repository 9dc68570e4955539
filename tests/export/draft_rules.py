"""What draft-ietf-vcon-vcon-core-04 says of a vCon (syntax 0.4.0), as far as a recorded call needs it.

Written from the draft's text; each rule raises AssertionError where it is broken.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

DATE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(?!0+Z)\d+)?Z"
)  # RFC 3339 as RFC 8620 section 1.4 has it
BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
MEDIATYPE = re.compile(r"[a-z]+/[a-z0-9.+-]+")
CORE = {
    "vcon",
    "uuid",
    "extensions",
    "critical",
    "created_at",
    "updated_at",
    "subject",
    "redacted",
    "amended",
}
LISTS = {"parties", "dialog", "analysis", "attachments"}
PARTY = {
    *("tel", "sip", "stir", "mailto", "name", "did", "validation", "gmlpos", "civicaddress", "uuid"),
    *("type", "org", "dept"),
    "role",  # of the extension CC
}
CONTENT = {"mediatype", "filename", "body", "encoding", "url", "content_hash"}
RECORDING = CONTENT | {
    *("type", "start", "duration", "parties", "originator", "recording_set", "session_id", "party_history"),
    *("application", "message_id"),
}
ANALYSIS = CONTENT | {"type", "dialog", "attachment", "vendor", "product", "schema"}


def check(vcon: dict[str, Any]) -> None:
    """The unsigned form (section 4)."""
    assert vcon.keys() <= CORE | LISTS
    assert vcon["vcon"] == "0.4.0"
    assert UUID(vcon["uuid"]).version == 8
    assert DATE.fullmatch(vcon["created_at"])
    assert not {"redacted", "amended"} <= vcon.keys()
    if "redacted" in vcon:
        assert vcon["redacted"]["type"]
    for party in vcon["parties"]:
        _party(party, vcon["extensions"])
    for dialog in vcon["dialog"]:
        _recording(dialog, len(vcon["parties"]))
    for analysis in vcon["analysis"]:
        _analysis(analysis, len(vcon["dialog"]))


def _party(party: dict[str, Any], extensions: list[str]) -> None:
    assert party.keys() <= PARTY
    assert all(isinstance(value, str) for value in party.values())
    assert "role" not in party or "CC" in extensions
    assert "name" not in party or "validation" in party
    if "tel" in party:
        assert re.fullmatch(r"tel:\+?\d+", party["tel"])


def _recording(dialog: dict[str, Any], parties: int) -> None:
    assert dialog.keys() <= RECORDING
    assert dialog["type"] == "recording"
    assert DATE.fullmatch(dialog["start"])
    assert dialog["duration"] >= 0
    spoken = dialog["parties"]
    for channel in spoken if isinstance(spoken, list) else [spoken]:
        for index in channel if isinstance(channel, list) else [channel]:
            assert 0 <= index < parties
    assert 0 <= dialog.get("originator", 0) < parties
    _content(dialog)


def _analysis(analysis: dict[str, Any], dialogs: int) -> None:
    assert analysis.keys() <= ANALYSIS
    assert analysis["type"] in ("report", "sentiment", "summary", "transcript", "translation", "tts")
    assert 0 <= analysis["dialog"] < dialogs
    assert analysis["vendor"]
    _content(analysis)


def _content(held: dict[str, Any]) -> None:
    assert MEDIATYPE.fullmatch(held["mediatype"])
    match held["encoding"]:
        case "base64url":
            assert BASE64URL.fullmatch(held["body"])
        case "json":
            assert isinstance(held["body"], dict)
        case other:
            raise AssertionError(other)


def check_signed(vcon: dict[str, Any]) -> None:
    """The signed form (section 5.2)."""
    assert vcon.keys() == {"payload", "signatures"}
    (signature,) = vcon["signatures"]
    assert signature.keys() == {"header", "protected", "signature"}
    header = signature["header"]
    assert header["alg"]
    assert header["x5c"]
    assert UUID(header["uuid"])
    assert all(BASE64URL.fullmatch(text) for text in (vcon["payload"], signature["protected"]))
