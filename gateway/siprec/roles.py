"""Which leg is the external party's and which the agent's, and which way the call went.

The rule:

1. An m-line's voice is the participant who sends the stream that bears the line's label. Where labels or
   associations are missing, lines, streams and participants are taken in their orders, and a note says so.
2. A participant whose number matches an extension pattern in full is an agent, unless the client itself says whose
   side it is. The caller is whom the client calls so, else the first or the last participant, as configured.
3. Caller external, other agent: inbound. Caller agent, other external: outbound. Both agents: internal; the
   caller stands as external and keeps its extension. Neither: the caller is external, the other the agent,
   inbound, and a note says so.
4. Two lines are always one external and one agent leg. Without metadata the first line is the external one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

from gateway.recording.model import Direction, Participant, Role
from gateway.siprec.metadata import Metadata, MetadataParticipant, MetadataStream, by_place

Party = MetadataParticipant
Extensions = Sequence[re.Pattern[str]]


class Ground(IntEnum):
    """What an assignment rests on; a better one is not undone by a worse one."""

    NOTHING = 0  # the order of lines
    ORDER = 1  # the order of participants, or a caller nobody says more of
    KNOWN = 2  # the client says who sends which stream, and one of them is known for an agent


@dataclass(frozen=True, slots=True)
class Assignment:
    direction: Direction
    participants: tuple[Participant, ...]
    roles: Mapping[int, Role]  # by the line's place among those given
    notes: tuple[str, ...] = ()  # no personal data
    speakers: tuple[Party | None, ...] = ()  # of the lines, where it is known
    ground: Ground = Ground.NOTHING


def assign(
    metadata: Metadata | None,
    labels: Sequence[str | None],
    extensions: Extensions,
    caller: Literal["first", "last"],
) -> Assignment:
    """Roles of the lines whose labels are given in SDP order; lines that carry no voice are left out by the caller."""
    if metadata is None or not metadata.participants:
        note = "no participant is known: the first stream is taken for the external party"
        return Assignment(Direction.UNKNOWN, (), _by_order(len(labels)), (note,))
    notes: list[str] = []
    present = tuple(p for p in metadata.participants if p.id not in metadata.left)
    metadata = replace(metadata, participants=present or metadata.participants)
    speakers = _speakers(metadata, labels, notes)
    ordered = sorted(_in_order(metadata.participants, caller), key=lambda p: p.calling is not True)
    speaking = [party for party in ordered if party in speakers]
    agents = {p.id for p in ordered if (_is_extension(p, extensions) if p.agent is None else p.agent)}
    direction, external, agent = _decide(speaking if len(speaking) > 1 else ordered, agents, notes)
    if any(p.agent for p in ordered):  # whose side a voice is on tells nothing of who called
        both = all(_is_extension(p, extensions) for p in ordered)
        direction = Direction.INTERNAL if both and len(ordered) > 1 else Direction.UNKNOWN
    chosen = {p.id: role for p, role in ((external, Role.EXTERNAL), (agent, Role.AGENT)) if p}
    role_of = {p.id: chosen.get(p.id, Role.AGENT if p.id in agents else Role.EXTERNAL) for p in ordered}
    decided = bool(agents)
    roles = _line_roles([role_of[p.id] if p else None for p in speakers], notes)
    known = decided and any(speakers) and all(p is None or p.real for p in speakers) and not notes
    people = (
        Participant(role_of[p.id], p.user, p.name, p.user if _is_extension(p, extensions) else None)
        for p in ordered
    )
    return Assignment(
        direction,
        tuple(sorted(people, key=_external_first)),
        roles,
        tuple(dict.fromkeys(notes)),
        tuple(speakers),
        Ground.KNOWN if known else Ground.ORDER,
    )


def takes_over(before: Assignment, after: Assignment, roles: Sequence[Role]) -> bool:
    """Whether another agent speaks on the agent's line now: a transfer, not a correction of who it was.

    Somebody new has another id and another number; `roles` are those of the lines.
    """
    for role, old, new in zip(roles, before.speakers, after.speakers, strict=False):
        known = old is not None and new is not None and old.real and new.real
        if role is Role.AGENT and known and old and new and old.id != new.id and old.user != new.user:
            return True
    return False


def _in_order(parties: Sequence[Party], caller: Literal["first", "last"]) -> Sequence[Party]:
    return parties if caller == "first" else parties[::-1]


def _external_first(participant: Participant) -> bool:
    return participant.role is not Role.EXTERNAL


def _is_extension(party: Party, extensions: Extensions) -> bool:
    return bool(party.user) and any(p.fullmatch(party.user.reveal()) for p in extensions if party.user)


def _decide(
    parties: list[Party], agents: set[str], notes: list[str]
) -> tuple[Direction, Party | None, Party | None]:
    """Direction, external party and agent, from the parties with the caller first."""
    calling, others = parties[0], parties[1:]
    if calling.id in agents:
        outsider = next((p for p in others if p.id not in agents), None)
        if outsider or not others:
            return (Direction.OUTBOUND if outsider else Direction.UNKNOWN), outsider, calling
        return Direction.INTERNAL, calling, others[0]
    agent = next((p for p in others if p.id in agents), None)
    if agent:
        return Direction.INBOUND, calling, agent
    if not others:
        return Direction.UNKNOWN, calling, None
    notes.append("no participant has a known extension: the caller is taken for the external party")
    return Direction.INBOUND, calling, others[0]


def _speakers(metadata: Metadata, labels: Sequence[str | None], notes: list[str]) -> list[Party | None]:
    """Whose voice each line carries, None where nothing says so."""
    speakers: list[Party | None] = []
    for place, label in enumerate(labels):
        names = {label, by_place(place)} - {None}
        stream = next((s for s in metadata.streams if s.label in names), None)
        if stream is None and place < len(metadata.streams):
            stream = metadata.streams[place]
            notes.append("a label is missing or not in the metadata: the order of streams is taken")
        speakers.append(_sender(metadata, stream) if stream else None)
    if not any(speakers) and len(labels) > 1:
        notes.append("the metadata does not say who sends which stream: the order of participants is taken")
        known = metadata.participants[: len(labels)]
        return [*known, *[None] * (len(labels) - len(known))]
    return speakers


def _sender(metadata: Metadata, stream: MetadataStream) -> Party | None:
    """Who sends a stream; some clients name it by its label, some only say who receives it."""
    names = {stream.id, stream.label}
    senders = [p for p in metadata.participants if names & set(metadata.sends.get(p.id, ()))]
    if not senders:
        deaf = [p for p in metadata.participants if not names & set(metadata.receives.get(p.id, ()))]
        senders = deaf if len(deaf) < len(metadata.participants) else []
    return senders[0] if len(senders) == 1 else None


def _line_roles(roles: list[Role | None], notes: list[str]) -> Mapping[int, Role]:
    if len(roles) != 2:
        if roles == [None]:
            notes.append("the only stream is nobody's in particular: it is stored as the external party's")
        return {place: role or Role.EXTERNAL for place, role in enumerate(roles)}
    match roles:
        case [None, Role() as second]:
            return {0: second.other, 1: second}
        case [Role() as first, None]:
            return {0: first, 1: first.other}
        case [Role() as first, Role() as second] if first is not second:
            return {0: first, 1: second}
    notes.append(
        "the metadata does not tell the two streams apart: the first is taken for the external party"
    )
    return _by_order(2)


def _by_order(lines: int) -> Mapping[int, Role]:
    return {place: Role.AGENT if place == 1 else Role.EXTERNAL for place in range(lines)}
