"""vCons: by the draft's rules, with the audio and the figures that belong in them, and signed so that others can tell."""

from __future__ import annotations

import base64
import io
import json
import warnings
import wave
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import BadSignatureError, SecurityWarning
from joserfc.jwk import OKPKey

from gateway.codecs.g711 import A_LAW
from gateway.export import BOTH, ExportError, export_vcon
from gateway.export.base64file import HEAD_BYTES, Base64File
from gateway.recording.model import (
    Announcement,
    AnnouncementState,
    CallFacts,
    CallState,
    Direction,
    LegReport,
    Part,
    Participant,
    Personal,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
    Speech,
)
from gateway.storage.container import Reader
from gateway.storage.keys import NodeKey
from tests.export import draft_rules
from tests.export.test_export import CALL, RECORDING, SECOND, SEGMENT, call, noise, part, track

NOW_NS = 1_795_000_100_250_000_000  # 2026-11-18 11:08:20.25 UTC
NODE = NodeKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
FACTS = CallFacts(
    id=CALL,
    state=CallState.RECORDED,
    reason="the recording client ended the call",
    started_ns=1_795_000_000_000_000_000,
    ended_ns=1_795_000_003_000_000_000,
    direction=Direction.INBOUND,
    participants=(
        Participant(Role.EXTERNAL, Personal("+44 1632 960123"), Personal("Ada Lovelace")),
        Participant(Role.AGENT, Personal("2001@pbx.test"), extension=Personal("2001")),
    ),
    legs=(LegReport(Role.EXTERNAL, "PCMA", 150, 1, media_units=24_000), LegReport(Role.AGENT, "PCMA", 100)),
    recordings=(RecordingFacts(RECORDING, SEGMENT, RecordingState.COMPLETE, (Part(1, 9, "aa" * 32),)),),
)


def exported(
    folder: Path,
    facts: CallFacts = FACTS,
    legs: tuple[Role, ...] = BOTH,
    source: Reader | None = None,
    signer: NodeKey | None = None,
) -> dict[str, Any]:
    output = folder / "call.vcon"
    export_vcon(
        [source or call()],
        legs,
        facts,
        output,
        node=NODE.public,
        created_ns=NOW_NS,
        signer=signer,
        force=True,
    )
    assert output.stat().st_mode & 0o777 == 0o600
    found: dict[str, Any] = json.loads(output.read_bytes())
    if signer is None:
        draft_rules.check(found)
    else:
        draft_rules.check_signed(found)
    return found


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def analyses(vcon: dict[str, Any]) -> dict[str, Any]:
    return {item["schema"]: item["body"] for item in vcon["analysis"]}


def test_parties_times_and_ids(tmp_path: Path) -> None:
    vcon = exported(tmp_path)
    assert vcon["created_at"] == "2026-11-18T11:08:20.250000Z"
    assert UUID(vcon["uuid"]).int >> 80 == NOW_NS // 10**6
    assert vcon["parties"] == [
        {"role": "external", "tel": "tel:+441632960123", "name": "Ada Lovelace", "validation": "none"},
        {"role": "agent", "sip": "sip:2001@pbx.test", "uuid": "2001"},
    ]
    (dialog,) = vcon["dialog"]
    assert (dialog["start"], dialog["duration"]) == ("2026-11-18T11:06:40Z", 3.0)
    assert (dialog["parties"], "originator" in dialog) == ([0, 1], False)
    assert "redacted" not in vcon


def test_the_audio_is_the_call_external_left_agent_right(tmp_path: Path) -> None:
    body = exported(tmp_path)["dialog"][0]["body"]
    with wave.open(io.BytesIO(unpadded(body))) as heard:
        assert heard.getparams()[:4] == (2, 2, 8000, 3 * SECOND)
        pcm = np.frombuffer(heard.readframes(3 * SECOND), "<i2").reshape(-1, 2)
    assert pcm[:, 0].tolist() == A_LAW.decode(noise(3, 1)).tolist()
    assert pcm[4000:20_000, 1].tolist() == A_LAW.decode(noise(2, 2)).tolist()


def test_one_leg_is_mono_and_its_party_s_alone(tmp_path: Path) -> None:
    (dialog,) = exported(tmp_path, legs=(Role.AGENT,))["dialog"]
    assert (dialog["parties"], dialog["originator"]) == ([1], 0)
    with wave.open(io.BytesIO(unpadded(dialog["body"]))) as heard:
        assert heard.getnchannels() == 1


def test_who_placed_the_call_is_told(tmp_path: Path) -> None:
    (dialog,) = exported(tmp_path, replace(FACTS, direction=Direction.OUTBOUND))["dialog"]
    assert dialog["originator"] == 1


def test_a_transferred_call_has_several_parties_on_a_channel(tmp_path: Path) -> None:
    third = Participant(Role.AGENT, Personal("2002"))
    vcon = exported(tmp_path, replace(FACTS, participants=(*FACTS.participants, third)))
    assert vcon["dialog"][0]["parties"] == [0, [1, 2]]
    assert vcon["parties"][2] == {"role": "agent", "tel": "tel:2002"}


def test_parties_nobody_knows_have_their_role_alone(tmp_path: Path) -> None:
    vcon = exported(tmp_path, replace(FACTS, participants=(), direction=Direction.UNKNOWN))
    assert vcon["parties"] == [{"role": "external"}, {"role": "agent"}]


def test_a_number_that_is_none_is_an_identifier(tmp_path: Path) -> None:
    odd = Participant(Role.EXTERNAL, Personal('anonymous "x"'))
    assert exported(tmp_path, replace(FACTS, participants=(odd,)))["parties"][0] == {
        "role": "external",
        "uuid": 'anonymous "x"',
    }


