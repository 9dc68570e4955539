"""Calls that a phone's built-in bridge records: one session a party, joined by parameters of their From URIs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from gateway.recording.model import Personal
from gateway.sip.errors import BadMessage
from gateway.sip.headers import NameAddr, parse_params
from gateway.sip.message import Request
from gateway.siprec.metadata import Metadata, MetadataParticipant, MetadataStream, by_place, user_of

NEAR, FAR = "near", "far"


@dataclass(frozen=True, slots=True)
class Pair:
    """One session of a pair."""

    key: str  # the same in both; stands for the device and its call, of which it tells nothing
    near: bool  # it carries the voice of the phone's user
    metadata: Metadata  # both parties, and who sends this session's only stream


def pair_of(request: Request) -> Pair | None:
    """What From says of a pair, or None. The phone that has the bridge is the agent's."""
    try:
        caller = NameAddr.parse(request.headers.get("From") or "")
    except BadMessage:
        return None
    address, _, rest = caller.uri.partition(";")
    params = dict(parse_params(rest))
    side = next((side for side in (NEAR, FAR) if f"x-{side}end" in params), None)
    reference = params.get("x-refci")
    if not side or not reference:
        return None
    told = "\0".join(params.get(name) or "" for name in ("x-refci", "x-nearenddevice", "x-nearendclusterid"))
    near = _party(NEAR, params.get("x-nearendaddr") or address, caller.display)
    far = _party(FAR, params.get("x-farendaddr") or "", "")
    stream = MetadataStream("voice", by_place(0))
    metadata = Metadata(participants=(far, near), streams=(stream,), sends={side: ("voice",)})
    key = hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()
    return Pair(key, side == NEAR, metadata)


def _party(side: str, address: str, name: str) -> MetadataParticipant:
    user = user_of(address) if address else None
    return MetadataParticipant(
        side,
        Personal(address) if address else None,
        Personal(user) if user else None,
        Personal(name) if name else None,
        agent=side == NEAR,
    )
