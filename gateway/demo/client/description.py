"""What the client says of a call: SDP (RFC 8866) and recording metadata (RFC 7865)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4
from xml.sax.saxutils import escape, quoteattr

from gateway.demo.client.plan import Party, Plan

NAMESPACE = "urn:ietf:params:xml:ns:recording:1"


def offer(plan: Plan, address: str, ports: Sequence[int], version: int) -> bytes:
    """Two send-only streams, labelled, the caller's first."""
    types = f"{plan.media_type} {plan.event_type}"
    channels = f"/{plan.channels}" if plan.channels > 1 else ""
    lines = ["v=0", f"o=src 1 {version} IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0"]
    for leg, port in zip((plan.caller, plan.callee), ports, strict=True):
        lines += [
            f"m=audio {port} RTP/{'SAVP' if leg.srtp else 'AVP'} {types}",
            *([leg.srtp.line()] if leg.srtp else []),
            f"a=rtpmap:{plan.media_type} {plan.codec}/{plan.clock_rate}{channels}",
            *([f"a=fmtp:{plan.media_type} {plan.parameters}"] if plan.parameters else []),
            f"a=rtpmap:{plan.event_type} telephone-event/{plan.clock_rate}",
            f"a=fmtp:{plan.event_type} 0-15",
            f"a=ptime:{plan.ptime_ms}",
            "a=sendonly",
            f"a=label:{leg.label}",
        ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def destinations(sdp: str, server: str) -> list[tuple[str, int] | None]:
    """Where each stream of an answer goes; None for a refused one."""
    session, *media = re.split(r"(?m)^m=", sdp)
    usual = _connection(session) or server
    found: list[tuple[str, int] | None] = []
    for section in media:
        port = int(section.split()[1].partition("/")[0])
        found.append((_connection(section) or usual, port) if port else None)
    return found


def _connection(section: str) -> str | None:
    found = re.search(r"(?m)^c=IN IP[46] (\S+)", section)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Identities:
    """Ids of one communication session in its metadata (RFC 7865 section 6: base64 of a UUID)."""

    group: str
    session: str
    participants: tuple[str, str]
    streams: tuple[str, str]

    @classmethod
    def new(cls) -> Identities:
        group, session, *others = (b64encode(uuid4().bytes).decode() for _ in range(6))
        return cls(group, session, (others[0], others[1]), (others[2], others[3]))


def metadata(ids: Identities, plan: Plan, host: str) -> bytes:
    """Complete metadata: both parties, each sending its own stream."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    legs = (plan.caller, plan.callee)
    parts = [
        f"<group group_id={quoteattr(ids.group)}><associate-time>{now}</associate-time></group>",
        (
            f"<session session_id={quoteattr(ids.session)}><group-ref>{ids.group}</group-ref>"
            f"<start-time>{now}</start-time></session>"
        ),
        *(_participant(ids, index, leg.party, host) for index, leg in enumerate(legs)),
        *(
            f"<stream stream_id={quoteattr(ids.streams[index])} session_id={quoteattr(ids.session)}>"
            f"<label>{escape(leg.label)}</label></stream>"
            for index, leg in enumerate(legs)
        ),
        *(_associations(ids, index, now) for index in range(2)),
    ]
    return _document("complete", parts)


def renamed(ids: Identities, party: Party, host: str) -> bytes:
    """Partial metadata: the caller turns out to be somebody else."""
    return _document("partial", [_participant(ids, 0, party, host)])


def _document(mode: str, parts: Sequence[str]) -> bytes:
    body = f"<datamode>{mode}</datamode>" + "".join(parts)
    return f'<?xml version="1.0" encoding="UTF-8"?>\r\n<recording xmlns="{NAMESPACE}">{body}</recording>\r\n'.encode()


def _participant(ids: Identities, index: int, party: Party, host: str) -> str:
    name = f'<name xml:lang="en">{escape(party.name)}</name>' if party.name else ""
    return (
        f"<participant participant_id={quoteattr(ids.participants[index])}>"
        f"<nameID aor={quoteattr(f'sip:{party.number}@{host}')}>{name}</nameID></participant>"
    )


def _associations(ids: Identities, index: int, now: str) -> str:
    participant = quoteattr(ids.participants[index])
    return (
        f"<participantsessionassoc participant_id={participant} session_id={quoteattr(ids.session)}>"
        f"<associate-time>{now}</associate-time></participantsessionassoc>"
        f"<participantstreamassoc participant_id={participant}>"
        f"<send>{ids.streams[index]}</send><recv>{ids.streams[1 - index]}</recv></participantstreamassoc>"
    )
