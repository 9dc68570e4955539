"""The signed documents: call records and manifests.

A document is canonical JSON, {"body":{...},"node":"<key id>","signature":"<base64>"}. The signature
is Ed25519 over the canonical bytes of the body, whose `type` keeps one kind from passing as the other.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.recording.model import (
    CallFacts,
    LegReport,
    Part,
    Participant,
    Personal,
    RecordingFacts,
    RecordingState,
    Redaction,
    Role,
)
from gateway.storage import canonical
from gateway.storage.keys import (
    NodeKey,
    NodePublicKey,
    NotOpened,
    PrivateKeyProvider,
    RecorderKeys,
    Sealed,
    VaultPublicKey,
)
from gateway.storage.lookup import number_hashes

VERSION = 1
PERSONAL = ("number", "name", "extension")


class RecordError(Exception):
    """A document is not one of ours, or not as its node signed it."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """A call as it is stored: facts without participants, these sealed, and what finds them."""

    facts: CallFacts
    sealed: Sealed
    lookup: tuple[bytes, ...]  # sorted


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a finished recording is made of."""

    call_id: str
    recording_id: str
    segment_id: str
    state: RecordingState
    started_ns: int  # of the call, UTC
    ended_ns: int
    legs: tuple[LegReport, ...]
    redactions: tuple[Redaction, ...]
    parts: tuple[Part, ...]
    segment: int = 1
    start: int = 0  # of the segment, on the call clock
    swapped: bool = False

    @property
    def recording(self) -> RecordingFacts:
        return RecordingFacts(
            self.recording_id,
            self.segment_id,
            self.state,
            self.parts,
            self.segment,
            self.start,
            self.swapped,
        )


def participants_info(call_id: str) -> bytes:
    """The HPKE info that binds sealed participants to their call."""
    return b"hushtap participants " + call_id.encode("ascii")


def data_key_info(recording_id: str) -> bytes:
    """The HPKE info that binds a wrapped data key to its recording."""
    return b"hushtap data key " + recording_id.encode("ascii")


def part_name(recording_id: str, number: int) -> str:
    return f"{recording_id}.{number}.sealed"


def seal_personal(vault: VaultPublicKey, document: bytes, info: bytes) -> Sealed:
    """Seal a small document about people to the vault."""
    return vault.seal(document, info)


def seal_call(facts: CallFacts, keys: RecorderKeys) -> CallRecord:
    """Take the participants out of the facts: sealed to the vault, and hashed for look-up."""
    people = [
        {"role": person.role.value, "segments": list(person.segments)}
        | {field: text.reveal() for field in PERSONAL if (text := getattr(person, field))}
        for person in facts.participants
    ]
    sealed = seal_personal(keys.vault, canonical.dump(people), participants_info(facts.id))
    numbers = [
        text.reveal() for person in facts.participants for text in (person.number, person.extension) if text
    ]
    hashes = {found for number in numbers for found in number_hashes(keys.lookup, number)}
    return CallRecord(replace(facts, participants=()), sealed, tuple(sorted(hashes)))


def open_call(record: CallRecord, keys: PrivateKeyProvider) -> CallFacts:
    """The facts with their participants. Raises NotOpened, RecordError."""
    try:
        plain = keys.open(record.sealed, participants_info(record.facts.id))
    except NotOpened as error:
        raise NotOpened(f"the participants of call {record.facts.id}: {error}") from error
    try:
        people = tuple(
            Participant(
                Role(row["role"]),
                **{field: Personal(row[field]) for field in PERSONAL if field in row},
                segments=tuple(map(int, row.get("segments", [1]))),
            )
            for row in canonical.parse(plain)
        )
    except (canonical.NotCanonical, KeyError, TypeError, ValueError) as error:
        raise RecordError("the sealed participants are not a list of people") from error
    return replace(record.facts, participants=people)