def test_what_is_known_of_the_recording_goes_along(tmp_path: Path) -> None:
    speech = (Speech(Role.EXTERNAL, 1500, 1500, 250), Speech(Role.AGENT, 500, 2500, 250))
    redactions = (Redaction(4000, 8000, BOTH, "pause", "desk 4"), Redaction(9000, 9800, BOTH, "dtmf"))
    vcon = exported(tmp_path, replace(FACTS, speech=speech, redactions=redactions, notes=("a note",)))
    found = analyses(vcon)
    assert found["hushtap-speech-1"]["speech"] == [
        {"role": "external", "talk": 1.5, "silence": 1.5, "overtalk": 0.25},
        {"role": "agent", "talk": 0.5, "silence": 2.5, "overtalk": 0.25},
    ]
    assert vcon["redacted"] == {"type": "dtmf, pause"}
    assert found["hushtap-redactions-1"]["redactions"][0] == {
        "start": 0.5,
        "end": 1.0,
        "legs": ["external", "agent"],
        "cause": "pause",
    }
    assert found["hushtap-call-1"]["recordings"] == [
        {"id": RECORDING, "state": "complete", "sha256": ["aa" * 32]}
    ]
    assert found["hushtap-call-1"]["legs"][0]["lost"] == 1
    assert found["hushtap-call-1"]["notes"] == ["a note"]


def test_whether_the_notice_was_heard_goes_along(tmp_path: Path) -> None:
    heard = Announcement(AnnouncementState.UNANNOUNCED, "welcome", Role.AGENT, 4000, 62, "heard to 60 %")
    report = analyses(exported(tmp_path, replace(FACTS, announcement=heard)))["hushtap-announcement-1"]
    assert report == {
        "state": "unannounced",
        "notice": "welcome",
        "leg": "agent",
        "at": 0.5,
        "share": 0.62,
        "reason": "heard to 60 %",
    }


def test_a_call_without_figures_has_no_speech_analysis(tmp_path: Path) -> None:
    assert set(analyses(exported(tmp_path))) == {"hushtap-call-1"}


def verified(vcon: dict[str, Any]) -> dict[str, Any]:
    """The payload, if the signature is that of the node's key, by another library."""
    public = OKPKey.import_key(json.loads(unpadded(vcon["signatures"][0]["protected"]))["jwk"])
    assert public.public_key.public_bytes_raw() == NODE.key.public_key().public_bytes_raw()
    registry = jws.JWSRegistry(algorithms=["EdDSA"], strict_check_header=False)
    registry.max_payload_length = len(vcon["payload"])
    whole = cast(jws.GeneralJSONSerialization, vcon)
    with warnings.catch_warnings():
        # RFC 9864 would rather have EdDSA called Ed25519, a name that few verifiers know yet.
        warnings.simplefilter("ignore", SecurityWarning)
        found: dict[str, Any] = json.loads(jws.deserialize_json(whole, public, registry=registry).payload)
    return found


def test_the_signed_form_verifies_elsewhere(tmp_path: Path) -> None:
    signed = exported(tmp_path, signer=NODE)
    payload = verified(signed)
    draft_rules.check(payload)
    assert payload["dialog"] == exported(tmp_path)["dialog"]
    assert signed["signatures"][0]["header"]["uuid"] == payload["uuid"]


def test_an_altered_payload_does_not_verify(tmp_path: Path) -> None:
    signed = exported(tmp_path, signer=NODE)
    other = json.dumps(json.loads(unpadded(signed["payload"])) | {"subject": "another"})
    signed["payload"] = base64.urlsafe_b64encode(other.encode()).decode().rstrip("=")
    with pytest.raises(BadSignatureError):
        verified(signed)


def test_the_certificate_holds_the_node_s_key_and_is_signed_by_it(tmp_path: Path) -> None:
    (chain,) = exported(tmp_path, signer=NODE)["signatures"][0]["header"]["x5c"]
    certificate = x509.load_der_x509_certificate(base64.b64decode(chain))
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == NODE.key.public_key()
    stranger = NodeKey(Ed25519PrivateKey.generate())
    with pytest.raises(InvalidSignature):
        stranger.key.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes)


@pytest.mark.parametrize("signer", [None, NODE])
def test_a_failing_source_leaves_nothing_behind(tmp_path: Path, signer: NodeKey | None) -> None:
    odd = replace(track(1, Role.EXTERNAL), codec_id="A_ODD")
    with pytest.raises(ExportError, match="A_ODD"):
        exported(tmp_path, source=part([odd], [(1, 0, b"\x01")]), signer=signer)
    assert not list(tmp_path.iterdir())


@given(st.lists(st.binary(max_size=70), max_size=8), st.binary(max_size=HEAD_BYTES))
def test_a_file_in_a_file_is_its_base64_also_when_its_head_is_written_again(
    pieces: list[bytes], again: bytes
) -> None:
    outer, plain = io.BytesIO(), io.BytesIO()
    outer.write(b"before ")
    inner = Base64File(outer)
    for piece in pieces:
        inner.write(piece)
        plain.write(piece)
    again = again[: plain.tell()]
    inner.seek(0)
    inner.write(again)
    inner.finish()
    outer.write(b" behind")
    plain.seek(0)
    plain.write(again)
    expected = base64.urlsafe_b64encode(plain.getvalue()).rstrip(b"=")
    assert outer.getvalue() == b"before " + expected + b" behind"