def encode_call(record: CallRecord, node: NodeKey) -> bytes:
    body = asdict(record.facts)
    body["participants"] = sealed_json(record.sealed)
    return _sign("call", body | {"lookup": [found.hex() for found in record.lookup]}, node)


def decode_call(document: bytes, node: NodePublicKey) -> CallRecord:
    """The record, once its signature holds. Raises RecordError."""
    body = _verified("call", document, node)
    try:
        sealed = sealed_of(body.pop("participants"))
        lookup = tuple(bytes.fromhex(found) for found in body.pop("lookup"))
        unmeasured: dict[str, Any] = {"speech": []}  # of records signed before speech was measured
        facts = canonical.build(CallFacts, unmeasured | body | {"participants": []})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"the call record has another shape than expected: {error}") from error
    return CallRecord(facts, sealed, lookup)


def encode_manifest(manifest: Manifest, node: NodeKey) -> bytes:
    body = asdict(manifest)
    for part in body["parts"]:
        part["file"] = part_name(manifest.recording_id, part["number"])
    return _sign("manifest", body, node)


def decode_manifest(document: bytes, node: NodePublicKey) -> Manifest:
    """The manifest, once its signature holds. Raises RecordError."""
    body = _verified("manifest", document, node)
    try:
        for part in body["parts"]:
            del part["file"]
        return canonical.build(Manifest, body)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"the manifest has another shape than expected: {error}") from error


def encode_data_key(recording_id: str, sealed: Sealed) -> bytes:
    """The document of a wrapped data key: unsigned, since its HPKE info binds it to its recording."""
    return canonical.dump({"recording": recording_id, "data_key": sealed_json(sealed)})


def decode_data_key(document: bytes) -> tuple[str, Sealed]:
    """Recording id and wrapped key. Raises RecordError."""
    try:
        body = canonical.parse(document)
        return str(body.pop("recording")), sealed_of(*_only(body, "data_key"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError("the wrapped key has another shape than expected") from error


def sealed_json(sealed: Sealed) -> dict[str, str]:
    return {"key": sealed.key_id, "sealed": base64.b64encode(sealed.data).decode("ascii")}


def sealed_of(row: Any) -> Sealed:
    """Raises KeyError, TypeError or ValueError at any other shape."""
    key_id, data = _only(row, "key", "sealed")
    if not isinstance(key_id, str):
        raise TypeError(f"a key id is {type(key_id).__name__}, expected str")
    return Sealed(key_id, _decoded(data))


def _only(row: Any, *names: str) -> list[Any]:
    """The fields of these names, and no others."""
    if row.keys() != set(names):
        raise ValueError(f"it has fields {sorted(row)}, expected {sorted(names)}")
    return [row[name] for name in names]


def _decoded(text: str) -> bytes:
    """Base64 in its one form: the bits that fill up the last letter are zero."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode("ascii") != text:
        raise ValueError("it is base64, though not in the canonical form")
    return data


def _sign(kind: str, body: dict[str, Any], node: NodeKey) -> bytes:
    body = body | {"type": kind, "version": VERSION}
    signature = base64.b64encode(node.sign(canonical.dump(body))).decode("ascii")
    return canonical.dump({"body": body, "node": node.public.id, "signature": signature})


def _verified(kind: str, document: bytes, node: NodePublicKey) -> dict[str, Any]:
    try:
        body, signer, signature = _only(canonical.parse(document), "body", "node", "signature")
        signature = _decoded(signature)
        found, version = body.pop("type"), body.pop("version")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RecordError(f"it is not a signed document: {error}") from error
    if signer != node.id:
        raise RecordError(f"it is signed by node {signer}; the node key held here is {node.id}")
    if not node.signed(canonical.dump(body | {"type": found, "version": version}), signature):
        raise RecordError("its signature does not match: it was altered after it was signed")
    if (found, version) != (kind, VERSION):
        raise RecordError(f"it is a {found} of version {version}, expected a {kind} of version {VERSION}")
    return dict(body)
